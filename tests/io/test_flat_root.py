"""Flat ROOT: what was written is read, and what is wrong is told."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from reco.data.products import Header, Quantity, TruthDeposits
from reco.errors import FormatError, InputError
from reco.io.branches import Branches
from reco.io.recognise import open_input
from tests.io.files import COUNTS, hits, jagged, product, write_ntuple, write_tree

MAKIU = Branches(
    x="EnDepX",
    y="EnDepY",
    z="EnDepZ",
    energy="EnDepE",
    t="EnDepT",
    time_unit="ns",
    run="RunID",
    subrun="SubRunID",
    event="EventID",
)


@pytest.fixture
def columns() -> dict[str, ak.Array]:
    return jagged(COUNTS)


@pytest.mark.parametrize("write", [write_tree, write_ntuple])
def test_what_was_written_is_read(tmp_path: Path, columns, write) -> None:
    numbers = {"run": np.full(5, 7), "event": np.arange(100, 105)}
    path = write(tmp_path / "a.root", columns | numbers)
    with open_input(path) as reader:
        assert len(reader) == 5
        header, read = reader.read(0, 5)
        assert reader.describe().quantity is Quantity.CHARGE
    assert read.position.counts.tolist() == list(COUNTS)
    for i, axis in enumerate("xyz"):
        assert np.array_equal(read.position.values[:, i], ak.to_numpy(ak.flatten(columns[axis])))
    assert np.array_equal(read.value.values, ak.to_numpy(ak.flatten(columns["charge"])))
    assert np.array_equal(read.time.values, ak.to_numpy(ak.flatten(columns["t"])))
    assert header.run.tolist() == [7] * 5
    assert header.event.tolist() == [100, 101, 102, 103, 104]
    assert header.subrun.tolist() == [-1] * 5
    assert header.entry.tolist() == [0, 1, 2, 3, 4]


def test_any_range_is_the_same_cut_of_the_whole(tmp_path: Path) -> None:
    """Several baskets of unequal size, read in every way."""
    whole = jagged((3, 0, 7, 1, 2, 9, 0, 4))
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("t", {n: v.type.content for n, v in whole.items()})
        for start, stop in ((0, 3), (3, 4), (4, 8)):
            tree.extend({n: v[start:stop] for n, v in whole.items()})
    with open_input(path) as reader:
        for start in range(8):
            for stop in range(start + 1, 9):
                read = hits(reader.read(start, stop))
                expected = ak.to_numpy(ak.flatten(whole["x"][start:stop]))
                assert np.array_equal(read.position.values[:, 0], expected)
        with pytest.raises(InputError, match="has 8"):
            reader.read(3, 9)
        with pytest.raises(InputError):
            reader.read(2, 2)


def test_names_and_units_are_the_users(tmp_path: Path) -> None:
    rows = jagged((2, 3))
    path = write_tree(
        tmp_path / "a.root", {"px": rows["x"], "py": rows["y"], "pz": rows["z"], "e": rows["t"]}
    )
    branches = Branches(x="px", y="py", z="pz", energy="e", length_unit="mm", energy_unit="GeV")
    with open_input(path, branches) as reader:
        read = hits(reader.read(0, 2))
    assert read.quantity.tolist() == [Quantity.ENERGY] * 2
    assert read.position.values[:, 1] == pytest.approx(ak.to_numpy(ak.flatten(rows["y"])) / 10)
    assert read.value.values == pytest.approx(ak.to_numpy(ak.flatten(rows["t"])) * 1000)
    assert (read.time.values == 0).all()


def test_charge_goes_before_energy_unless_asked(tmp_path: Path, columns) -> None:
    path = write_tree(tmp_path / "a.root", columns | {"energy": columns["t"]})
    with open_input(path) as reader:
        assert reader.describe().quantity is Quantity.CHARGE
        assert "'charge' is taken; --set input.energy=energy" in reader.describe().notes[0]
    with open_input(path, Branches(energy="energy")) as reader:
        assert reader.describe().quantity is Quantity.ENERGY
        assert reader.describe().notes == ()


@pytest.mark.parametrize(
    ("branch", "bad", "word"),
    [
        ("x", np.nan, "nan"),
        ("y", np.inf, "inf"),
        ("z", -np.inf, "inf"),
        ("charge", -1.0, "negative"),
        ("charge", np.nan, "nan"),
        ("t", np.nan, "nan"),
    ],
)
def test_a_bad_number_fails_its_event_alone(tmp_path: Path, columns, branch, bad, word) -> None:
    flat = ak.to_numpy(ak.flatten(columns[branch])).copy()
    flat[6] = bad
    columns[branch] = ak.unflatten(flat, np.array(COUNTS))
    with open_input(write_tree(tmp_path / "a.root", columns)) as reader:
        for good in (0, 1, 2, 4):
            reader.read(good, good + 1)
        for start, stop in ((3, 4), (0, 5)):
            with pytest.raises(FormatError, match=rf"entry 3: branch '{branch}' .*{word}.*row 0"):
                reader.read(start, stop)


def test_hits_without_a_position_are_left_out(tmp_path: Path) -> None:
    position = ak.Array([[-999.0, 1.0, -999.0], [-999.0]])
    columns = {"x": position, "y": position, "z": position}
    columns["energy"] = ak.Array([[-999.0, 2.0, 3.0], [1.0]])
    with open_input(write_tree(tmp_path / "a.root", columns)) as reader:
        read = hits(reader.read(0, 2))
    assert read.value.counts.tolist() == [1, 0]
    assert read.value.values.tolist() == [2.0]


def test_columns_of_unequal_length(tmp_path: Path) -> None:
    columns = {n: ak.Array([[1.0, 2.0], [3.0]]) for n in ("x", "y", "energy")}
    columns["z"] = ak.Array([[1.0, 2.0], [3.0, 4.0]])
    with open_input(write_tree(tmp_path / "a.root", columns)) as reader:
        reader.read(0, 1)
        with pytest.raises(FormatError, match="entry 1: branch 'z' has 2 rows"):
            reader.read(1, 2)


def test_labels_of_hits(tmp_path: Path, columns) -> None:
    total = sum(COUNTS)
    labels = {n: np.arange(total) % 5 for n in ("semantic", "fragment", "particle")}
    more = {n: ak.unflatten(v, np.array(COUNTS)) for n, v in labels.items()}
    more["true_energy"] = columns["t"]
    with open_input(write_tree(tmp_path / "a.root", columns | more)) as reader:
        truth = product(reader.read(0, 5), TruthDeposits)
        assert reader.describe().truth == ("TruthDeposits",)
    assert truth.semantic.values.tolist() == labels["semantic"].tolist()
    assert np.array_equal(truth.energy.values, ak.to_numpy(ak.flatten(columns["t"])))


def test_labels_of_charges_need_an_energy(tmp_path: Path, columns) -> None:
    columns["semantic"] = ak.values_astype(columns["x"] * 0, np.int32)
    path = write_tree(tmp_path / "a.root", columns)
    with pytest.raises(FormatError, match="true_energy"):
        open_input(path)


def test_an_unknown_class_fails_its_event(tmp_path: Path, columns) -> None:
    columns["energy"] = columns.pop("charge")
    columns["semantic"] = ak.values_astype(columns["x"] * 0 + 9, np.int32)
    with (
        open_input(write_tree(tmp_path / "a.root", columns)) as reader,
        pytest.raises(FormatError, match=r"entry 0: branch 'semantic'.*class 9"),
    ):
        reader.read(0, 1)


def test_a_missing_branch_is_named_with_those_there_are(tmp_path: Path, columns) -> None:
    path = write_tree(tmp_path / "a.root", columns)
    with pytest.raises(FormatError, match=r"named depth.*charge, t, x, y, z"):
        open_input(path, Branches(x="depth"))
    with pytest.raises(FormatError, match="no usable branch 'clock' for 't'"):
        open_input(path, Branches(t="clock"))
    with pytest.raises(FormatError, match=r"'tt' for 't'; did you mean 't'\?; name another"):
        open_input(path, Branches(t="tt"))
    with pytest.raises(FormatError, match=r"no tree 'other' \(its trees: hits\)"):
        open_input(path, Branches(tree="other"))


def test_two_trees_with_hits_must_be_told_apart(tmp_path: Path, columns) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        for name in ("one", "two"):
            file.mktree(name, {n: v.type.content for n, v in columns.items()}).extend(columns)
    with pytest.raises(FormatError, match="one, two"):
        open_input(path)
    with open_input(path, Branches(tree="two")) as reader:
        assert len(reader) == 5


def test_larsoft(realdata: Path) -> None:
    path = realdata / "larsoft_flat" / "Makiu_analyzeItOutput_R2-2_SR1-1.root"
    with pytest.raises(FormatError, match="EnDepX"):
        open_input(path)
    with open_input(path, MAKIU) as reader:
        header, read = reader.read(0, 10)
    counts = [8459, 6796, 3134, 1703, 7823, 5213, 4189, 9746, 6905, 71]
    assert read.value.counts.tolist() == counts
    sums = [float(v.sum(dtype=np.float64)) for v in read.value]
    expected = [
        *(537.564, 469.822, 229.546, 292.547, 488.544),
        *(542.448, 386.824, 746.042, 423.839, 4.452),
    ]
    assert sums == pytest.approx(expected, abs=1e-3)
    assert read.position[0][0, 0] == pytest.approx(26.284686)
    assert read.time[0][0] == pytest.approx(0.23132027)
    assert (header.run[0], header.subrun[0], header.event.tolist()) == (2, 1, list(range(1, 11)))


def test_protodune_and_an_empty_event(realdata: Path) -> None:
    names = Branches(
        x="reco_beam_calo_X", y="reco_beam_calo_Y", z="reco_beam_calo_Z", charge="reco_beam_dQ"
    )
    with open_input(realdata / "larsoft_flat" / "coffea_pduneana.root", names) as reader:
        products = reader.read(0, 10)
    assert hits(products).value.counts.tolist() == [0, 0, 0, 3, 0, 0, 0, 0, 0, 0]
    assert hits(products).value.values == pytest.approx([9.98116779, 4.75418615, 7.80417823])
    assert product(products, Header).event[:2].tolist() == [42866, 42873]
    names = Branches(
        x="simide_x", y="simide_y", z="simide_z", charge="simide_numElectrons", charge_unit="e"
    )
    with open_input(realdata / "larsoft_flat" / "sbnd_celltree.root", names) as reader:
        assert hits(reader.read(0, 1)).value.counts.tolist() == [0]


@pytest.mark.parametrize(
    ("names", "then"),
    [
        ("x y z energy", ""),
        ("x y z energy evtNo", "; and then: --set input.event=evtNo"),
        (
            "hx hy hz hq evtNo",
            "; and then: --set input.x=hx --set input.y=hy --set input.z=hz --set input.charge=hq "
            "--set input.event=evtNo",
        ),
    ],
)
def test_an_entry_per_hit(tmp_path: Path, names: str, then: str) -> None:
    path = write_tree(tmp_path / "a.root", {name: np.ones(4, np.float32) for name in names.split()})
    with pytest.raises(FormatError, match=r"in 'hits' an entry is one hit: .*docs/formats.md") as e:
        open_input(path)
    assert str(e.value).endswith(f"docs/formats.md{then}")


def test_all_guesses_are_in_one_message(tmp_path: Path, columns) -> None:
    """And none of them is a branch with another number of rows than the positions."""
    odd = {f"hit_{name}": columns[name] for name in "xyz"} | {"q": columns["charge"]}
    others = {"hit_edep": jagged((1,) * 5)["charge"], "evtNo": np.arange(5)}
    with pytest.raises(FormatError) as told:
        open_input(write_tree(tmp_path / "a.root", odd | others))
    guess = " ".join(f"--set input.{n}=hit_{n}" for n in "xyz")
    assert f"perhaps: {guess} --set input.charge=q --set input.event=evtNo, and" in str(told.value)


def test_numbers_of_other_names_are_suggested(tmp_path: Path, columns) -> None:
    numbers = {"runNo": np.full(5, 3), "evtNo": np.arange(5)}
    path = write_tree(tmp_path / "a.root", columns | numbers)
    with open_input(path) as reader:
        told = "perhaps: --set input.run=runNo --set input.event=evtNo"
        assert [note.partition("; ")[2] for note in reader.describe().notes] == [told]


def test_the_units_that_are_applied(tmp_path: Path, columns) -> None:
    path = write_tree(tmp_path / "a.root", columns)
    with open_input(path) as reader:
        by_default = "length cm (by default), time us (by default), charge ke (by default)"
        assert reader.describe().units == by_default
    with open_input(path, Branches(length_unit="mm", time_unit="ns", charge_unit="e")) as reader:
        assert reader.describe().units == "length mm, time ns, charge e"


def test_a_file_cut_short_without_a_whole_event(tmp_path: Path) -> None:
    whole = write_tree(tmp_path / "a.root", jagged((2000,) * 5)).read_bytes()
    cut = tmp_path / "cut.root"
    cut.write_bytes(whole[: len(whole) // 3])
    told = r"cut short: its last \d+ bytes are missing"
    with pytest.raises(FormatError, match=f"{told}, and no event is whole"):
        open_input(cut)
    with pytest.raises(FormatError, match=f"{told}: copy or make it again; of what is left: "):
        open_input(cut, Branches(x="hx"))
