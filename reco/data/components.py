"""Voxels that touch: connected components and neighbours of occupied voxels, near-linear.

Two voxels touch when no coordinate differs by more than one (26 neighbours). Voxels can carry a
group (a particle, a class); only voxels of one group are ever joined.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from reco.data.ragged import Array
from reco.errors import InputError


@dataclass(frozen=True)
class Occupied:
    """The distinct (group, voxel) pairs of some points, sorted.

    key: (M,) int64, distinct and rising. group: (M,) int64. row: (N,) int64, pair of each point.
    strides: step of the key along x, y, z and from one group to the next. The grid is padded, so
    that key arithmetic never reaches around an edge.
    """

    key: Array
    group: Array
    row: Array
    strides: tuple[int, int, int, int]

    def same_voxel(self, rows: Array, groups: Array) -> Array:
        """(K,) pairs and groups -> (K,) row of the same voxel in that group, or -1."""
        wanted = self.key[rows] + (groups - self.group[rows]) * self.strides[3]
        found = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        rows_there: Array = np.where(self.key[found] == wanted, found, -1)
        return rows_there

    def touching(self, rows: Array, groups: Array) -> Array:
        """(K,) pairs and groups -> (K,) row of some voxel of that group within one, or -1."""
        centre = self.key[rows] + (groups - self.group[rows]) * self.strides[3]
        near: Array = _first_neighbour(self.key, centre, self.strides[0], self.strides[1])
        return near

    def components(self) -> Array:
        """(M,) int64, number of the connected component of each pair, from 0 in order of key."""
        number: Array = _components(self.key, self.strides[0], self.strides[1])
        return number


def occupied(index: Array, group: Array | None = None) -> Occupied:
    """(N, 3) integer voxel indices and (N,) groups >= 0 -> the distinct pairs.

    Raises InputError when the indices spread so far that keys do not fit 63 bits.
    """
    groups = np.zeros(len(index), np.int64) if group is None else group.astype(np.int64)
    axes = [_compact(index[:, axis]) for axis in range(3)]
    sizes = [int(a.max(initial=0)) + 2 for a in axes]
    strides = (sizes[1] * sizes[2], sizes[2], 1, sizes[0] * sizes[1] * sizes[2])
    if strides[3] * (int(groups.max(initial=0)) + 1) > 2**62:
        raise InputError(f"{len(index)} voxels spread over {sizes} cells are too many to number")
    keys = groups * strides[3] + axes[0] * strides[0] + axes[1] * strides[1] + axes[2]
    unique, row = np.unique(keys, return_inverse=True)
    return Occupied(unique, unique // strides[3], row.reshape(-1), strides)


def connected_components(index: Array, group: Array | None = None) -> Array:
    """Components of touching voxels: (N, 3) integers, (N,) groups >= 0 -> (N,) int64 from 0."""
    pairs = occupied(index, group)
    return pairs.components()[pairs.row]


def _compact(values: Array) -> Array:
    """Close all gaps wider than one empty cell: the same neighbours in few cells, from 1."""
    unique, inverse = np.unique(values, return_inverse=True)
    steps = np.minimum(np.diff(unique.astype(np.int64)), 2)
    return (np.concatenate([[1], 1 + np.cumsum(steps)]))[inverse.reshape(-1)]


@njit(cache=True)
def _find(parent, i):  # type: ignore[no-untyped-def]
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)
def _unite(parent, i, j):  # type: ignore[no-untyped-def]
    a, b = _find(parent, i), _find(parent, j)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@njit(cache=True)
def _components(key, stride_x, stride_y):  # type: ignore[no-untyped-def]
    # The neighbours ahead of a voxel lie in its own row and in four others; as keys rise, the
    # place of each of these rows only moves forward, so five sweeps see every pair.
    n = len(key)
    parent = np.arange(n)
    for i in range(n - 1):
        if key[i + 1] == key[i] + 1:
            _unite(parent, i, i + 1)
    for row in (stride_y, stride_x - stride_y, stride_x, stride_x + stride_y):
        ahead = 0
        for i in range(n):
            while ahead < n and key[ahead] < key[i] + row - 1:
                ahead += 1
            j = ahead
            while j < n and key[j] <= key[i] + row + 1:
                _unite(parent, i, j)
                j += 1
    label = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        root = _find(parent, i)
        if root == i:
            label[i] = count
            count += 1
        else:
            label[i] = label[root]
    return label


@njit(cache=True)
def _first_neighbour(key, centre, stride_x, stride_y):  # type: ignore[no-untyped-def]
    found = np.full(len(centre), -1, np.int64)
    for i in range(len(centre)):
        for dx in (0, -1, 1):
            for dy in (0, -1, 1):
                low = centre[i] + dx * stride_x + dy * stride_y - 1
                at = np.searchsorted(key, low)
                if found[i] < 0 and at < len(key) and key[at] <= low + 2:
                    found[i] = at
    return found
