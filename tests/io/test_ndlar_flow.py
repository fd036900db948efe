"""ndlar_flow: a file of its own writer, and one with interleaved references."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.data.products import Header, Quantity
from reco.errors import FormatError
from reco.io.branches import Branches
from reco.io.recognise import open_input
from tests.io.files import hits, product

REAL = "ndlar_flow/h5flow_layout.h5"
HIT = [("id", "u4"), ("x", "f8"), ("y", "f8"), ("z", "f8"), ("t_drift", "f8"), ("Q", "f8")]
FINAL, PROMPT = "charge/calib_final_hits", "charge/calib_prompt_hits"


def write(path: Path, name: str = FINAL) -> Path:
    """Three events: hits 0, 3, 4 of the first; 1, 2 of the last; none of the second."""
    rows = np.zeros(5, [*HIT, ("E", "f8")])
    rows["id"], rows["x"], rows["t_drift"] = np.arange(5), np.arange(5) * 10, 20
    rows["Q"], rows["E"] = [5, 6, 7, 8, -0.5], [0.1, 0.2, 0.3, 0.4, 0.5]
    with h5py.File(path, "w") as file:
        file[f"{name}/data"] = rows
        events = np.zeros(3, [("id", "u8"), ("nhit", "u4")])
        events["id"] = [40, 41, 42]
        file["charge/events/data"] = events
        references = [[0, 0], [2, 1], [2, 2], [0, 3], [0, 4]]
        file[f"charge/events/ref/{name}/ref"] = np.array(references, np.uint32)
        regions = np.array([(0, 5), (0, 0), (1, 3)], [("start", "i4"), ("stop", "i4")])
        file[f"charge/events/ref/{name}/ref_region"] = regions
    return path


def test_a_real_layout(realdata: Path) -> None:
    with h5py.File(realdata / REAL) as file:
        rows, events = file[f"{PROMPT}/data"][:], file["charge/events/data"][:]
    with open_input(realdata / REAL) as reader:
        assert reader.describe().format == "ndlar_flow HDF5"
        products = reader.read(0, len(reader))
    found = hits(products)
    np.testing.assert_array_equal(found.value.counts, events["nhit"])
    assert (found.quantity == Quantity.CHARGE).all()
    sums = [event.sum() for event in found.value]
    np.testing.assert_allclose(sums, events["Q"], rtol=1e-5)
    np.testing.assert_allclose(found.position.values[:, 2], rows["z"].astype(np.float32))
    np.testing.assert_allclose(found.time.values, rows["t_drift"] * 0.1, rtol=1e-6)


@pytest.mark.parametrize("name", [FINAL, PROMPT])
def test_references_are_masked(tmp_path: Path, name: str) -> None:
    with open_input(write(tmp_path / "a.h5", name)) as reader:
        products = reader.read(0, 3)
    found = hits(products)
    assert found.value[0].tolist() == [5, 8], "the negative one is left out"
    assert found.value[1].tolist() == []
    assert found.value[2].tolist() == [6, 7]
    assert found.position[2][:, 0].tolist() == [10, 20]
    assert found.time[2].tolist() == [2, 2]
    assert product(products, Header).event.tolist() == [40, 41, 42]


def test_energy_by_name(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5"), Branches(energy="E")) as reader:
        found = hits(reader.read(2, 3))
    assert found.quantity.tolist() == [Quantity.ENERGY]
    np.testing.assert_allclose(found.value.values, [0.2, 0.3])


def test_hits_without_position_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", "charge/raw_hits")
    with pytest.raises(FormatError, match="without charge/calib_final_hits"):
        open_input(path)
    with pytest.raises(FormatError, match="lacks W"):
        open_input(path, Branches(tree="charge/raw_hits", charge="W"))


def test_a_reference_to_nowhere(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file[f"charge/events/ref/{FINAL}/ref"][4] = [0, 9]
    with open_input(path) as reader:
        assert len(hits(reader.read(2, 3)).value.values) == 2
        with pytest.raises(FormatError, match=r"entry 0: .*no row 9"):
            reader.read(0, 1)


def test_no_references(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["charge/events/ref"]
    with pytest.raises(FormatError, match="no references"):
        open_input(path)
