"""Which clusters of voxels are candidates to belong together, and where they come closest.

Clusters are compared through cells: the voxels of one cluster in one cube of the grid. Nearest
neighbours of cells propose pairs of clusters, at two sizes of cells, so that the work grows with
the number of cells and never with the square of the number of clusters.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from reco.data.ragged import Array, offsets_of
from reco.ops.neighbours import linked, square
from reco.ops.voxelize import starts

FINE, COARSE = 4, 16
"""Voxels. Edges of the cells: near pairs are exact, far ones to about one fine cell."""


class Members(NamedTuple):
    """Which rows belong to each of G groups, none of them empty.

    order: (N,) rows, one group after the other, rising within each. offsets: (G + 1,).
    """

    order: Array
    offsets: Array

    @staticmethod
    def of(group: Array) -> "Members":
        """(N,) numbers 0..G-1, each of them present."""
        return Members(np.argsort(group, kind="stable"), offsets_of(np.bincount(group)))

    @property
    def counts(self) -> Array:
        return np.diff(self.offsets)

    def sum(self, values: Array) -> Array:
        """(N, ...) -> (G, ...)."""
        if len(self.offsets) == 1:
            return values[:0]
        return np.add.reduceat(values[self.order], self.offsets[:-1])

    def mean(self, values: Array) -> Array:
        total = self.sum(values)
        return total / self.counts.reshape(-1, *[1] * (total.ndim - 1))

    def mean_and_max(self, values: Array) -> tuple[Array, Array]:
        """(N, K) -> (G, K) float64, and (G, K)."""
        mean = np.empty((len(self.counts), values.shape[1]))
        most = np.empty(mean.shape, values.dtype)
        _mean_and_max(values, *self, mean, most)
        return mean, most


@njit(cache=True, nogil=True)
def _mean_and_max(values, order, offsets, mean, most):  # type: ignore[no-untyped-def]
    columns, total = values.shape[1], np.empty(values.shape[1])
    for g in range(len(mean)):
        first, last = offsets[g], offsets[g + 1]
        for c in range(columns):
            total[c] = most[g, c] = values[order[first], c]
        for k in range(first + 1, last):
            row = order[k]
            for c in range(columns):
                value = values[row, c]
                total[c] += value
                most[g, c] = value if value > most[g, c] else most[g, c]
        for c in range(columns):
            mean[g, c] = total[c] / (last - first)


class Cells(NamedTuple):
    """R cells, each the points of one cluster in one cube.

    centre: (R, 3) mean of the points. cluster: (R,), rising. members: rows of the points.
    """

    centre: Array
    cluster: Array
    members: Members


class Contacts(NamedTuple):
    """M pairs of clusters, each once, sorted by a and b.

    a, b: (M,) clusters, a < b. row_a, row_b: (M,) the rows of their voxels that are closest.
    distance: (M,) between these, voxels.
    """

    a: Array
    b: Array
    row_a: Array
    row_b: Array
    distance: Array


def cells_of(points: Array, cluster: Array, size: float) -> Cells:
    """(N, 3) points in voxels, (N,) clusters -> cells of that size."""
    place = np.floor(points / size).astype(np.int64)
    place -= place.min(axis=0, initial=0)
    shape = place.max(axis=0, initial=0) + 1
    key = ((cluster * shape[0] + place[:, 0]) * shape[1] + place[:, 1]) * shape[2] + place[:, 2]
    order = np.argsort(key, kind="stable")
    first = starts(key[order])
    members = Members(order, np.append(first, len(order)))
    return Cells(members.mean(points), cluster[order[first]], members)


class Sampled(NamedTuple):
    """The voxels of an event at three sizes. points: (N, 3) float, cluster: (N,) int64. fine: over
    points. coarse: over the centres of the fine cells."""

    points: Array
    cluster: Array
    fine: Cells
    coarse: Cells

    @staticmethod
    def of(index: Array, cluster: Array) -> "Sampled":
        points, cluster = index.astype(np.float64), cluster.astype(np.int64)
        fine = cells_of(points, cluster, FINE)
        return Sampled(points, cluster, fine, cells_of(fine.centre, fine.cluster, COARSE))


def contacts(sampled: Sampled, n_near: int, n_cells: int, links: Array, extra: Array) -> Contacts:
    """Pairs of clusters that are close, and those in `extra`.

    n_near: pairs kept for each cluster, the closest first (a pair stays if one of both keeps it).
    n_cells: neighbours that propose, of each cell. links: (L, 2) rows of voxels of different
    clusters that touch. extra: (K, 2) clusters.
    """
    near = _of_cells(sampled, sampled.fine, _neighbours(sampled.fine, n_cells))
    far = _of_cells(sampled, sampled.coarse, _neighbours(sampled.coarse, n_cells))
    close = _nearest(_distinct(sampled, np.concatenate([links, near, far])), n_near)
    wanted = distinct_pairs(extra[extra[:, 0] != extra[:, 1]])
    spans = np.searchsorted(sampled.coarse.cluster, np.arange(_count(sampled) + 1))
    cells = closest_cells(sampled.coarse.centre, spans, wanted)
    rest = _of_cells(sampled, sampled.coarse, cells)
    rows = np.stack([close.row_a, close.row_b], axis=1)
    return _distinct(sampled, np.concatenate([rows, rest]))


def _count(sampled: Sampled) -> int:
    return int(sampled.fine.cluster.max(initial=-1)) + 1


def _neighbours(cells: Cells, k: int) -> Array:
    """(K, 2) cells of different clusters, the second among the k nearest of the first."""
    if len(cells.centre) < 2:
        return np.zeros((0, 2), np.int64)
    near = cKDTree(cells.centre).query(cells.centre, min(k + 1, len(cells.centre)))[1]
    foreign = cells.cluster[near] != cells.cluster[:, None]
    return np.stack([np.nonzero(foreign)[0], near[foreign]], axis=1)


def _of_cells(sampled: Sampled, cells: Cells, pairs: Array) -> Array:
    """(K, 2) cells -> (K, 2) rows of the closest voxels in them."""
    pairs = distinct_pairs(pairs)
    if cells is sampled.coarse:
        pairs = closest_members(sampled.fine.centre, *cells.members, pairs)
    return closest_members(sampled.points, *sampled.fine.members, pairs)


def distinct_pairs(pairs: Array) -> Array:
    """(K, 2) non-negative numbers -> the distinct unordered pairs, smaller first, sorted."""
    low, high = _sorted(*pairs.astype(np.int64, copy=False).T)
    n = int(high.max(initial=0)) + 1
    key = np.sort(low * n + high)
    return np.stack(np.divmod(key[starts(key)], n), axis=1)


def _sorted(a: Array, b: Array) -> tuple[Array, Array]:
    return np.minimum(a, b), np.maximum(a, b)


def _distinct(sampled: Sampled, rows: Array) -> Contacts:
    """(K, 2) rows of voxels -> the closest of each pair of clusters."""
    row_a, row_b = rows.T
    swap = sampled.cluster[row_a] > sampled.cluster[row_b]
    row_a, row_b = np.where(swap, row_b, row_a), np.where(swap, row_a, row_b)
    a, b = sampled.cluster[row_a], sampled.cluster[row_b]
    distance = np.linalg.norm(sampled.points[row_a] - sampled.points[row_b], axis=1)
    key = a * (_count(sampled) + 1) + b
    kept = _closest_of_each(key, np.argsort(key), distance, row_a, row_b)
    return Contacts(a[kept], b[kept], row_a[kept], row_b[kept], distance[kept])


@njit(cache=True, nogil=True)
def _closest_of_each(key, order, distance, row_a, row_b):  # type: ignore[no-untyped-def]
    """Of the entries with the same key (sorted by order) the closest, and of these the first."""
    kept = np.empty(len(order), np.int64)
    n = 0
    for e in order:
        if n == 0 or key[kept[n - 1]] != key[e]:
            kept[n] = e
            n += 1
            continue
        best = kept[n - 1]
        closer = distance[e] < distance[best]
        if distance[e] == distance[best]:
            closer = row_a[e] < row_a[best]
            if row_a[e] == row_a[best]:
                closer = row_b[e] < row_b[best]
        if closer:
            kept[n - 1] = e
    return kept[:n]


def _nearest(pairs: Contacts, n: int) -> Contacts:
    """The pairs that are among the n closest of one of their clusters."""
    # of equally close pairs the first: those with b stand before those with a, as in `pairs`
    cluster = np.concatenate([pairs.b, pairs.a])
    order = np.lexsort((np.tile(pairs.distance, 2), cluster))
    counts = np.bincount(cluster)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.zeros(len(pairs.a), bool)
    kept[order[np.arange(len(order)) - first < n] % max(len(kept), 1)] = True
    return Contacts(*(column[kept] for column in pairs))


@njit(cache=True, nogil=True)
def closest_members(points, order, offsets, pairs):  # type: ignore[no-untyped-def]
    """(K, 2) groups -> (K, 2) rows of points, one in each group, closest to each other."""
    found = np.empty((len(pairs), 2), np.int64)
    for p in range(len(pairs)):
        best = np.inf
        for m in range(offsets[pairs[p, 0]], offsets[pairs[p, 0] + 1]):
            i = order[m]
            for n in range(offsets[pairs[p, 1]], offsets[pairs[p, 1] + 1]):
                j = order[n]
                apart = square(points, i, points, j)
                if apart < best:
                    best = apart
                    found[p, 0], found[p, 1] = i, j
    return found


def closest_cells(centre: Array, spans: Array, pairs: Array) -> Array:
    """(K, 2) clusters -> (K, 2) their closest cells; cluster c has cells spans[c]:spans[c + 1]."""
    return closest_members(centre, np.arange(len(centre)), spans, pairs.astype(np.int64))


def touching(table: Array, cluster: Array, affinity: Array) -> tuple[Array, Array, Array]:
    """Links between voxels of different clusters.

    table: (K, N) neighbour rows, -1 for none. cluster: (N,). affinity: (N, K). Returns (L, 2)
    rows, (L,) affinities and (L, 2) clusters, the smaller first.
    """
    offset, row, other = linked(table, cluster, False)
    swap = cluster[row] > cluster[other]
    rows = np.stack([np.where(swap, other, row), np.where(swap, row, other)], axis=1)
    return rows, affinity[row, offset].astype(np.float32), cluster[rows].astype(np.int64)
