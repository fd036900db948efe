"""Flat HDF5: rows cut by an event column or by offsets, in groups or compound datasets."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.data.products import Quantity, TruthDeposits
from reco.errors import FormatError
from reco.io.branches import Branches
from reco.io.recognise import open_input
from tests.io.files import COUNTS, hits, product, write_groups, write_rows


def columns_of(n: int, seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = {axis: rng.uniform(-100, 100, n).astype(np.float32) for axis in "xyz"}
    return columns | {"energy": rng.uniform(0, 5, n).astype(np.float32)}


@pytest.mark.parametrize("write", [write_groups, write_rows])
@pytest.mark.parametrize("name", ["event", "event_id", "eventID"])
def test_events_by_a_column(tmp_path: Path, write, name) -> None:
    columns = columns_of(9)
    event = np.array([4, 4, 4, 9, 9, 2, 2, 2, 2])
    with open_input(write(tmp_path / "a.h5", columns | {name: event})) as reader:
        assert len(reader) == 3
        header, read = reader.read(0, 3)
    assert header.event.tolist() == [4, 9, 2]
    assert read.value.counts.tolist() == [3, 2, 4]
    assert np.array_equal(read.value.values, columns["energy"])
    assert np.array_equal(read.position.values[:, 2], columns["z"])


def test_events_by_offsets_with_their_numbers(tmp_path: Path) -> None:
    columns = columns_of(sum(COUNTS))
    offsets = np.concatenate([[0], np.cumsum(COUNTS)])
    extra = {"offsets": offsets, "event": np.arange(10, 15), "run": np.full(5, 3)}
    with open_input(write_groups(tmp_path / "a.h5", columns | extra)) as reader:
        header, read = reader.read(0, 5)
        one = hits(reader.read(4, 5))
    assert read.value.counts.tolist() == list(COUNTS)
    assert header.event.tolist() == [10, 11, 12, 13, 14]
    assert header.run.tolist() == [3] * 5
    assert np.array_equal(one.value.values, columns["energy"][-40:])


@settings(max_examples=30, deadline=None)
@given(event=st.lists(st.integers(0, 6), max_size=60))
def test_interleaved_events_are_gathered(tmp_path_factory, event: list[int]) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.h5"
    columns = columns_of(len(event))
    numbers = np.array(event, np.int32)
    with open_input(write_rows(path, columns | {"event_id": numbers})) as reader:
        order = list(dict.fromkeys(event))
        assert len(reader) == len(order)
        for i, number in enumerate(order):
            header, read = reader.read(i, i + 1)
            assert header.event[0] == number
            assert np.array_equal(read.value.values, columns["energy"][numbers == number])


def test_names_units_and_labels(tmp_path: Path) -> None:
    columns = columns_of(4)
    rows = {"a": columns["x"], "b": columns["y"], "c": columns["z"], "q": columns["energy"]}
    rows |= {"ev": np.array([1, 1, 2, 2]), "semantic": np.array([0, 1, 2, -1])}
    rows["true_energy"] = columns["x"] ** 2
    branches = Branches(
        x="a", y="b", z="c", charge="q", event="ev", length_unit="m", charge_unit="e"
    )
    with open_input(write_rows(tmp_path / "a.h5", rows), branches) as reader:
        products = reader.read(0, 2)
    assert hits(products).quantity.tolist() == [Quantity.CHARGE] * 2
    assert hits(products).value.values == pytest.approx(columns["energy"] / 1000)
    assert hits(products).position.values[:, 0] == pytest.approx(columns["x"] * 100)
    assert product(products, TruthDeposits).semantic.values.tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize(("column", "bad"), [("x", np.nan), ("z", np.inf), ("energy", -0.1)])
def test_a_bad_number_fails_its_event_alone(tmp_path: Path, column, bad) -> None:
    columns = columns_of(6) | {"event": np.array([0, 0, 1, 1, 2, 2])}
    columns[column][3] = bad
    with open_input(write_groups(tmp_path / "a.h5", columns)) as reader:
        reader.read(0, 1)
        reader.read(2, 3)
        with pytest.raises(FormatError, match=rf"entry 1: branch '{column}'"):
            reader.read(1, 2)


def test_no_way_to_cut_the_rows(tmp_path: Path) -> None:
    path = write_groups(tmp_path / "a.h5", columns_of(3))
    with pytest.raises(FormatError, match="event or event_id"):
        open_input(path)
    path = write_groups(tmp_path / "b.h5", columns_of(3) | {"offsets": np.array([0, 2, 4])})
    with pytest.raises(FormatError, match="rise from 0 to 3"):
        open_input(path)
    path = write_groups(tmp_path / "c.h5", columns_of(3) | {"offsets": np.array([0, 3, 1, 3])})
    with pytest.raises(FormatError, match="rise from 0 to 3"):
        open_input(path)


def test_unequal_columns_and_two_tables(tmp_path: Path) -> None:
    columns = columns_of(3) | {"event": np.zeros(3, int)}
    columns["y"] = columns["y"][:2]
    with pytest.raises(FormatError, match="'y' of '/hits' has 2 rows"):
        open_input(write_groups(tmp_path / "a.h5", columns))
    path = write_groups(tmp_path / "b.h5", columns_of(3) | {"event": np.zeros(3, int)}, "one")
    with h5py.File(path, "a") as file:
        file.copy("one", "two")
    with pytest.raises(FormatError, match="/one, /two"):
        open_input(path)
    with open_input(path, Branches(tree="two")) as reader:
        assert len(reader) == 1


def test_a_length_that_cannot_be_true(tmp_path: Path) -> None:
    """A corrupt shape must not make the reader walk through 10^15 rows."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in ("x", "y", "z", "energy", "event"):
            file.create_dataset(f"hits/{name}", (10**15,), "f4", chunks=(1024,))
    with pytest.raises(FormatError, match="far more than"):
        open_input(path)


def test_other_names_are_guessed(tmp_path: Path) -> None:
    columns = columns_of(3)
    rows = {f"hit_{axis}": columns[axis] for axis in "xyz"} | {"edep": columns["energy"]}
    guess = "--set input.x=hit_x --set input.y=hit_y --set input.z=hit_z --set input.energy=edep"
    for path in (write_rows(tmp_path / "a.h5", rows), write_groups(tmp_path / "b.h5", rows)):
        with pytest.raises(FormatError, match="no hits named x, y, z and charge or energy") as told:
            open_input(path)
        assert guess in str(told.value)
        assert "'/hits' has edep, hit_x, hit_y, hit_z" in str(told.value)
    numbered = rows | {"evtNo": np.zeros(3), "runNo": np.zeros(3)}
    with pytest.raises(FormatError) as told:
        open_input(write_groups(tmp_path / "c.h5", numbered | {"hit_energy": np.ones(2)}))
    assert f"{guess} --set input.run=runNo --set input.event=evtNo, and if not" in str(told.value)
    with pytest.raises(FormatError, match="no group or dataset 'hit'; did you mean 'hits'"):
        open_input(path, Branches(tree="hit"))


@pytest.mark.parametrize("write", [write_groups, write_rows])
def test_an_event_is_of_its_run(tmp_path: Path, write) -> None:
    """Numbers of events begin again in each run."""
    numbers = {"runNo": np.array([7, 7, 8, 8, 7]), "evtNo": np.array([1, 2, 1, 1, 2])}
    path = write(tmp_path / "a.h5", columns_of(5) | numbers)
    with pytest.raises(FormatError, match=r"perhaps: --set input.event=evtNo"):
        open_input(path)
    with open_input(path, Branches(event="evtNo")) as reader:
        assert reader.describe().notes[0].endswith("perhaps: --set input.run=runNo")
    with open_input(path, Branches(run="runNo", event="evtNo")) as reader:
        header, read = reader.read(0, 3)
    assert list(zip(header.run, header.event, strict=True)) == [(7, 1), (7, 2), (8, 1)]
    assert read.value.counts.tolist() == [1, 2, 2]


def test_places_in_one_dataset_of_three_columns(tmp_path: Path) -> None:
    columns = columns_of(9)
    place = np.stack([columns.pop(axis) for axis in "xyz"], axis=1)
    path = write_groups(tmp_path / "a.h5", columns | {"pos": place, "event": np.arange(9) // 3})
    with pytest.raises(FormatError, match=r"input\.x=pos_x --set input\.y=pos_y"):
        open_input(path)
    with open_input(path, Branches(x="pos_x", y="pos_y", z="pos_z")) as reader:
        read = hits(reader.read(1, 3))
    assert np.array_equal(read.position.values, place[3:])


def test_a_group_per_event_is_told_what_to_do(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(3):
            for name, values in columns_of(4).items():
                file[f"event_{number}/{name}"] = values
    with pytest.raises(FormatError, match=r"event_0, /event_1.* one event each.*'Flat HDF5'"):
        open_input(tmp_path / "a.h5")
