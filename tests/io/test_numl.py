"""numl with space points, from a file written here by hand."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.data.products import Header, Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.errors import FormatError
from reco.io.branches import Branches
from reco.io.recognise import open_input
from tests.io.files import hits, product

COLUMNS = {
    "event_table": {"event_id": np.array([[1, 2, 3], [1, 2, 4], [1, 2, 5]])},
    "spacepoint_table": {
        "position": np.arange(12, dtype=np.float32).reshape(4, 3),
        # points 0 and 1 share the collection hit 12; point 2 has hit 10 only; point 3 none
        "hit_id": np.array([[10, 11, 12], [10, -1, 12], [10, -1, -1], [-1, -1, -1]]),
    },
    "hit_table": {
        "hit_id": np.array([[10], [11], [12]]),
        "local_plane": np.array([[0], [1], [2]]),
        "integral": np.array([[100.0], [200.0], [300.0]]),
    },
    "edep_table": {
        "hit_id": np.array([[12], [12], [10]]),
        "g4_id": np.array([[5], [6], [6]]),
        "energy": np.array([[1.0], [3.0], [0.5]]),
    },
    "particle_table": {
        "g4_id": np.array([[5], [6], [7]]),
        "parent_id": np.array([[0], [5], [0]]),
        "type": np.array([[13], [11], [2112]]),
        "momentum": np.array([[0.3], [0.02], [0.1]]),
    },
}


def write(path: Path, *without: str) -> Path:
    """Three events; all rows are of the first."""
    with h5py.File(path, "w") as file:
        for table, columns in COLUMNS.items():
            if table in without:
                continue
            for name, values in columns.items():
                file[f"{table}/{name}"] = values
            count = len(next(iter(columns.values())))
            file[f"{table}/event_id.seq_cnt"] = np.array([[0, count]])
    return path


def test_points_share_the_charge_of_a_hit(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5"), Branches(charge_unit="e")) as reader:
        assert reader.describe().format == "numl HDF5 with space points"
        products = reader.read(0, 3)
    found = hits(products)
    assert found.quantity.tolist() == [Quantity.CHARGE] * 3
    assert found.value.counts.tolist() == [4, 0, 0]
    np.testing.assert_allclose(found.value[0], [0.15, 0.15, 0.1, 0])
    assert found.position[0][1].tolist() == [3, 4, 5]
    header = product(products, Header)
    assert (header.run[2], header.subrun[2], header.event[2]) == (1, 2, 5)


def test_a_hit_is_of_its_strongest_particle(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5")) as reader:
        products = reader.read(0, 3)
    deposits, particles = product(products, TruthDeposits), product(products, TruthParticles)
    assert particles.pdg[0].tolist() == [11], "the muon is the stronger one of no hit"
    assert deposits.particle[0].tolist() == [0, 0, 0, -1]
    np.testing.assert_allclose(deposits.energy[0], [2, 2, 0.5, 0])
    assert deposits.semantic[0].tolist() == [-1] * 4
    energy = np.hypot(20, 0.51099895) - 0.51099895
    np.testing.assert_allclose(particles.energy[0], [energy], rtol=1e-5)
    np.testing.assert_allclose(particles.energy_deposit[0], [4.5])
    assert particles.is_primary[0].tolist() == [False]
    assert particles.parent[0].tolist() == [-1]
    assert np.isnan(particles.start.values).all()
    assert len(product(products, TruthInteractions).vertex.values) == 0


def test_data_has_no_truth(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5", "edep_table", "particle_table")) as reader:
        assert reader.describe().truth == ()
        assert len(reader.read(0, 1)) == 2


def test_a_column_or_rows_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["hit_table/event_id.seq_cnt"][0] = [0, 2]
    with pytest.raises(FormatError, match=r"hit_table/event_id\.seq_cnt does not cut 3 rows"):
        open_input(path)
    with h5py.File(path, "a") as file:
        del file["hit_table/integral"]
    with pytest.raises(FormatError, match="hit_table lacks integral"):
        open_input(path)


def test_open_samples_are_refused(tmp_path: Path, realdata: Path) -> None:
    for path in (
        write(tmp_path / "a.h5", "spacepoint_table"),
        realdata / "uboone/opensamples_schema_synthetic.h5",
    ):
        with pytest.raises(FormatError, match="no position in space"):
            open_input(path)
