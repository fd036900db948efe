"""Which points are close to each other, and what hangs together."""

from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from reco.data.ragged import Array

OFFSETS = np.argwhere(np.ones((3, 3, 3), bool)) - 1
"""(27, 3) steps to a voxel and its neighbours, z fastest: row 13 is the voxel itself, and row
26 - k the opposite of row k."""

TOUCHING = 1.8
"""Distance in voxels within which two voxels share a face, an edge or a corner."""


def close_pairs(points: Array, radius: float) -> Array:
    """(N, 3) -> (E, 2) rows of points not farther apart than radius, each pair once."""
    if len(points) < 2:
        return np.zeros((0, 2), np.int64)
    return cKDTree(points).query_pairs(radius, output_type="ndarray")


def components(pairs: Array, n: int) -> Array:
    """(E, 2) links between n points -> (n,) number of the connected piece of each."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1] if n else np.zeros(0, np.int32)


def bridges(points: Array, piece: Array, order: Array) -> Array:
    """Links that make one of several pieces.

    points: (N, 3). piece: (N,) number of each point's piece, 0..C-1. order: (N,) coordinate by
    whose mean the pieces are put in a row. Returns (C - 1, 2): of each two pieces that follow
    each other, the two points nearest to each other.
    """
    mean = np.bincount(piece, order) / np.bincount(piece)
    row = np.argsort(mean, kind="stable")
    members = [np.flatnonzero(piece == p) for p in row]
    links = [_nearest(points, before, after) for before, after in pairwise(members)]
    return np.array(links, np.int64).reshape(-1, 2)


def _nearest(points: Array, a: Array, b: Array) -> tuple[int, int]:
    distance, partner = cKDTree(points[b]).query(points[a])
    best = int(np.argmin(distance))
    return int(a[best]), int(b[partner[best]])


def link_graph(points: Array, pairs: Array) -> csr_array:
    """(N, N) graph of the links (E, 2), each as long as its points are apart."""
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    n = len(points)
    # a link of length 0 would be no link to scipy
    return csr_array((np.maximum(length, 1e-6), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
