"""Every format holds what the native file holds: round trips compared with numpy alone."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from reco import convert as module
from reco.cli import main
from reco.convert import convert
from reco.data.product import EVENTS
from reco.data.ragged import Array, Ragged, offsets_of
from reco.errors import FormatError, RecoError
from reco.io.store import PRODUCTS, Writer

COUNTS = {"voxels": [7, 0, 1, 30, 4], "hits": [9, 0, 2, 40, 5]}
N_EVENTS = 5


def values_of(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Array:
    if dtype.startswith("S"):
        words = np.array(["", "1mu1p", 'a "b", c', "2γ"]).astype(object)
        chosen = rng.choice(words, shape[0])
        return np.array([word.encode() for word in chosen], dtype)
    if dtype == "?":
        return rng.random(shape) > 0.5
    if np.dtype(dtype).kind == "i":
        return rng.integers(-1, 100, shape).astype(dtype)
    values = rng.normal(0, 50, shape).astype(dtype)
    return np.where(rng.random(shape) < 0.1, np.nan, values).astype(dtype)


def write_native(path: Path, n_events: int = N_EVENTS, *, internal: bool = False) -> Path:
    """All products with random numbers; events count from entry 5."""
    rng = np.random.default_rng(4)
    products = []
    for kind in PRODUCTS:
        columns: dict[str, Any] = {}
        for name, spec in kind.columns().items():
            counts = COUNTS.get(spec.table, [2, 0, 0, 3, 1])[:n_events]
            n = n_events if spec.table == EVENTS else sum(counts)
            values = values_of(rng, spec.dtype, (n, *(4 if k < 0 else k for k in spec.shape)))
            columns[name] = values
            if spec.table != EVENTS:
                columns[name] = Ragged(values, offsets_of(counts))
            elif name == "entry":
                columns[name] = np.arange(5, 5 + n)
        products.append(kind(**columns))
    with Writer(path, {"input": "x"}, internal=internal) as out:
        out.write(products)
    return path


@pytest.fixture
def native(tmp_path: Path) -> Path:
    return write_native(tmp_path / "out.h5")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two events at a time, so that files are made of several batches."""
    monkeypatch.setattr(module, "EVENTS_PER_BATCH", 2)


def tables_of(path: Path) -> dict[str, tuple[dict[str, Array], Array]]:
    """table -> (columns, offsets); text decoded."""
    out = {}
    with h5py.File(path) as file:
        for name, group in file.items():
            columns = {c: group[c][:] for c in group if c != "offsets"}
            offsets = group["offsets"][:] if "offsets" in group else np.arange(N_EVENTS + 1)
            out[name] = ({c: decoded(v) for c, v in columns.items()}, offsets)
    return out


def decoded(values: Array) -> Array:
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def assert_same(found: Array, expected: Array, what: str) -> None:
    if expected.dtype.kind == "U":
        assert found.tolist() == expected.tolist(), what
    else:
        assert found.dtype.kind == expected.dtype.kind, what
        np.testing.assert_array_equal(found, expected, err_msg=what)


def test_ttree(native: Path, tmp_path: Path) -> None:
    done = convert(native, tmp_path / "out.root")
    assert done.format == "ttree"
    assert done.events == N_EVENTS
    assert done.left_out == ("interactions.topology", "truth_interactions.topology")
    with uproot.open(tmp_path / "out.root") as file:
        tree = file["events"]
        for table, (columns, offsets) in tables_of(native).items():
            for column, expected in columns.items():
                if f"{table}.{column}" in done.left_out:
                    continue
                if table == EVENTS:
                    found = tree[column].array()
                    assert_same(ak.to_numpy(found), expected, column)
                    continue
                for index in np.ndindex(expected.shape[1:]):
                    name = "_".join((table, column, *map(str, index)))
                    found = tree[name].array()
                    np.testing.assert_array_equal(ak.to_numpy(ak.num(found)), np.diff(offsets))
                    flat = ak.to_numpy(ak.flatten(found, axis=1))
                    assert_same(flat, expected[(slice(None), *index)], name)
        assert json.loads(str(file["provenance"]))["provenance"] == {"input": "x"}
        assert json.loads(str(file["provenance"]))["columns"]["voxels"]["x"]["unit"] == "cm"


def test_rntuple(native: Path, tmp_path: Path) -> None:
    done = convert(native, tmp_path / "out.root", format="rntuple")
    assert done.left_out == ()
    with uproot.open(tmp_path / "out.root") as file:
        data = file["events"].arrays()
    assert len(data) == N_EVENTS
    for table, (columns, offsets) in tables_of(native).items():
        for column, expected in columns.items():
            found = data[column] if table == EVENTS else data[table][column]
            if table != EVENTS:
                np.testing.assert_array_equal(ak.to_numpy(ak.num(found)), np.diff(offsets))
                found = ak.flatten(found, axis=1)
            assert_same(ak.to_numpy(found), expected, f"{table}.{column}")


def test_parquet(native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("reco.io.export_parquet.EVENTS_PER_PART", 4)
    convert(native, tmp_path / "out.parquet")
    for table, (columns, offsets) in tables_of(native).items():
        folder = tmp_path / "out.parquet" / table
        assert len(list(folder.iterdir())) == 2
        data = parquet.read_table(folder)
        assert data.num_rows == offsets[-1]
        for column, expected in columns.items():
            found = np.array(data[column].to_pylist())
            if len(found):
                assert_same(found.reshape(expected.shape), expected, f"{table}.{column}")
        entry = np.repeat(np.arange(5, 5 + N_EVENTS), np.diff(offsets))
        np.testing.assert_array_equal(data["entry"].to_numpy(), entry)
    schema = parquet.read_schema(tmp_path / "out.parquet/particles/part-00000.parquet")
    assert schema.field("energy").metadata[b"unit"] == b"MeV"
    assert str(schema.field("energy").type) == "float"


def test_csv(native: Path, tmp_path: Path) -> None:
    done = convert(native, tmp_path / "out.csv")
    assert done.left_out == ("hits", "truth_deposits", "truth_voxels", "voxels")
    tables = tables_of(native)
    for table in done.tables:
        columns, offsets = tables[table]
        with (tmp_path / f"out.csv/{table}.csv").open(newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file))
        words = dict(zip(head, zip(*rows, strict=True), strict=True)) if rows else {}
        for column, expected in columns.items():
            flat = expected.reshape(len(expected), -1)
            names = [n for n in head if n == column or n.startswith(f"{column}_")]
            names = [column] if column in head else names
            assert len(names) == flat.shape[1]
            for i, name in enumerate(names):
                found = parsed(words.get(name, ()), expected.dtype)
                assert_same(found, flat[:, i], f"{table}.{name}")
        entry = np.repeat(np.arange(5, 5 + N_EVENTS), np.diff(offsets))
        assert [int(n) for n in words["entry"]] == entry.tolist()
    facts = json.loads((tmp_path / "out.csv/provenance.json").read_text())
    assert facts["columns"]["particles"]["energy"]["unit"] == "MeV"


def parsed(words: tuple[str, ...], dtype: Any) -> Array:
    if dtype.kind == "b":
        assert set(words) <= {"True", "False"}
        return np.array([word == "True" for word in words], bool)
    return np.array(words, str if dtype.kind == "U" else dtype)


def test_only_some_tables(native: Path, tmp_path: Path) -> None:
    done = convert(native, tmp_path / "a.csv", tables=["voxels"])
    assert set(done.tables) == {"voxels", "events"}
    assert done.left_out == ()
    names = {path.name for path in (tmp_path / "a.csv").iterdir()}
    assert names == {"voxels.csv", "events.csv", "provenance.json"}
    with pytest.raises(RecoError, match="no table 'particle'; did you mean 'particles'"):
        convert(native, tmp_path / "b.csv", tables=["particle"])
    assert not (tmp_path / "b.csv").exists()


@pytest.mark.parametrize("name", ["a.root", "a.parquet", "a.csv"])
def test_no_events(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    native = write_native(tmp_path / "none.h5", 0)
    assert convert(native, tmp_path / name).events == 0
    if name == "a.root":
        assert uproot.open(tmp_path / name)["events"].num_entries == 0
        convert(native, tmp_path / "b.root", format="rntuple")
        assert uproot.open(tmp_path / "b.root")["events"].num_entries == 0


@pytest.mark.parametrize("format", module.FORMATS)
def test_internal_columns_are_kept(tmp_path: Path, format: str) -> None:
    """Half precision among them, which none of the formats is sure to hold."""
    if format == "parquet":
        pytest.importorskip("pyarrow")
    native = write_native(tmp_path / "all.h5", internal=True)
    convert(native, tmp_path / "out", format=format)
    with h5py.File(native) as file:
        expected = file["voxels/features"][:]
    if format in ("ttree", "rntuple"):
        data = uproot.open(tmp_path / "out")["events"]
        last = data["voxels_features_3"].array() if format == "ttree" else None
        found = data.arrays()["voxels"]["features"][..., 3] if last is None else last
        np.testing.assert_array_equal(ak.to_numpy(ak.flatten(found, axis=1)), expected[:, 3])


def refused(tmp_path: Path, match: str, act: Callable[[], object]) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RecoError, match=match):
        act()
    assert sorted(tmp_path.iterdir()) == before, "nothing half-written"


def test_what_cannot_be(native: Path, tmp_path: Path) -> None:
    name = tmp_path / "out.xyz"
    refused(tmp_path, "does not tell the format", lambda: convert(native, name))
    refused(tmp_path, "did you mean 'parquet'", lambda: convert(native, name, format="parket"))
    refused(tmp_path, "there is no folder", lambda: convert(native, tmp_path / "no/out.root"))
    refused(tmp_path, "is the input itself", lambda: convert(native, native, format="ttree"))
    (tmp_path / "other.h5").write_bytes(b"x")
    with pytest.raises(FormatError):
        convert(tmp_path / "other.h5", tmp_path / "a.root")


@pytest.mark.parametrize("name", ["a.root", "a.csv", "a.parquet"])
def test_replacing(native: Path, tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    output = tmp_path / name
    convert(native, output)
    refused(tmp_path, "exists; add --overwrite", lambda: convert(native, output))
    convert(native, output, tables=["particles"], overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out.h5"])


def test_a_folder_of_others_is_not_replaced(native: Path, tmp_path: Path) -> None:
    folder = tmp_path / "thesis.csv"
    folder.mkdir()
    (folder / "chapter.txt").write_text("years of work")
    refused(tmp_path, "other files", lambda: convert(native, folder, overwrite=True))
    assert (folder / "chapter.txt").read_text() == "years of work"


@pytest.mark.parametrize("format", module.FORMATS)
def test_a_broken_file_leaves_nothing(tmp_path: Path, format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    native = write_native(tmp_path / "out.h5")
    with h5py.File(native, "a") as file:
        values = file["particles/energy"][:2]
        del file["particles/energy"]
        file["particles/energy"] = values
    with pytest.raises(RecoError):
        convert(native, tmp_path / "out", format=format)
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]


def test_pyarrow_is_missing(native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    refused(tmp_path, r"reco\[parquet\]", lambda: convert(native, tmp_path / "a.parquet"))


def test_command_line(
    native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    output = tmp_path / "a.root"
    monkeypatch.setattr(sys, "argv", ["reco", "convert", str(native), "-o", str(output)])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert left.value.code == 0
    assert out.startswith(f"5 events written to {output} as ttree: ")
    assert "left out: interactions.topology, truth_interactions.topology (a TTree" in err
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert "exists; add --overwrite" in capsys.readouterr().err
