"""SPINE's output of version 1 and 2: real files, and small ones written here."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from reco.data.products import Header, Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.errors import FormatError
from reco.io.branches import Branches
from reco.io.recognise import open_input
from tests.io.files import hits, product, same

V1, V2 = "spine/spine_v1.h5", "spine/spine_v2.h5"


@pytest.mark.parametrize("name", [V1, V2])
def test_points_of_a_real_file(realdata: Path, name: str) -> None:
    with h5py.File(realdata / V2) as file:
        points, values = (file[f"products/{n}/values"][:] for n in ("points", "depositions"))
        offsets = file["products/points/event_offsets"][:]
    with open_input(realdata / name) as reader:
        assert reader.describe().format == f"SPINE HDF5, version {name[-4]}"
        assert len(reader) == 3
        products = reader.read(0, 3)
    found = hits(products)
    np.testing.assert_array_equal(found.position.offsets, offsets)
    np.testing.assert_array_equal(found.position.values, points)
    np.testing.assert_array_equal(found.value.values, values)
    header = product(products, Header)
    assert header.event.tolist() == [0, 1, 2]
    assert header.run.tolist() == [1, 1, 1]


def test_both_versions_say_the_same(realdata: Path) -> None:
    with open_input(realdata / V1) as one, open_input(realdata / V2) as two:
        assert same(one.read(0, 3), two.read(0, 3))


def test_truth_of_a_real_file(realdata: Path) -> None:
    with open_input(realdata / V2) as reader:
        products = reader.read(0, 3)
    with h5py.File(realdata / V2) as file:
        objects = file["products/truth_particles/fixed"][:]
        vertex = file["products/truth_interactions/fixed"]["vertex"]
    deposits, particles = product(products, TruthDeposits), product(products, TruthParticles)
    np.testing.assert_array_equal(particles.pdg.values, objects["pdg_code"])
    counts = [np.bincount(rows[rows >= 0]) for rows in deposits.particle]
    np.testing.assert_array_equal(np.concatenate(counts), objects["size"])
    sums = [
        np.bincount(rows[rows >= 0], energy[rows >= 0])
        for rows, energy in zip(deposits.particle, deposits.energy, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(sums), objects["depositions_sum"], rtol=1e-5)
    np.testing.assert_allclose(particles.energy_deposit.values, np.concatenate(sums), rtol=1e-5)
    assert np.isnan(particles.energy.values).all(), "the file has no energies"
    assert np.isnan(particles.start.values).all()
    interactions = product(products, TruthInteractions)
    np.testing.assert_array_equal(interactions.vertex.values, vertex)
    assert interactions.n_particles.values.tolist() == [3, 3, 2]
    assert interactions.pdg.values.tolist() == [0, 0, 0]


OBJECT = [
    ("id", "i8"),
    ("shape", "i8"),
    ("pid", "i8"),
    ("pdg_code", "i8"),
    ("interaction_id", "i8"),
    ("parent_id", "i8"),
    ("is_primary", "?"),
    ("is_contained", "?"),
    ("start_point", "f4", (3,)),
    ("momentum", "f4", (3,)),
    ("ke", "f8"),
    ("t", "f8"),
]


def write(path: Path, *, units: str = "cm", truth: bool = True, **extra: Any) -> Path:
    """Version 2, two events: the first with three true particles, the second empty."""
    with h5py.File(path, "w") as file:
        file["events"] = np.arange(2)
        info = file.create_group("info")
        info.attrs.update({"format": "spine_hdf5", "format_version": 2, "cfg": ""})
        points = np.arange(15, dtype=np.float32).reshape(5, 3)
        arrays = {"points": points, "depositions": np.array([1, 2, 3, 4, 5], np.float32)} | extra
        for name, values in arrays.items():
            file[f"products/{name}/values"] = values
            file[f"products/{name}/event_offsets"] = [0, len(values), len(values)]
        if truth:
            _write_particles(file.create_group("products/truth_particles"), units)
    return path


def _write_particles(group: h5py.Group, units: str) -> None:
    index = [[0, 1], [], [1, 3, 4]]
    adapted: list[list[int]] = [[], [], []]
    rows = np.zeros(3, [*OBJECT, ("_var_offsets_0", "i8", (3,)), ("_var_offsets_1", "i8", (2,))])
    rows["id"], rows["shape"], rows["pid"], rows["pdg_code"] = [10, 11, 12], 1, 2, 13
    rows["interaction_id"], rows["is_primary"] = [5, 5, 6], [True, True, False]
    rows["parent_id"], rows["ke"], rows["t"] = [10, 10, 10], [50, 60, np.nan], 2000
    rows["momentum"] = [0, 0, 2]
    lists = [rows for pair in zip(index, adapted, strict=True) for rows in pair]
    cuts = np.cumsum([0, *map(len, lists)])
    rows["_var_offsets_0"] = [cuts[i : i + 3] for i in (0, 2, 4)]
    rows["_var_offsets_1"] = (np.arange(3)[:, None] + [0, 1]) * len(units)
    group["fixed"] = rows
    group["event_offsets"] = [0, 3, 3]
    pools = [("index index_adapt", np.array([n for p in lists for n in p], np.int32))]
    pools.append(("units", np.frombuffer((units * 3).encode(), np.uint8)))
    for i, (names, values) in enumerate(pools):
        pool = group.create_group(f"variables/pool_{i}")
        pool["values"] = values
        pool.attrs["fields"] = "".join(f"- {name}\n" for name in names.split())


def test_particles_that_left_a_point(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5")) as reader:
        products = reader.read(0, 2)
    deposits, particles = product(products, TruthDeposits), product(products, TruthParticles)
    np.testing.assert_array_equal(deposits.particle.counts, [5, 0])
    assert deposits.particle[0].tolist() == [0, 0, -1, 1, 1], "of two the first has a point"
    assert deposits.semantic[0].tolist() == [1, 1, -1, 1, 1]
    assert deposits.fragment[0].tolist() == [-1] * 5
    assert particles.parent[0].tolist() == [-1, 0]
    assert particles.interaction[0].tolist() == [0, 1]
    assert particles.is_primary[0].tolist() == [True, False]
    np.testing.assert_allclose(particles.direction[0], [[0, 0, 1], [0, 0, 1]])
    by_momentum = np.hypot(2, 105.6583755) - 105.6583755
    np.testing.assert_allclose(particles.energy[0], [50, by_momentum], rtol=1e-5)
    np.testing.assert_allclose(particles.time[0], [2, 2])
    interactions = product(products, TruthInteractions)
    assert interactions.topology[0].tolist() == [b"1mu", b""]
    assert np.isnan(interactions.vertex[0]).all()


def test_labels_on_points_of_their_own(tmp_path: Path) -> None:
    extra = {
        "points_label": np.ones((6, 3), np.float32),
        "depositions_label": np.arange(6, dtype=np.float32),
    }
    with open_input(write(tmp_path / "a.h5", **extra)) as reader:
        products = reader.read(0, 1)
    assert len(hits(products).value.values) == 5
    deposits = product(products, TruthDeposits)
    assert deposits.particle.values.tolist() == [0, 0, -1, 1, 1, -1]
    assert deposits.energy.values.tolist() == [0, 1, 2, 3, 4, 5]


def test_data_has_no_truth(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5", truth=False)) as reader:
        assert reader.describe().truth == ()
        assert len(reader.read(0, 1)) == 2


def test_charge_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", truth=False, depositions_q=np.full(5, 2000.0))
    with open_input(path, Branches(charge="depositions_q", charge_unit="e")) as reader:
        found = hits(reader.read(0, 1))
    assert found.quantity.tolist() == [Quantity.CHARGE]
    assert found.value.values.tolist() == [2] * 5


def test_pixels_are_refused(tmp_path: Path) -> None:
    with (
        open_input(write(tmp_path / "a.h5", units="px")) as reader,
        pytest.raises(FormatError, match=r"entry 0: .*pixels"),
    ):
        reader.read(0, 1)


def test_no_points(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["products/points"]
    with pytest.raises(FormatError, match="without points"):
        open_input(path)


def test_an_index_beyond_the_points(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["products/truth_particles/variables/pool_0/values"][-1] = 7
    with open_input(path) as reader, pytest.raises(FormatError, match="reaches point 7 of 5"):
        reader.read(0, 1)


def test_a_later_version(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["info"].attrs["format_version"] = 3
    with pytest.raises(FormatError, match="format version 3; 1 and 2"):
        open_input(path)
