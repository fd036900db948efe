"""Tables as awkward arrays: flat columns in, records out, and pandas from those."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from reco.data.ragged import Array
from reco.errors import RecoError
from reco.io.store import PRODUCTS
from reco.suggest import unknown

if TYPE_CHECKING:
    import pandas

AXES = ("x", "y", "z")
TABLES = {column.table for product in PRODUCTS for column in product.columns().values()}
VECTOR = "Vector3D"
"""Name of records of x, y and z: that of the package `vector`, which brings their arithmetic."""


# What records can do is found by their names in awkward's registry, so that a pickled array, or one
# of its columns, finds it again.
ak.behavior["__cast__", IntEnum] = int  # or awkward refuses `particles.pid == PID.MUON`
with suppress(ImportError):
    import_module("vector").register_awkward()


@ak.mixin_class(ak.behavior, "reco.Row")
class Row:
    """Rows of a table of an event, or of the events of a file: an awkward array of records.

    Fields, with their units, are in docs/output.md. `start_x`, `start_y`, `start_z` are one field
    `start`, which with the package `vector` knows `mag`, `theta`, `dot`, `-` and so on.
    """

    def __getattr__(self: Any, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError as error:
            if name.startswith("_"):
                raise
            raise AttributeError(
                unknown(f"rows without field {name!r}", name, self.fields, "they have")
            ) from error

    def to_pandas(self: Any) -> "pandas.DataFrame":
        """A data frame, a row each; an array in a row becomes columns `pid_scores_0`, ...

        Of several events, the index tells `entry` (position in this array) and `row` (within
        it). Numbers are not copied, but for those of a selection. Raises RecoError without pandas.
        """
        try:
            import pandas
        except ImportError:
            raise RecoError(
                "pandas is not installed: pip install 'lartpc-reco[notebook]'"
            ) from None
        index, rows = None, self
        if self.ndim > 1:
            within = ak.local_index(self, axis=1)
            entry = np.repeat(np.arange(len(self)), ak.num(self))
            numbers = [entry, ak.to_numpy(ak.flatten(within))]
            index = pandas.MultiIndex.from_arrays(numbers, names=("entry", "row"))
            rows = ak.flatten(self)
        return pandas.DataFrame(_scalars(rows), index=index, copy=False)


def no_table(owner: str, name: str, tables: Sequence[str]) -> str:
    """What to say where a file or an event is asked for something it does not have."""
    if hasattr(Row, name) and tables:
        return f"{owner} has no {name!r}, its tables have: such as .{tables[-1]}.{name}()"
    word = "" if name in TABLES else name  # a right name is no mistake for another
    return unknown(f"{owner} has no table {name!r}", word, tables, "it has")


def table(
    columns: Mapping[str, Array],
    offsets: Array | None,
    *,
    name: str = "reco.Row",
    attrs: Mapping[str, Any] | None = None,
) -> ak.Array:
    """Flat columns (N, ...) -> records, cut into events by offsets (E + 1,) unless None.

    Columns `start_x`, `start_y`, `start_z` become one field `start` with x, y and z. Numbers are
    not copied. name: of the records, by which awkward finds what they can do.
    """
    n_rows = len(next(iter(columns.values()), ()))
    layout = _records(columns, n_rows, name)
    if offsets is not None:
        index = ak.index.Index64(np.ascontiguousarray(offsets, dtype=np.int64))
        layout = ak.contents.ListOffsetArray(index, layout)
    return ak.Array(layout, attrs=attrs)


def _scalars(rows: ak.Array) -> dict[str, Array]:
    """Records of one level -> a flat column for every number in them."""
    columns: dict[str, Array] = {}
    for name in rows.fields:
        values = rows[name]
        if values.fields:
            columns |= {f"{name}_{axis}": ak.to_numpy(values[axis]) for axis in values.fields}
            continue
        flat = ak.to_numpy(values)
        for index in np.ndindex(flat.shape[1:]):
            columns["_".join((name, *map(str, index)))] = flat[(slice(None), *index)]
    return columns


def _records(columns: Mapping[str, Array], n_rows: int, name: str) -> Any:
    fields: dict[str, Any] = {}
    for column, values in columns.items():
        stem, _, axis = column.rpartition("_")
        vector = [columns[f"{stem}_{a}"] for a in AXES if f"{stem}_{a}" in columns]
        if axis not in AXES or len(vector) < len(AXES):
            fields[column] = _content(values)
        elif stem not in fields:
            parts = map(_content, vector)
            fields[stem] = _record(dict(zip(AXES, parts, strict=True)), n_rows, VECTOR)
    return _record(fields, n_rows, name)


def _record(fields: Mapping[str, Any], n_rows: int, name: str) -> Any:
    return ak.contents.RecordArray(
        list(fields.values()), list(fields), length=n_rows, parameters={"__record__": name}
    )


def _content(values: Array) -> Any:
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    elif values.dtype == np.float16:  # few operations of awkward know it
        values = values.astype(np.float32)
    return ak.from_numpy(values, regulararray=True).layout
