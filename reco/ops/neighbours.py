"""Which points are close to each other, and what hangs together."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from reco.data.ragged import Array
from reco.ops.heap import rise, sink

OFFSETS = np.argwhere(np.ones((3, 3, 3), bool)) - 1
"""(27, 3) steps to a voxel and its neighbours, z fastest: row 13 is the voxel itself, and row
26 - k the opposite of row k."""

TOUCHING = 1.8
"""Distance in voxels within which two voxels share a face, an edge or a corner."""


class Grid(NamedTuple):
    """Points sorted into cubes, so that a search looks at those nearby alone.

    points: (N, 3) float64. cells: (N,) int64 rising numbers of their cubes, z fastest, and order
    the (N,) rows they belong to. low, shape: (3,) int64, the first cube and how many there are.
    """

    points: Array
    cells: Array
    order: Array
    low: Array
    shape: Array
    size: float

    @staticmethod
    def of(points: Array, size: float) -> "Grid":
        """size: edge of the cubes, best about the radius of the searches."""
        points = np.ascontiguousarray(points, np.float64)
        place = np.floor(points / size).astype(np.int64)
        low = place.min(axis=0) if len(place) else np.zeros(3, np.int64)
        place -= low
        shape = place.max(axis=0, initial=0) + 1
        cell = (place[:, 0] * shape[1] + place[:, 1]) * shape[2] + place[:, 2]
        order = np.argsort(cell, kind="stable")
        return Grid(points, cell[order], order, low, shape, float(size))

    def within(self, targets: Array, radius: float) -> tuple[Array, Array]:
        """(T, 3) places -> all (place, row) with the point not farther than radius: (K,), (K,)."""
        targets = np.ascontiguousarray(targets, np.float64)
        room = 16 * len(targets)
        while True:
            target, row = np.empty(room, np.int64), np.empty(room, np.int64)
            room = _within(*self, targets, float(radius), target, row)
            if room <= len(row):
                return target[:room], row[:room]


# Kernels are plain loops over numbers: whole arrays inside them (sums, slices, comparisons) would
# take numba seconds to compile on the first run.


@njit(cache=True, nogil=True)
def _within(points, cells, order, low, shape, size, targets, radius, target, row):  # type: ignore[no-untyped-def]
    """Fill target and row as far as they reach; return how many there are."""
    n = 0
    limit = radius * radius
    for t in range(len(targets)):
        x, y, z = targets[t, 0], targets[t, 1], targets[t, 2]
        first_z = max(math.floor((z - radius) / size) - low[2], 0)
        last_z = min(math.floor((z + radius) / size) - low[2], shape[2] - 1)
        if last_z < first_z:
            continue
        first_y = max(math.floor((y - radius) / size) - low[1], 0)
        last_y = min(math.floor((y + radius) / size) - low[1], shape[1] - 1)
        first_x = max(math.floor((x - radius) / size) - low[0], 0)
        last_x = min(math.floor((x + radius) / size) - low[0], shape[0] - 1)
        for i in range(first_x, last_x + 1):
            for j in range(first_y, last_y + 1):
                column = (i * shape[1] + j) * shape[2]
                k = _first_from(cells, column + first_z)
                while k < len(cells) and cells[k] <= column + last_z:
                    p = order[k]
                    dx, dy, dz = points[p, 0] - x, points[p, 1] - y, points[p, 2] - z
                    if dx * dx + dy * dy + dz * dz <= limit:
                        if n < len(row):
                            target[n], row[n] = t, p
                        n += 1
                    k += 1
    return n


@njit(cache=True, nogil=True)
def _first_from(rising, value):  # type: ignore[no-untyped-def]
    """np.searchsorted of one value."""
    low, high = 0, len(rising)
    while low < high:
        middle = (low + high) // 2
        if rising[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


def close_pairs(points: Array, radius: float) -> Array:
    """(N, 3) -> (E, 2) rows of points not farther apart than radius, each pair once."""
    a, b = Grid.of(points, radius).within(points, radius)
    return np.stack([a, b], axis=1)[a < b]


@njit(cache=True, nogil=True)
def linked(table, group, same):  # type: ignore[no-untyped-def]
    """(K, N) rows of the neighbours at K offsets, -1 for none -> (3, L): offset, row, neighbour.

    Of those in the same of the groups (N,), or of those in different ones.
    """
    n = 0
    for k in range(table.shape[0]):
        for i in range(table.shape[1]):
            n += table[k, i] >= 0 and (group[i] == group[table[k, i]]) == same
    found, n = np.empty((3, n), np.int64), 0
    for k in range(table.shape[0]):
        for i in range(table.shape[1]):
            j = table[k, i]
            if j >= 0 and (group[i] == group[j]) == same:
                found[0, n], found[1, n], found[2, n] = k, i, j
                n += 1
    return found


@njit(cache=True, nogil=True)
def components(pairs, n):  # type: ignore[no-untyped-def]
    """(E, 2) links between n points -> (n,) int32 number of the piece of each, by first point."""
    root = np.empty(n, np.int64)
    for i in range(n):
        root[i] = i
    for e in range(len(pairs)):
        a, b = pairs[e, 0], pairs[e, 1]
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        while root[b] != b:
            root[b] = root[root[b]]
            b = root[b]
        # the smaller number stays, so that every root is the first point of its piece
        root[max(a, b)] = min(a, b)
    piece = np.empty(n, np.int32)
    count = 0
    for i in range(n):
        if root[i] == i:
            piece[i] = count
            count += 1
        else:
            piece[i] = piece[root[i]]
    return piece


def bridges(points: Array, piece: Array, order: Array) -> Array:
    """Links that make one of several pieces.

    points: (N, 3). piece: (N,) number of each point's piece, 0..C-1. order: (N,) coordinate by
    whose mean the pieces are put in a row; a length along an axis, so that points are at least as
    far apart as it says. Returns (C - 1, 2): of each two pieces that follow each other, the two
    points nearest to each other.
    """
    counts = np.bincount(piece)
    mean = np.bincount(piece, order) / counts
    rank = np.empty(len(mean), np.int64)
    rank[np.argsort(mean, kind="stable")] = np.arange(len(mean))
    rows = np.lexsort((order, rank[piece]))
    offsets = np.searchsorted(rank[piece][rows], np.arange(len(mean) + 1))
    return np.asarray(_bridges(points.astype(np.float64), order, rows, offsets))


@njit(cache=True, nogil=True)
def _bridges(points, order, rows, offsets):  # type: ignore[no-untyped-def]
    links = np.empty((len(offsets) - 2, 2), np.int64)
    place = np.empty(len(rows))
    for k in range(len(rows)):
        place[k] = order[rows[k]]
    for c in range(len(links)):
        first, last = offsets[c + 1], offsets[c + 2]
        best = np.inf
        for m in range(offsets[c], first):
            a = rows[m]
            middle = first + _first_from(place[first:last], order[a])
            for step in (-1, 1):
                k = middle if step > 0 else middle - 1
                while first <= k < last and (place[k] - order[a]) ** 2 < best:
                    apart = square(points, a, points, rows[k])
                    if apart < best:
                        best = apart
                        links[c, 0], links[c, 1] = a, rows[k]
                    k += step
    return links


@njit(inline="always")
def square(a, i, b, j):  # type: ignore[no-untyped-def]
    """Squared distance of row i of (N, 3) points a from row j of (M, 3) points b."""
    x, y, z = a[i, 0] - b[j, 0], a[i, 1] - b[j, 1], a[i, 2] - b[j, 2]
    return x * x + y * y + z * z


@njit(cache=True, nogil=True)
def shortest(points, pairs, source):  # type: ignore[no-untyped-def]
    """(N,) lengths of the shortest ways from a row along links (E, 2), infinite for none."""
    n = len(points)
    # the neighbours of row i: other[first[i] : first[i + 1]]
    first, other = np.zeros(n + 2, np.int64), np.empty(2 * len(pairs), np.int64)
    for e in range(len(pairs)):
        first[pairs[e, 0] + 2] += 1
        first[pairs[e, 1] + 2] += 1
    for i in range(n):
        first[i + 2] += first[i + 1]
    for e in range(len(pairs)):
        for side in range(2):
            i = pairs[e, side] + 1
            other[first[i]] = pairs[e, 1 - side]
            first[i] += 1
    way = np.full(n, np.inf)
    way[source] = 0.0
    # a heap of rows by their length when they were put in: at most once for each end of a link
    key, row = np.empty(len(other) + 1), np.empty(len(other) + 1, np.int64)
    key[0], row[0], size = 0.0, source, 1
    while size:
        length, i = key[0], row[0]
        size -= 1
        sink(key, row, size, key[size], row[size])
        if length > way[i]:
            continue
        for k in range(first[i], first[i + 1]):
            j = other[k]
            total = length + math.sqrt(square(points, i, points, j))
            if total < way[j]:
                way[j] = total
                rise(key, row, size, total, j)
                size += 1
    return way
