"""The tables of a native file as flat columns, some events at a time, whatever they are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from reco.data.product import EVENTS
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import CORRUPT, Closing, guard, span
from reco.io.hdf5 import open_hdf5
from reco.io.store import StoredProducts

OFFSETS = "offsets"


@dataclass(frozen=True)
class Rows:
    """Some events of one table. columns: (N, ...) each. offsets: (E + 1,) from 0 that cut them."""

    columns: Mapping[str, Array]
    offsets: Array

    @property
    def counts(self) -> Array:
        """(E,) rows of each event."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Batch:
    """All tables of some events. entry: (E,) int64, position of each event in the input."""

    entry: Array
    tables: Mapping[str, Rows]


class StoredTables(Closing):
    """The tables of a native file.

    about: table -> column -> (unit, what it is). Raises FormatError when the file is not native,
    truncated or of a newer version.
    """

    def __init__(self, path: str | Path) -> None:
        with StoredProducts(path) as stored:
            self.provenance: Mapping[str, Any] = stored.provenance
            self._n_events = len(stored)
        self.path = Path(path)
        self._file = open_hdf5(str(path))
        with guard(str(path), "file of reco"):
            self.names = [name for name in self._file if isinstance(self._file[name], h5py.Group)]
            self.about = {name: _about(self._file[name]) for name in self.names}

    def __len__(self) -> int:
        """Number of events."""
        return self._n_events

    def batches(self, names: list[str], size: int) -> Iterator[Batch]:
        """These tables, `size` events at a time; one batch of none where there are no events."""
        for start in range(0, max(len(self), 1), size):
            stop = min(start + size, len(self))
            tables = {name: self.rows(name, start, stop) for name in names}
            yield Batch(self._entry(start, stop), tables)

    def _entry(self, start: int, stop: int) -> Array:
        events = self.rows(EVENTS, start, stop).columns if EVENTS in self.names else {}
        return np.asarray(events.get("entry", np.arange(start, stop)))

    def rows(self, name: str, start: int, stop: int) -> Rows:
        """One table of the events start to stop - 1; of none, too."""
        with guard(str(self.path), f"table {name!r}, {span(start, max(stop, start + 1))}"):
            return self._rows(self._file[name], start, stop)

    def _rows(self, group: h5py.Group, start: int, stop: int) -> Rows:
        if OFFSETS in group:
            offsets = np.asarray(group[OFFSETS][start : stop + 1])
        else:
            offsets = np.arange(start, stop + 1)
        first, last = int(offsets[0]), int(offsets[-1])
        if first < 0 or len(offsets) != stop - start + 1 or (np.diff(offsets) < 0).any():
            raise ValueError("its offsets do not rise from event to event")
        columns = {name: _wide(group[name][first:last]) for name in group if name != OFFSETS}
        for name, values in columns.items():
            if len(values) != last - first:
                raise FormatError(
                    f"{self.path}: column {name!r} of {group.name.strip('/')!r} ends after "
                    f"{len(group[name])} rows, its events reach row {last}; {CORRUPT}"
                )
        return Rows(columns, offsets - first)

    def close(self) -> None:
        self._file.close()


def _wide(values: Array) -> Array:
    """Sixteen bits are for the disk: sums of them overflow, and not every format has them."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _about(group: h5py.Group) -> dict[str, tuple[str, str]]:
    columns = {name: group[name].attrs for name in group if name != OFFSETS}
    return {n: (str(a.get("unit", "")), str(a.get("doc", ""))) for n, a in columns.items()}


def text(values: Array) -> Array:
    """Bytes of fixed width -> an array of Python strings."""
    return np.char.decode(values, "utf-8", "replace")


def is_text(values: Array) -> bool:
    return values.dtype.kind == "S"


def scalars(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Columns of one number per row: an array `scores` becomes `scores_0`, `scores_1`, ..."""
    out = {}
    for name, values in columns.items():
        if values.ndim == 1:
            out[name] = values
            continue
        for index in np.ndindex(values.shape[1:]):
            out["_".join((name, *map(str, index)))] = values[(slice(None), *index)]
    return out
