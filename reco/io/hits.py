"""The border: the columns of one event, checked and turned into products."""

from dataclasses import dataclass

import numpy as np

from reco.data.products import Header, Hits, Quantity, TruthDeposits
from reco.data.ragged import Array, Ragged
from reco.io.base import Entry, as_float32

SENTINELS = (-999.0, -9999.0)
"""What ntuples write in place of a position that does not exist."""


@dataclass(frozen=True)
class HitColumns:
    """The hits of one event as a file has them, already in cm, MeV or ke, and µs.

    position: (N, 3). value, time: (N,). names: the branches of x, y, z, value and time.
    """

    position: Array
    value: Array
    time: Array
    names: tuple[str, ...]


def header_of(entry: Entry, run: int = -1, subrun: int = -1, event: int = -1) -> Header:
    """Header of one event; -1 for a number that the file does not have."""
    one = [np.array([number], np.int64) for number in (run, subrun, event, entry.number)]
    return Header(*one)


def hits_of(entry: Entry, columns: HitColumns, quantity: Quantity) -> Hits:
    """Hits of one event. Raises FormatError that names entry, branch and row of a bad number."""
    position = as_float32(columns.position).reshape(-1, 3)
    value, time = as_float32(columns.value), as_float32(columns.time)
    for axis in range(3):
        _finite(entry, columns.names[axis], position[:, axis])
    _finite(entry, columns.names[3], value)
    _finite(entry, columns.names[4], time)
    if len(value) and value.min() < 0:
        row = int(np.argmin(value))
        raise entry.error(
            columns.names[3],
            f"is negative ({value[row]:g}) at row {row}",
            "charges and energies must not be: subtract no pedestal, or drop such hits",
        )
    return Hits(
        Ragged.one(position), Ragged.one(value), Ragged.one(time), np.array([quantity], np.int8)
    )


def _finite(entry: Entry, name: str, values: Array) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        raise entry.error(
            name,
            f"holds {values[row]} at row {row} ({int(bad.sum())} of {len(values)} rows)",
            "drop such hits when the file is written",
        )


def has_position(position: Array) -> Array:
    """(N, 3) in the file's own unit -> (N,) bool, False where all three are the same sentinel."""
    missing = np.zeros(len(position), bool)
    for sentinel in SENTINELS:
        missing |= (position == sentinel).all(axis=1)
    return ~missing


def deposits_on_hits(
    hits: Hits, energy: Array, semantic: Array, fragment: Array, particle: Array
) -> TruthDeposits:
    """Truth of one event that stands on its hits, one row each; -1 where there is none."""
    cut = hits.value
    return TruthDeposits(
        hits.position,
        cut.like(as_float32(energy)),
        cut.like(np.asarray(semantic, np.int8)),
        cut.like(np.asarray(fragment, np.int32)),
        cut.like(np.asarray(particle, np.int32)),
    )
