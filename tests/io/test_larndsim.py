"""larnd-sim segments, with and without trajectories, old names and new."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.data.products import Header, TruthDeposits, TruthInteractions, TruthParticles
from reco.data.tracks import PROCESSES
from reco.errors import FormatError
from reco.io.recognise import open_input
from reco.io.simulated import process_codes, roots
from tests.io.files import hits, product

FILES = {
    "jax_input_0.h5": (26, 168),
    "ynashed_edepsim-output.h5": (100, 73789),
    "ynashed_module0_corsika.h5": (25, 1095),
}


@pytest.mark.parametrize("name", FILES)
def test_real_files(realdata: Path, name: str) -> None:
    path = realdata / "larndsim" / name
    with h5py.File(path) as file:
        rows = file["segments"][:]
    n_events, n_segments = FILES[name]
    assert len(rows) == n_segments
    with open_input(path) as reader:
        assert len(reader) == n_events
        products = reader.read(0, n_events)
    read, numbers = hits(products), product(products, Header).event
    assert sorted(numbers.tolist()) == sorted(set(rows["eventID"].tolist()))
    for i in range(0, n_events, 7):
        own = rows[rows["eventID"] == numbers[i]]
        assert read.value[i].sum(dtype=np.float64) == pytest.approx(own["dE"].sum(dtype=np.float64))
        pieces = np.maximum(np.ceil(own["dx"].astype(np.float64) / 0.15 - 1e-6), 1).sum()
        assert len(read.value[i]) == pytest.approx(pieces, abs=2)
        assert read.position[i].min(axis=0) == pytest.approx(
            [min(own[f"{a}_start"].min(), own[f"{a}_end"].min()) for a in "xyz"], abs=0.08
        )


def test_truth_without_trajectories(realdata: Path) -> None:
    """Every trajectory with a segment is known by its code; nothing is said of interactions."""
    path = realdata / "larndsim" / "ynashed_module0_corsika.h5"
    with open_input(path) as reader:
        products = reader.read(0, 25)
        assert "no trajectories" in reader.describe().notes[0]
    particles = product(products, TruthParticles)
    assert (particles.interaction.values == -1).all()
    assert np.isnan(particles.energy.values).all()
    assert not particles.is_primary.values.any()
    assert product(products, TruthInteractions).pdg.counts.sum() == 0
    muons = np.abs(particles.pdg.values) == 13
    assert muons.any()
    assert (particles.semantic.values[muons] == 1).all()
    assert (particles.pid.values[muons] == 2).all()


def segment_rows(names: dict[str, str]) -> np.ndarray:
    """A muon of 10 cm that decays, in events 5 and 8; event 5 has a second vertex with a proton."""
    ends = [f"{a}_{s}" for a in "xyz" for s in ("start", "end")]
    dtype = [("dE", "f4"), *((e, "f4") for e in ends), ("t0", "f8"), ("vertex_id", "u8")]
    dtype += [(names[n], "i8") for n in ("event", "track", "pdg")]
    rows = np.zeros(4, dtype)
    rows[names["event"]] = [5, 5, 5, 8]
    rows["vertex_id"] = [50, 50, 51, 80]
    rows[names["track"]] = [1, 2, 1, 1]
    rows[names["pdg"]] = [13, 11, 2212, 13]
    rows["dE"] = [21.0, 30.0, 8.0, 21.0]
    rows["x_end"] = [10.0, 10.0, 0.0, 10.0]
    rows["x_start"] = [0.0, 10.0, 0.0, 0.0]
    rows["y_end"] = [0.0, 12.0, 0.0, 0.0]
    rows["z_start"], rows["z_end"] = [0, 0, 40, 0], [0, 0, 41.5, 0]
    rows["t0"] = [0.0, 2.0, 1.0, 0.0]
    return rows


def trajectory_rows() -> np.ndarray:
    vector = (3,)
    rows = np.zeros(
        4,
        [
            *((n, "i8") for n in ("event_id", "vertex_id", "traj_id", "parent_id", "pdg_id")),
            *((n, "f4", vector) for n in ("pxyz_start", "xyz_start", "xyz_end")),
            ("t_start", "f8"),
            *((n, "i8") for n in ("start_process", "start_subprocess")),
        ],
    )
    rows["event_id"] = [5, 5, 5, 8]
    rows["vertex_id"] = [50, 50, 51, 80]
    rows["traj_id"] = [1, 2, 1, 1]
    rows["parent_id"] = [-1, 1, -1, -1]
    rows["pdg_id"] = [13, 11, 2212, 13]
    rows["pxyz_start"] = [[100, 0, 0], [0, 40, 0], [0, 0, 400], [100, 0, 0]]
    rows["xyz_start"] = [[0, 0, 0], [10, 0, 0], [0, 0, 40], [0, 0, 0]]
    rows["xyz_end"] = [[10, 0, 0], [10, 12, 0], [0, 0, 41.5], [10, 0, 0]]
    rows["start_process"] = [0, 6, 0, 0]
    rows["start_subprocess"] = [0, 201, 0, 0]
    return rows


NEW = {"event": "event_id", "track": "traj_id", "pdg": "pdg_id"}
OLD = {"event": "eventID", "track": "trackID", "pdg": "pdgId"}


@pytest.mark.parametrize("names", [NEW, OLD])
def test_a_made_file(tmp_path: Path, names: dict[str, str]) -> None:
    path = tmp_path / "a.h5"
    header = np.zeros(3, [("event_id", "i8"), ("vertex_id", "i8"), ("nu_pdg", "i4")])
    header["event_id"], header["vertex_id"] = [5, 5, 8], [50, 51, 80]
    header["nu_pdg"] = [14, -12, 0]
    vertices = np.zeros(4, [("event_id", "i8"), ("vertex_id", "i8")])
    vertices["event_id"], vertices["vertex_id"] = [5, 5, 8, 9], [50, 51, 80, 90]
    with h5py.File(path, "w") as file:
        file["segments"] = segment_rows(names)
        file["trajectories"] = trajectory_rows()
        file["mc_hdr"], file["vertices"] = header, vertices
    with open_input(path) as reader:
        products = reader.read(0, 3)
        assert reader.describe().notes == ()
    assert product(products, Header).event.tolist() == [5, 8, 9]
    assert hits(products).value.counts.tolist() == [67 + 80 + 10, 67, 0]
    particles, interactions = (
        product(products, TruthParticles),
        product(products, TruthInteractions),
    )
    assert particles.pdg[0].tolist() == [13, 11, 2212]
    assert particles.semantic[0].tolist() == [1, 2, 1]
    assert particles.parent[0].tolist() == [-1, 0, -1]
    assert particles.is_primary[0].tolist() == [True, False, True]
    assert particles.interaction[0].tolist() == [0, 0, 1]
    kinetic = np.hypot(100, 105.6583755) - 105.6583755
    assert particles.energy[0][0] == pytest.approx(kinetic, rel=1e-5)
    assert interactions.pdg[0].tolist() == [14, -12]
    assert interactions.topology[0].tolist() == [b"1mu", b"1p"]
    assert interactions.vertex[0] == pytest.approx(np.array([[0, 0, 0], [0, 0, 40]]))
    deposits = product(products, TruthDeposits)
    for row, energy in enumerate((21.0, 30.0, 8.0)):
        assert deposits.energy[0][deposits.particle[0] == row].sum() == pytest.approx(energy)


@pytest.mark.parametrize(
    ("column", "bad", "match"),
    [
        ("x_start", np.nan, "'x_start' holds nan"),
        ("y_end", np.inf, "'y_start' holds inf"),
        ("dE", -1.0, "'dE' is negative"),
        ("z_end", 1e9, "'x_start' gives a segment 1e.09 cm long"),
    ],
)
def test_a_bad_segment_fails_its_event_alone(tmp_path: Path, column, bad, match) -> None:
    rows = segment_rows(NEW)
    rows[column][3] = bad
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["segments"] = rows
    with open_input(tmp_path / "a.h5") as reader:
        reader.read(0, 1)
        with pytest.raises(FormatError, match=f"entry 1: branch {match}"):
            reader.read(1, 2)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["segments"] = np.zeros(2, [("event_id", "i8"), ("dE", "f4"), ("x_start", "f4")])
    with pytest.raises(FormatError, match=r"lacks y_start, .*traj_id or trackID"):
        open_input(tmp_path / "a.h5")


def test_no_segment_at_all(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["segments"] = segment_rows(NEW)[:0]
    with open_input(tmp_path / "a.h5") as reader:
        assert len(reader) == 0


def test_roots_of_chains_and_cycles() -> None:
    assert roots(np.array([-1, 0, 1, 2, -1, 4])).tolist() == [0, 0, 0, 0, 4, 4]
    assert roots(np.arange(-1, 999)).tolist() == [0] * 1000
    assert set(roots(np.array([1, 2, 0]))) <= {0, 1, 2}
    assert len(roots(np.zeros(0, int))) == 0


def test_processes_of_geant4() -> None:
    """G4EmProcessSubType and G4HadronicProcessType by number."""
    cases = [
        ((2, 2, 13, False), "ionisation"),
        ((2, 14, 22, False), "conversion"),
        ((2, 13, 22, False), "compton"),
        ((6, 201, 13, False), "decay"),
        ((4, 121, 211, False), "hadronic"),
        ((4, 121, 2112, False), "neutron"),
        ((4, 131, 2112, False), "neutron"),
        ((4, 151, 13, False), "capture"),
        ((0, 0, 0, False), "unknown"),
        ((0, 0, 0, True), "primary"),
        ((1, 91, 13, False), "other"),
    ]
    columns = [np.array(column) for column in zip(*(case for case, _ in cases), strict=True)]
    codes = process_codes(columns[0], columns[1], columns[2], columns[3])
    assert [PROCESSES[code] for code in codes] == [name for _, name in cases]
