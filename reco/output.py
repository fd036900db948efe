"""Tables as awkward arrays: of an output file (`reco.open`), or of products in memory."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import awkward as ak
import h5py
import numpy as np

from reco.data.product import Column, Product, column_of
from reco.data.ragged import Array, Ragged
from reco.errors import FormatError, InputError
from reco.io.store import StoredProducts

OFFSETS = "offsets"
AXES = ("x", "y", "z")


class Output:
    """A file written by reco, as awkward arrays with an entry per event.

    `f.voxels.energy`, `f.particles.start.x`, `f.events.status`: a table is read when it is first
    asked for. `f[100:200]` is the same file restricted to these events, for files larger than the
    memory. provenance: how the file was made.

    Raises FormatError when the file is not native, truncated or of a newer version.
    """

    def __init__(self, path: str | Path) -> None:
        with StoredProducts(path) as stored:
            self.provenance: Mapping[str, Any] = stored.provenance
            self._events = range(len(stored))
        self.path = Path(path)
        self._file = h5py.File(path, "r")
        self._read: dict[str, ak.Array] = {}

    def __len__(self) -> int:
        """Number of events."""
        return len(self._events)

    def __getitem__(self, events: slice) -> "Output":
        """The events of a slice (without a step); shares the open file."""
        if not isinstance(events, slice) or events.step not in (None, 1):
            raise InputError("give a range of events, such as f[100:200]")
        part = Output.__new__(Output)
        part.provenance, part.path, part._file = self.provenance, self.path, self._file
        part._events, part._read = self._events[events], {}
        return part

    @property
    def tables(self) -> list[str]:
        return list(self._file)

    @property
    def units(self) -> dict[str, dict[str, str]]:
        """Unit of every column, by table and name in the file; "" for none."""
        return {table: self._attributes(table, "unit") for table in self.tables}

    @property
    def docs(self) -> dict[str, dict[str, str]]:
        """What every column is, by table and name in the file."""
        return {table: self._attributes(table, "doc") for table in self.tables}

    def __getattr__(self, name: str) -> ak.Array:
        if name.startswith("_") or name not in self.tables:
            known = "" if name.startswith("_") else f"; it has {', '.join(self.tables)}"
            raise AttributeError(f"this file has no table {name!r}{known}")
        if name not in self._read:
            self._read[name] = self._table(name)
        return self._read[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def __repr__(self) -> str:
        return f"<Output {self.path}: {len(self)} events; {', '.join(self.tables)}>"

    def _table(self, name: str) -> ak.Array:
        group, events = self._file[name], self._events
        rows, offsets = slice(events.start, events.stop), None
        try:
            if OFFSETS in group:
                offsets = group[OFFSETS][events.start : events.stop + 1]
                rows = slice(int(offsets[0]), int(offsets[-1]))
                offsets = offsets - offsets[0]
            columns = {column: group[column][rows] for column in group if column != OFFSETS}
        except (OSError, KeyError) as error:
            raise FormatError(f"{self.path}: table {name!r} cannot be read ({error})") from None
        return table(columns, offsets)

    def _attributes(self, name: str, attribute: str) -> dict[str, str]:
        group = self._file[name]
        return {c: str(group[c].attrs[attribute]) for c in group if attribute in group[c].attrs}

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open(path: str | Path) -> Output:
    """Open a file written by reco; see `Output` and docs/output.md."""
    return Output(path)


def table_of(products: Iterable[Product], name: str) -> ak.Array:
    """One table of products in memory, an entry per event."""
    columns: dict[str, Array] = {}
    offsets: Array | None = None
    for column, data in _columns(products, name):
        if isinstance(data, Ragged):
            columns[column], offsets = data.values, data.offsets
        else:
            columns[column] = data
    return table(columns, offsets)


def _columns(products: Iterable[Product], name: str) -> Iterator[tuple[str, Array | Ragged]]:
    for product in products:
        for field, data in product.items():
            spec = column_of(field)
            if spec.table == name:
                yield from ((part, _part(data, spec, i)) for i, part in enumerate(spec.parts))


def _part(data: Array | Ragged, spec: Column, i: int) -> Array | Ragged:
    if len(spec.parts) == 1:
        return data
    return data.like(data.values[:, i]) if isinstance(data, Ragged) else data[:, i]


def table(columns: Mapping[str, Array], offsets: Array | None) -> ak.Array:
    """Flat columns (N, ...) -> records, cut into events by offsets (E + 1,) unless None.

    Columns `start_x`, `start_y`, `start_z` become one field `start` with x, y and z. Numbers are
    not copied.
    """
    n_rows = len(next(iter(columns.values()), ()))
    records = _records(columns, n_rows)
    if offsets is None:
        return ak.Array(records)
    index = ak.index.Index64(np.ascontiguousarray(offsets, dtype=np.int64))
    return ak.Array(ak.contents.ListOffsetArray(index, records))


def _records(columns: Mapping[str, Array], n_rows: int) -> Any:
    fields: dict[str, Any] = {}
    for name, values in columns.items():
        stem, _, axis = name.rpartition("_")
        vector = [columns[f"{stem}_{a}"] for a in AXES if f"{stem}_{a}" in columns]
        if axis not in AXES or len(vector) < len(AXES):
            fields[name] = _content(values)
        elif stem not in fields:
            parts = map(_content, vector)
            fields[stem] = _record(dict(zip(AXES, parts, strict=True)), n_rows)
    return _record(fields, n_rows)


def _record(fields: Mapping[str, Any], n_rows: int) -> Any:
    return ak.contents.RecordArray(list(fields.values()), list(fields), length=n_rows)


def _content(values: Array) -> Any:
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    elif values.dtype == np.float16:  # few operations of awkward know it
        values = values.astype(np.float32)
    return ak.from_numpy(values, regulararray=True).layout
