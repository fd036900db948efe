"""HDF5 files through h5py: tables of rows, and which rows belong to which event."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5l, h5o

from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import CORRUPT, EventReader, first_bytes, guard

MAGIC = b"\x89HDF\r\n\x1a\n"
BLOCK = 1 << 20
"""Rows of an event column read at a time while the file is indexed."""
MAX_COMPRESSION = 20_000
"""Bytes of data per byte of file beyond which a length cannot be true."""


def open_hdf5(path: str, remote: Any = None) -> Any:
    """An open h5py.File, of the path or of an open binary file.

    Raises FormatError when it is none, and when a part of it lies in another file: whoever made it
    would choose what is read on this machine, and a named pipe would never end.
    """
    # a block of the user's may come first; a file cut short is one all the same
    if remote is None and not (first_bytes(path).startswith(MAGIC) or h5py.is_hdf5(path)):
        raise FormatError(f"{path}: not an HDF5 file; an output of `reco run` is one")
    with guard(path, "HDF5 file"):
        file = h5py.File(path if remote is None else remote, "r")
        elsewhere = file.id.links.visit(partial(_elsewhere, file.id), info=True)
    if elsewhere:
        file.close()
        raise FormatError(f"{path}: {elsewhere}, and reco opens no other; copy the data into it")
    return file


def _elsewhere(file: Any, name: bytes, link: Any) -> str | None:
    """Names what is in another file; a soft link leads to what is visited by its own name."""
    shown = repr(name.decode(errors="replace"))
    if link.type not in (h5l.TYPE_HARD, h5l.TYPE_SOFT):
        return f"{shown} is a link to another file"
    try:
        node = h5o.open(file, name) if link.type == h5l.TYPE_HARD else None
    except Exception:  # whatever a broken object makes h5py raise: no reader will open it either
        return None
    if not isinstance(node, h5d.DatasetID):
        return None
    layout = node.get_create_plist()
    if layout.get_layout() == h5d.VIRTUAL or layout.get_external_count():
        return f"dataset {shown} has its rows in other files"
    return None


def check_length(path: str, dataset: Any) -> None:
    """Raise FormatError when a dataset claims more rows than its bytes can hold."""
    claimed = dataset.size * dataset.dtype.itemsize
    if claimed > MAX_COMPRESSION * (dataset.id.get_storage_size() + 4096):
        raise FormatError(
            f"{path}: dataset {dataset.name!r} claims {dataset.shape} rows, far more than the "
            f"file holds; {CORRUPT}"
        )


class Hdf5Reader(EventReader):
    """An EventReader over an open h5py.File, which it closes."""

    def __init__(self, file: Any, path: str) -> None:
        super().__init__(path)
        self.file = file

    def close(self) -> None:
        self.file.close()


class Table:
    """Columns of equal length: one-dimensional datasets of a group, or a compound dataset."""

    def __init__(self, path: str, node: Any) -> None:
        self.path, self.node = path, node
        self.name: str = node.name
        self.is_compound = isinstance(node, h5py.Dataset)
        with guard(path, f"{'dataset' if self.is_compound else 'group'} {node.name!r}"):
            self.columns = _fields(node) if self.is_compound else _datasets(node)
            for dataset in [node] if self.is_compound else self.columns.values():
                check_length(path, dataset)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def first_of(self, names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in self.columns), None)

    def length(self, column: str) -> int:
        return len(self.node) if self.is_compound else len(self.columns[column])

    def read(self, column: str, start: int, stop: int) -> Array:
        with guard(self.path, f"{self.name!r}, column {column!r}, rows {start} to {stop - 1}"):
            if self.is_compound:
                return np.asarray(self.node.fields(column)[start:stop])
            return np.asarray(self.columns[column][start:stop])

    def rows(self, start: int, stop: int) -> Array:
        """Whole rows of a compound dataset."""
        with guard(self.path, f"{self.name!r}, rows {start} to {stop - 1}"):
            return np.asarray(self.node[start:stop])


def _fields(dataset: Any) -> dict[str, Any]:
    dtype = dataset.dtype
    if dataset.ndim != 1 or dtype.names is None:
        return {}
    return {name: None for name in dtype.names if dtype[name].kind in "iufb"}


def _datasets(group: Any) -> dict[str, Any]:
    found = {name: group.get(name) for name in group}
    return {
        name: node
        for name, node in found.items()
        if isinstance(node, h5py.Dataset) and node.ndim == 1 and node.dtype.kind in "iufb"
    }


@dataclass(frozen=True)
class EventIndex:
    """Which rows belong to which event.

    ids: (E,) int64, the file's number of each event. offsets: (E + 1,) int64 that cut the runs
    into events. starts, stops: (R,) int64, runs of rows; one run per event in a sane file.
    """

    ids: Array
    offsets: Array
    starts: Array
    stops: Array

    def __len__(self) -> int:
        return len(self.ids)

    def runs(self, event: int) -> list[tuple[int, int]]:
        cut = slice(self.offsets[event], self.offsets[event + 1])
        return [(int(a), int(b)) for a, b in zip(self.starts[cut], self.stops[cut], strict=True)]


def index_by_columns(table: Table, columns: Sequence[str]) -> EventIndex:
    """Events in the order in which their numbers first appear in columns of all rows.

    columns: of equal length; an event has the same number in each. The last gives the ids.
    """
    n_rows = table.length(columns[0])
    ids, starts = [np.zeros((0, len(columns)), np.int64)], [np.zeros(0, np.int64)]
    last = None
    for first in range(0, n_rows, BLOCK):
        values = _event_numbers(table, columns, first)
        new = np.flatnonzero((np.diff(values, axis=0) != 0).any(axis=1)) + 1
        if last is None or (values[0] != last).any():
            new = np.concatenate([[0], new])
        ids.append(values[new])
        starts.append(first + new)
        last = values[-1]
    begin = np.concatenate(starts)
    end = np.concatenate([begin[1:], np.full(min(len(begin), 1), n_rows)])
    return _grouped(np.concatenate(ids), begin, end)


def _event_numbers(table: Table, columns: Sequence[str], first: int) -> Array:
    """(rows, columns) int64 of a block."""
    blocks = [table.read(column, first, first + BLOCK) for column in columns]
    for column, block in zip(columns, blocks, strict=True):
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise FormatError(
                f"{table.path}: column {column!r} of event numbers holds NaN; {CORRUPT}"
            )
    return np.stack([block.astype(np.int64) for block in blocks], axis=1)


def _grouped(ids: Array, starts: Array, stops: Array) -> EventIndex:
    """Runs of rows -> events, keeping the order of first appearance. ids: (R, columns)."""
    keys = ids[:, 0] if ids.shape[1] == 1 else ids
    unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True, axis=0)
    inverse = inverse.ravel()
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(unique), np.int64)
    rank[order] = np.arange(len(unique))
    event = rank[inverse]
    by_event = np.argsort(event, kind="stable")
    counts = np.bincount(event, minlength=len(unique))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return EventIndex(ids[first[order], -1], offsets, starts[by_event], stops[by_event])


def index_by_offsets(path: str, dataset: Any, n_rows: int) -> EventIndex:
    """Events cut by a dataset of E + 1 row numbers."""
    check_length(path, dataset)
    with guard(path, f"dataset {dataset.name!r}"):
        offsets = np.asarray(dataset[:]).astype(np.int64)
    ok = offsets.ndim == 1 and len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == n_rows
    if not ok or (np.diff(offsets) < 0).any():
        raise FormatError(
            f"{path}: dataset {dataset.name!r} must rise from 0 to {n_rows}, the number of rows"
        )
    n_events = len(offsets) - 1
    ids = np.full(n_events, -1, np.int64)
    return EventIndex(ids, np.arange(n_events + 1), offsets[:-1], offsets[1:])


def with_events(index: EventIndex, ids: Array) -> EventIndex:
    """The same index, and an event without rows for each number that it lacks."""
    more = np.setdiff1d(ids.astype(np.int64), index.ids)
    empty = np.full(len(more), index.offsets[-1])
    return EventIndex(
        np.concatenate([index.ids, more]),
        np.concatenate([index.offsets, empty]),
        index.starts,
        index.stops,
    )
