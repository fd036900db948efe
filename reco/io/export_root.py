"""Tables as one TTree or RNTuple `events` with an entry per event, through uproot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from reco.data.product import EVENTS
from reco.data.ragged import Array
from reco.errors import RecoError
from reco.io.export import TableWriter
from reco.io.root_writer import new_root_file
from reco.io.tables import Batch, Rows, is_text, scalars, text


class RootTables(TableWriter):
    """`particles_energy` is a list per event; columns of `events` keep their names.

    ntuple: write an RNTuple, with a collection of records per table, instead of a TTree. facts
    are stored as the JSON string `provenance`. A TTree holds no text in rows of which an event
    has several: such columns are left out; and an array such as `pid_scores` becomes the branches
    `particles_pid_scores_0`, `particles_pid_scores_1`, ...
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], *, ntuple: bool) -> None:
        super().__init__(path)
        self.ntuple = ntuple
        self._tree: Any = None
        self._file = new_root_file(self, facts)

    def write(self, batch: Batch) -> None:
        data: dict[str, Any] = {}
        for name, rows in batch.tables.items():
            if name == EVENTS:
                data |= {column: _plain(values) for column, values in rows.columns.items()}
            else:
                data[name] = _lists(self._kept(name, rows))
        try:
            if self._tree is not None:
                self._tree.extend(data)
            elif self.ntuple:
                self._tree = self._file.mkrntuple(EVENTS, data)
            else:
                kinds = {name: values.type.content for name, values in data.items()}
                self._tree = self._file.mktree(EVENTS, kinds)
                self._tree.extend(data)
        except OSError as error:
            raise RecoError(f"{self.path}: writing failed ({error.strerror})") from None

    def _kept(self, name: str, rows: Rows) -> Rows:
        if self.ntuple:
            return rows
        lost = {f"{name}.{c}": c for c, values in rows.columns.items() if is_text(values)}
        self.left_out = tuple(dict.fromkeys((*self.left_out, *lost)))
        kept = {c: values for c, values in rows.columns.items() if c not in lost.values()}
        # uproot (5.7) writes lists of arrays to a TTree that it cannot read back
        return Rows(scalars(kept), rows.offsets)

    def close(self) -> None:
        self._file.close()


def _lists(rows: Rows) -> ak.Array:
    contents = [_plain(values).layout for values in rows.columns.values()]
    record = ak.contents.RecordArray(contents, list(rows.columns), length=int(rows.offsets[-1]))
    offsets = ak.index.Index64(np.ascontiguousarray(rows.offsets, np.int64))
    return ak.Array(ak.contents.ListOffsetArray(offsets, record))


def _plain(values: Array) -> ak.Array:
    if is_text(values):
        return ak.from_numpy(text(values)) if len(values) else ak.Array([""])[:0]
    if values.dtype == np.float16:  # ROOT has none
        values = values.astype(np.float32)
    return ak.from_numpy(np.ascontiguousarray(values), regulararray=True)
