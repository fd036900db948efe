"""The one ragged primitive: flat values and the offsets that cut them into events."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reco.errors import InputError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ragged:
    """Rows of several events, one after the other.

    values: (N, ...) any dtype, the rows of all events.
    offsets: (E + 1,) int64, rising from 0 to N; event i owns rows offsets[i]:offsets[i + 1].

    Raises InputError when the offsets do not cut the values.
    """

    values: Array
    offsets: Array

    def __post_init__(self) -> None:
        offsets = np.asarray(self.offsets, dtype=np.int64)
        if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0:
            raise InputError(f"offsets must be one-dimensional and start at 0, not {offsets[:3]}")
        if offsets[-1] != len(self.values) or (offsets[1:] < offsets[:-1]).any():
            raise InputError(
                f"offsets must rise from 0 to the number of rows ({len(self.values)}), "
                f"and end at {offsets[-1]}"
            )
        object.__setattr__(self, "offsets", offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, event: int) -> Array:
        if event < 0:
            event += len(self)
        return self.values[self.offsets[event] : self.offsets[event + 1]]

    def __iter__(self) -> Iterator[Array]:
        return (self[event] for event in range(len(self)))

    @property
    def counts(self) -> Array:
        """(E,) int64, rows of each event."""
        return np.diff(self.offsets)

    def like(self, values: Array) -> "Ragged":
        """The same cut over other values with as many rows."""
        return Ragged(values, self.offsets)

    @staticmethod
    def of(events: Sequence[Array]) -> "Ragged":
        """Join one array per event (at least one event)."""
        return Ragged(np.concatenate(events), offsets_of([len(rows) for rows in events]))

    @staticmethod
    def one(values: Array) -> "Ragged":
        """A single event."""
        return Ragged(values, np.array([0, len(values)]))


def offsets_of(counts: Sequence[int] | Array) -> Array:
    """(E,) row counts -> (E + 1,) int64 offsets."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int64)
