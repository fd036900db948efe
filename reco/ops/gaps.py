"""What goes on behind a place where the readout is blind."""

import numpy as np

from reco.data.ragged import Array
from reco.ops.dead import blind, nearness
from reco.ops.neighbours import TOUCHING, Grid, close_pairs, components

BESIDE = 0.9
"""Nearness to a blind box at which something may end there: of a voxel right beside it."""
REACH = 16.0
"""Voxels around an end that tell its direction."""
SHORTEST = 3.0
"""Voxels from the middle of those to an end that has a direction. It is less for a crumb, and for
what goes by."""
FARTHEST = 100.0
"""Voxels between two ends that may be joined."""
BEND = 0.5
"""Radian by which an end may point past the other."""
LIVE = 20.0
"""Voxels of the way from end to end that may be read out: many, where it grazes a box."""
SAMPLES = 64
"""Places on that way that are looked at."""


def gap_pairs(index: Array, piece: Array, kind: Array, lower: Array, upper: Array) -> Array:
    """Pieces of one kind that point at each other across a blind gap: (K, 2) int64, some twice.

    index: (N, 3) voxels. piece: (N,) number of the piece of each. kind: (N,) of its piece. lower,
    upper: (B, 3) corners of the blind boxes, in voxels.
    """
    beside = np.flatnonzero(nearness(index, lower, upper) >= BESIDE)
    place, first = _ends(index[beside], piece[beside])
    owner, kind = piece[beside[first]], kind[beside[first]]
    arm = _arms(index, piece, place, owner)
    a, b = close_pairs(place, FARTHEST).T
    candidate = (owner[a] != owner[b]) & (kind[a] == kind[b])
    a, b = a[candidate], b[candidate]
    way = place[b] - place[a]
    length = np.linalg.norm(way, axis=1)
    least = np.cos(BEND) * length
    aimed = ((arm[a] * way).sum(axis=1) > least) & ((arm[b] * -way).sum(axis=1) > least)
    a, b, way, length = a[aimed], b[aimed], way[aimed], length[aimed]
    step = (np.arange(SAMPLES) + 0.5) / SAMPLES
    passed = place[a][:, None] + step[:, None] * way[:, None] + 0.5
    hidden = blind(passed.reshape(-1, 3), lower, upper).reshape(len(a), SAMPLES).mean(axis=1)
    across = (hidden > 0) & ((1 - hidden) * length <= LIVE)
    return np.asarray(np.stack([owner[a], owner[b]], axis=1)[across], np.int64)


def _ends(index: Array, piece: Array) -> tuple[Array, Array]:
    """Voxels beside a box -> (M, 3) middles of those of one piece that touch, (M,) their first."""
    touching = close_pairs(index, TOUCHING)
    end = components(touching[piece[touching[:, 0]] == piece[touching[:, 1]]], len(index))
    _, first, count = np.unique(end, return_index=True, return_counts=True)
    place = [np.bincount(end, x, len(first)) / count for x in index.T]
    return np.stack(place, axis=1), first


def _arms(index: Array, piece: Array, place: Array, owner: Array) -> Array:
    """(M, 3) directions in which pieces point at their ends; 0 where they do not tell."""
    end, voxel = Grid.of(index, REACH).within(place, REACH)
    own = piece[voxel] == owner[end]
    end, away = end[own], place[end[own]] - index[voxel[own]]
    count = np.maximum(np.bincount(end, minlength=len(place)), 1)
    arm = np.stack([np.bincount(end, x, len(place)) / count for x in away.T], axis=1)
    length = np.linalg.norm(arm, axis=1, keepdims=True)
    return np.asarray(np.where(length >= SHORTEST, arm / np.maximum(length, SHORTEST), 0.0))
