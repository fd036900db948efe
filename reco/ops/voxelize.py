"""Points onto a grid: packed voxel numbers, sums per voxel, look-up, and labels by precedence."""

import numpy as np

from reco.data.ragged import Array

CHUNK = 1 << 20
"""Rows that callers treat at once, so that temporaries stay small beside the input."""


def pack(index: Array, shape: tuple[int, int, int]) -> Array:
    """(N, 3) voxels on a grid of that shape -> (N,) int64 numbers, ordered as (i, j, k) are."""
    i, j, k = index.astype(np.int64).T
    number: Array = (i * shape[1] + j) * shape[2] + k
    return number


def unpack(number: Array, shape: tuple[int, int, int]) -> Array:
    """Inverse of `pack`: (N,) -> (N, 3) int32."""
    rest, k = np.divmod(number, shape[2])
    i, j = np.divmod(rest, shape[1])
    return np.stack([i, j, k], axis=1).astype(np.int32)


def accumulate(number: Array, value: Array) -> tuple[Array, Array]:
    """Sum the values of equal numbers.

    number: (N,) int64. value: (N,) float. Returns the distinct numbers, rising, and their sums
    (float64). The sum does not depend on anything but the order of the rows.
    """
    order = np.argsort(number, kind="stable")
    number = number[order]
    first = starts(number)
    if len(first) == 0:
        return number, np.zeros(0)
    return number[first], np.add.reduceat(value[order].astype(np.float64, copy=False), first)


def starts(rising: Array) -> Array:
    """(N,) sorted -> positions at which a new value begins."""
    return np.flatnonzero(np.diff(rising, prepend=rising[:1] - 1))


def lookup(number: Array, wanted: Array) -> Array:
    """Position of each wanted number in a rising array of distinct numbers; -1 where absent."""
    if len(number) == 0:
        return np.full(len(wanted), -1, np.int64)
    row = np.minimum(np.searchsorted(number, wanted), len(number) - 1)
    return np.where(number[row] == wanted, row, -1)


def dominant(number: Array, rank: Array, cluster: Array, energy: Array) -> Array:
    """For each distinct voxel number the row that names it.

    Of the deposits in a voxel the lowest rank wins, and within it the cluster with most energy
    there (then the lowest cluster number). number, rank, cluster: (N,) integers; energy: (N,).
    Returns one row of the input per distinct number, in rising order of number: the first row
    of the cluster that won.
    """
    order = np.lexsort((cluster, rank, number))
    changed = np.zeros(len(order), bool)
    changed[:1] = True
    for key in (number, rank, cluster):
        changed[1:] |= np.diff(key[order]) != 0
    first = np.flatnonzero(changed)
    if len(first) == 0:
        return order
    total = np.add.reduceat(energy[order].astype(np.float64), first)
    row = order[first]
    best = np.lexsort((cluster[row], -total, rank[row], number[row]))
    return row[best][starts(number[row][best])]
