"""larcv3: files of its own writer, and what is refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.data.products import Header, TruthDeposits, TruthParticles
from reco.errors import FormatError
from reco.io.branches import Branches
from reco.io.larcv2_bytes import Meta
from reco.io.larcv3 import positions
from reco.io.recognise import open_input
from tests.io.files import hits, product

REAL = "larcv3/larcv3_3d_derived.h5"
SOURCE = "larcv2/pixlarevd_multi_particle.root"


def test_the_same_events_as_their_source_in_larcv2(realdata: Path) -> None:
    """The file was made from the larcv2 file, on a grid of about 1 cm of its own."""
    with open_input(realdata / REAL) as reader, open_input(realdata / SOURCE) as source:
        assert reader.describe().format == "larcv3 HDF5"
        assert len(reader) == 3
        products, truth = reader.read(0, 3), source.read(0, 3)
    found, other = hits(products), product(truth, TruthDeposits)
    for event in range(3):
        near = np.linalg.norm(
            found.position[event][::50, None] - other.position[event][None], axis=2
        ).min(axis=1)
        assert near.max() < 1.0
        energy = other.energy[event][other.particle[event] >= 0].sum()
        np.testing.assert_allclose(found.value[event].sum(), energy, rtol=1e-3)
    np.testing.assert_array_equal(
        product(products, TruthParticles).pdg.values, product(truth, TruthParticles).pdg.values
    )
    assert product(products, Header).event.tolist() == [0, 1, 2]


def test_clusters_are_particles(realdata: Path) -> None:
    with h5py.File(realdata / REAL) as file:
        group = file["Data/cluster3d_pcluster_group"]
        sizes = group["cluster_extents"]["N"]
    with open_input(realdata / REAL) as reader:
        deposits = product(reader.read(0, 3), TruthDeposits)
    counts = [np.bincount(fragment) for fragment in deposits.fragment]
    np.testing.assert_array_equal(np.concatenate(counts), sizes)


def test_numbers_run_along_the_last_axis_first() -> None:
    meta = Meta(np.array([10.0, 20, 30]), np.array([1.0, 2, 3]), np.array([4, 5, 6]))
    at = positions(meta, np.array([0, 1, 6, 30], np.uint64))
    np.testing.assert_allclose(
        at, [[10.5, 21, 31.5], [10.5, 21, 34.5], [10.5, 23, 31.5], [11.5, 21, 31.5]]
    )
    with pytest.raises(ValueError, match="voxel 120"):
        positions(meta, np.array([120]))


def write_sparse(path: Path, product_name: str = "sparse3d_data") -> Path:
    """Two events: three voxels; none, and no grid."""
    extent = [("first", "u8"), ("N", "u4")]
    meta = np.zeros(
        1, [("image_sizes", "f8", 3), ("number_of_voxels", "u8", 3), ("origin", "f8", 3)]
    )
    meta["image_sizes"], meta["number_of_voxels"] = 8, 8
    voxels = np.array([(0, 1), (1, 2), (511, 4)], [("id", "u8"), ("value", "f4")])
    with h5py.File(path, "w") as file:
        numbers = [("run", "i8"), ("subrun", "i8"), ("event", "i8")]
        file["Events/event_id"] = np.array([(-1, -1, -1), (3, 4, 5)], numbers)
        group = file.create_group(f"Data/{product_name}_group")
        group["extents"] = np.array([(0, 1), (1, 0)], extent)
        group["voxel_extents"] = np.array([(0, 3, 0)], [*extent, ("ID", "u4")])
        group["image_meta"], group["voxels"] = meta, voxels
    return path


def test_without_truth(tmp_path: Path) -> None:
    with open_input(write_sparse(tmp_path / "a.h5"), Branches(energy_unit="GeV")) as reader:
        assert reader.describe().truth == ()
        products = reader.read(0, 2)
    found = hits(products)
    assert found.value.counts.tolist() == [3, 0]
    assert found.value[0].tolist() == [1000, 2000, 4000]
    assert found.position[0].tolist() == [[0.5, 0.5, 0.5], [0.5, 0.5, 1.5], [7.5, 7.5, 7.5]]
    assert product(products, Header).run.tolist() == [-1, 3]


def test_classes_of_voxels(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "a.h5", "sparse3d_pcluster")
    with h5py.File(path, "a") as file:
        file.copy("Data/sparse3d_pcluster_group", "Data/sparse3d_pcluster_semantics_group")
    with open_input(path) as reader:
        deposits = product(reader.read(0, 2), TruthDeposits)
    assert deposits.semantic[0].tolist() == [1, 2, 4]
    assert deposits.energy[0].tolist() == [1, 2, 4]
    assert deposits.particle[0].tolist() == [-1, -1, -1]


def test_images_are_refused(tmp_path: Path, realdata: Path) -> None:
    with pytest.raises(FormatError, match=r"2D images.*sparse2d_wire"):
        open_input(write_sparse(tmp_path / "a.h5", "sparse2d_wire"))
    with pytest.raises(FormatError, match="without voxels in space"):
        open_input(realdata / "larcv3/larcv3_core_dataformat_test.h5")


def test_extents_beyond_the_rows(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["Data/sparse3d_data_group/voxel_extents"][0] = (0, 9, 0)
    with open_input(path) as reader:
        assert len(hits(reader.read(1, 2)).value.values) == 0
        with pytest.raises(FormatError, match=r"entry 0: .*voxels has 3 rows"):
            reader.read(0, 1)


def test_events_of_a_product_are_missing(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        rest = file["Data/sparse3d_data_group/extents"][:1]
        del file["Data/sparse3d_data_group/extents"]
        file["Data/sparse3d_data_group/extents"] = rest
    with pytest.raises(FormatError, match="has 1 events, the file has 2"):
        open_input(path)
