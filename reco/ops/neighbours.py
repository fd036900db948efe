"""Which points are close to each other, and what hangs together."""

from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from numba import njit

from reco.data.ragged import Array

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
        target, row = _within(*self, targets, float(radius))
        return target, row


@njit(cache=True, nogil=True)
def _within(points, cells, order, low, shape, size, targets, radius):  # type: ignore[no-untyped-def]
    target, row = np.empty(256, np.int64), np.empty(256, np.int64)
    n = 0
    limit = radius * radius
    for t in range(len(targets)):
        x, y, z = targets[t]
        first_z = max(int(np.floor((z - radius) / size)) - low[2], 0)
        last_z = min(int(np.floor((z + radius) / size)) - low[2], shape[2] - 1)
        if last_z < first_z:
            continue
        first_y = max(int(np.floor((y - radius) / size)) - low[1], 0)
        last_y = min(int(np.floor((y + radius) / size)) - low[1], shape[1] - 1)
        first_x = max(int(np.floor((x - radius) / size)) - low[0], 0)
        last_x = min(int(np.floor((x + radius) / size)) - low[0], shape[0] - 1)
        for i in range(first_x, last_x + 1):
            for j in range(first_y, last_y + 1):
                column = (i * shape[1] + j) * shape[2]
                k = np.searchsorted(cells, column + first_z)
                while k < len(cells) and cells[k] <= column + last_z:
                    p = order[k]
                    apart = (
                        (points[p, 0] - x) ** 2 + (points[p, 1] - y) ** 2 + (points[p, 2] - z) ** 2
                    )
                    if apart <= limit:
                        if n == len(row):
                            target = np.append(target, np.empty_like(target))
                            row = np.append(row, np.empty_like(row))
                        target[n], row[n] = t, p
                        n += 1
                    k += 1
    return target[:n].copy(), row[:n].copy()


def close_pairs(points: Array, radius: float) -> Array:
    """(N, 3) -> (E, 2) rows of points not farther apart than radius, each pair once."""
    a, b = Grid.of(points, radius).within(points, radius)
    return np.stack([a, b], axis=1)[a < b]


@njit(cache=True, nogil=True)
def components(pairs, n):  # type: ignore[no-untyped-def]
    """(E, 2) links between n points -> (n,) int32 number of the piece of each, by first point."""
    root = np.arange(n)
    for e in range(len(pairs)):
        a, b = pairs[e]
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
    for c in range(len(links)):
        ahead = rows[offsets[c + 1] : offsets[c + 2]]
        place = order[ahead]
        best = np.inf
        for a in rows[offsets[c] : offsets[c + 1]]:
            middle = np.searchsorted(place, order[a])
            for step in (-1, 1):
                k = middle if step > 0 else middle - 1
                while 0 <= k < len(ahead) and (place[k] - order[a]) ** 2 < best:
                    apart = np.sum((points[a] - points[ahead[k]]) ** 2)
                    if apart < best:
                        best = apart
                        links[c] = a, ahead[k]
                    k += step
    return links


@njit(cache=True, nogil=True)
def shortest(points, pairs, source):  # type: ignore[no-untyped-def]
    """(N,) lengths of the shortest ways from a row along links (E, 2), infinite for none."""
    n = len(points)
    first = np.zeros(n + 1, np.int64)
    for e in range(len(pairs)):
        first[pairs[e, 0] + 1] += 1
        first[pairs[e, 1] + 1] += 1
    first = np.cumsum(first)
    free = first.copy()
    other = np.empty(2 * len(pairs), np.int64)
    for e in range(len(pairs)):
        for side in range(2):
            other[free[pairs[e, side]]] = pairs[e, 1 - side]
            free[pairs[e, side]] += 1
    way = np.full(n, np.inf)
    way[source] = 0.0
    heap = [(0.0, source)]
    while len(heap):
        length, i = heappop(heap)
        if length > way[i]:
            continue
        for k in range(first[i], first[i + 1]):
            j = other[k]
            total = length + np.sqrt(np.sum((points[i] - points[j]) ** 2))
            if total < way[j]:
                way[j] = total
                heappush(heap, (total, j))
    return way
