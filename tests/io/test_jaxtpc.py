"""edep-sim HDF5 of JAXTPC: a real muon, and a small event with a track numbered 0."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.data.classes import PID, Semantic
from reco.data.products import Header, TruthDeposits, TruthInteractions, TruthParticles
from reco.errors import FormatError
from reco.io.branches import Branches
from reco.io.recognise import open_input
from tests.io.files import hits, product

REAL = "misc/jaxtpc_muon.h5"


def test_a_real_muon(realdata: Path) -> None:
    with h5py.File(realdata / REAL) as file:
        steps, tracks = file["pstep/lar_vol"][0], file["particle/geant4"][0]
    with open_input(realdata / REAL) as reader:
        assert reader.describe().format == "edep-sim HDF5 (JAXTPC)"
        products = reader.read(0, 1)
    found = hits(products)
    np.testing.assert_allclose(found.value.values.sum(), steps["de"].sum(), rtol=1e-5)
    middle = np.stack([steps[axis] for axis in "xyz"], axis=1) / 10
    np.testing.assert_allclose(found.position.values.min(axis=0), middle.min(axis=0), atol=1e-2)
    np.testing.assert_allclose(found.position.values.max(axis=0), middle.max(axis=0), atol=1e-2)
    particles = product(products, TruthParticles)
    muon = int(np.flatnonzero(particles.pid.values == PID.MUON)[0])
    assert particles.is_primary.values[muon]
    assert particles.semantic.values[muon] == Semantic.TRACK
    np.testing.assert_allclose(particles.energy.values[muon], 176.4418, rtol=1e-6)
    np.testing.assert_allclose(particles.direction.values[muon], [0, 1, 0], atol=1e-4)
    end = [tracks[f"end_{axis}"][0] / 10 for axis in "xyz"]
    np.testing.assert_allclose(particles.end.values[muon], end, rtol=1e-5)
    interactions = product(products, TruthInteractions)
    np.testing.assert_allclose(
        interactions.vertex.values, [[-55.000586, 0.000459206, -45.00055]], rtol=1e-5
    )
    assert interactions.topology.values.tolist() == [b"1mu"]
    assert product(products, Header).event.tolist() == [0]


def test_steps_join_end_to_end(realdata: Path) -> None:
    """Middle, length and direction give ends that meet those of the next step."""
    from reco.io.jaxtpc import _segments

    with h5py.File(realdata / REAL) as file:
        rows = file["pstep/lar_vol"][0]
    own = {n: rows[n][:500] for n in rows.dtype.names or ()}
    segments = _segments(own, np.zeros(500))
    gap = np.linalg.norm(segments.end[:-1] - segments.start[1:], axis=1)
    assert np.median(gap) < 1e-4


STEP = ["x", "y", "z", "t", "theta", "phi", "p", "de", "dx"]
PARTICLE = ["x", "y", "z", "t", "px", "py", "pz", "ke", "end_x", "end_y", "end_z"]


def write(path: Path) -> Path:
    """A muon along z, track 0, its decay electron, track 1, and a step of a track not listed;
    then an event without anything."""
    step = np.dtype([*((n, "f4") for n in STEP), ("track_id", "i4"), ("pdg", "i4")])
    whole = ("track_id", "parent_track_id", "pdg", "proc_start", "subproc_start")
    particle = np.dtype([*((n, "f4") for n in PARTICLE), *((n, "i4") for n in whole)])
    steps = np.zeros(42, step)
    steps["z"], steps["dx"], steps["de"] = np.arange(42) * 10 + 5, 10, 2
    steps["t"] = np.arange(42) * 100
    steps["track_id"], steps["pdg"] = np.repeat([0, 1, 9], [20, 20, 2]), 13
    steps["pdg"][20:] = 11
    tracks = np.zeros(2, particle)
    tracks["track_id"], tracks["parent_track_id"], tracks["pdg"] = [0, 1], [-1, 0], [13, 11]
    tracks["ke"], tracks["pz"], tracks["z"], tracks["end_z"] = 50, 100, [0, 200], [200, 400]
    tracks["proc_start"], tracks["subproc_start"] = [0, 6], [0, 201]
    primary = np.zeros(1, [("track_id", "i4"), ("interaction_id", "i4")])
    with h5py.File(path, "w") as file:
        for name, rows in (
            ("pstep/lar", steps[:30]),
            ("pstep/cryostat", steps[30:]),
            ("particle/geant4", tracks),
            ("primary/geant4", primary),
        ):
            data = file.create_dataset(name, (2,), h5py.vlen_dtype(rows.dtype))
            data[0], data[1] = rows, rows[:0]
        numbers = np.array([(3, 7), (3, 8)], [("run_id", "i4"), ("event_id", "i4")])
        file["event/geant4"] = numbers
    return path


def test_a_track_numbered_zero_is_a_parent(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5")) as reader:
        products = reader.read(0, 2)
    assert product(products, Header).event.tolist() == [7, 8]
    found, deposits = hits(products), product(products, TruthDeposits)
    assert found.value.counts[1] == 0
    np.testing.assert_allclose(found.value.values.sum(), 84, rtol=1e-5)
    particles = product(products, TruthParticles)
    kinds = dict(zip(particles.pdg[0], range(3), strict=False))
    assert particles.semantic[0][kinds[13]] == Semantic.TRACK
    assert set(deposits.semantic[0]) >= {Semantic.TRACK, Semantic.MICHEL}
    michel = int(np.flatnonzero(particles.semantic[0] == Semantic.MICHEL)[0])
    assert particles.parent[0][michel] == kinds[13]
    assert particles.interaction[0][michel] == 0
    np.testing.assert_allclose(particles.end[0][kinds[13]], [0, 0, 20], atol=1e-4)


def test_one_volume(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with open_input(path, Branches(detectors=("lar",))) as reader:
        np.testing.assert_allclose(hits(reader.read(0, 1)).value.values.sum(), 60, rtol=1e-5)
    with pytest.raises(FormatError, match=r"no steps of rock; it has .*lar"):
        open_input(path, Branches(detectors=("rock",)))


def test_columns_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["particle/geant4"]
        kind = h5py.vlen_dtype(np.dtype([("x", "f4")]))
        file.create_dataset("particle/geant4", (2,), kind)
    with pytest.raises(FormatError, match="'particle/geant4' lacks y, z"):
        open_input(path)
