"""What a cluster of voxels looks like, and how two clusters lie to each other.

Every figure is of order one, and none changes when the event is shifted, turned or mirrored:
lengths are in voxels and come as log(1 + length), directions as cosines between each other.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from reco.data.classes import N_SEMANTIC
from reco.data.ragged import Array
from reco.ops.axes import principal
from reco.ops.graph import Cells, Contacts, Members, Sampled
from reco.ops.neighbours import Grid, square

POINT_REACH = 4.0
"""Voxels. A point of interest this close to a voxel of a cluster may be its end."""
START_RADIUS = 8.0
"""Voxels. The part of a cluster that says in which direction it starts, and its dE/dx there."""
LOCAL_RADIUS, LOCAL_CELLS = 14.0, 8
"""The cells around a contact that say in which direction a cluster runs there."""


class VoxelTable(NamedTuple):
    """The voxels of one event.

    place: (N, 3) float, in voxels. energy: (N,) MeV. scores: (N, 5). features: (N, F).
    """

    place: Array
    energy: Array
    scores: Array
    features: Array


class PointTable(NamedTuple):
    """Points of interest of one event. place: (M, 3) in voxels. type: (M,). score: (M,)."""

    place: Array
    type: Array
    score: Array


class Shapes(NamedTuple):
    """C clusters, in voxels and MeV.

    n, energy: (C,). centre, start, end, direction: (C, 3), the direction a unit vector from the
    start or zero. axis: (C, 3) of largest spread. spread: (C, 3) falling standard deviations.
    """

    n: Array
    energy: Array
    centre: Array
    start: Array
    end: Array
    direction: Array
    axis: Array
    spread: Array


class Touch(NamedTuple):
    """What points say of each of C clusters.

    start: (C,) row of the voxel at the best point, or -1. score: (C, 5) best score by type,
    0 for none. n_points: (C,) within reach.
    """

    start: Array
    score: Array
    n_points: Array


def touch(voxels: VoxelTable, members: Members, points: PointTable) -> Touch:
    """Points within reach of the voxels of each cluster."""
    cluster = np.empty(len(voxels.place), np.int64)
    cluster[members.order] = np.repeat(np.arange(len(members.counts)), members.counts)
    point, row = Grid.of(voxels.place, POINT_REACH).within(points.place, POINT_REACH)
    n = len(members.counts)
    score, start = np.zeros((n, N_SEMANTIC)), np.full(n, -1)
    own = cluster[row]
    np.maximum.at(score, (own, points.type[point].astype(np.int64)), points.score[point])
    apart = np.linalg.norm(voxels.place[row] - points.place[point], axis=1)
    best = np.lexsort((row, apart, -points.score[point], own))
    first = best[np.unique(own[best], return_index=True)[1]]
    start[own[first]] = row[first]
    pairs = np.unique(own * max(len(points.place), 1) + point)
    return Touch(start, score, np.bincount(pairs // max(len(points.place), 1), minlength=n))


def shapes(voxels: VoxelTable, members: Members, start: Array) -> Shapes:
    """start: (C,) row of the voxel where each cluster starts; -1: one end of its longest axis."""
    n = len(members.counts)
    centre = members.mean(voxels.place)
    rest = voxels.place[members.order] - np.repeat(centre, members.counts, axis=0)
    outer = (rest[:, :, None] * rest[:, None, :]).reshape(-1, 9)
    covariance = Members(np.arange(len(rest)), members.offsets).mean(outer)
    variance, axes = principal(covariance.reshape(-1, 3, 3))
    axis = np.ascontiguousarray(axes[:, 0])
    ends, direction = np.empty((n, 2), np.int64), np.zeros((n, 3))
    _ends(voxels.place, *members, centre, axis, start, ends, direction)
    return Shapes(
        members.counts,
        members.sum(voxels.energy),
        centre,
        voxels.place[ends[:, 0]],
        voxels.place[ends[:, 1]],
        direction,
        axis,
        np.sqrt(np.maximum(variance, 0)),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _ends(place, order, offsets, centre, axis, start, ends, direction):  # type: ignore[no-untyped-def]
    """Fill in the rows of start and end, and the unit vectors to the mean of the voxels near the
    start; zero for one voxel."""
    for g in range(len(centre)):
        begin, least = start[g], np.inf
        for k in range(offsets[g], offsets[g + 1]):
            along = 0.0
            for i in range(3):
                along += (place[order[k], i] - centre[g, i]) * axis[g, i]
            if start[g] < 0 and along < least:
                begin, least = order[k], along
        end, most, near = begin, -1.0, 0
        for k in range(offsets[g], offsets[g + 1]):
            apart = math.sqrt(square(place, order[k], place, begin))
            if apart > most:
                end, most = order[k], apart
            if apart < START_RADIUS:
                near += 1
                for i in range(3):
                    direction[g, i] += place[order[k], i]
        length = 0.0
        for i in range(3):
            direction[g, i] = direction[g, i] / near - place[begin, i]
            length += direction[g, i] * direction[g, i]
        for i in range(3):
            direction[g, i] /= max(math.sqrt(length), 1e-9)
        ends[g, 0], ends[g, 1] = begin, end


def node_features(voxels: VoxelTable, members: Members, shape: Shapes, points: Touch) -> Array:
    """(C, 33 + 2 F) float32."""
    seen = np.zeros((len(shape.n), 5))
    _deposits(voxels.place, voxels.energy, *members, shape.start, shape.end, seen)
    mean, mean_square, largest, *near = seen.T
    deviation = np.sqrt(np.maximum(mean_square - mean**2, 0))
    reach = np.linalg.norm(shape.end - shape.start, axis=1)
    straight = np.abs((shape.direction * shape.axis).sum(axis=1))
    score, best = members.mean_and_max(voxels.scores)
    alone = (shape.n == 1).astype(float)
    columns = [
        np.log(shape.n) / 3,
        np.log(np.maximum(shape.energy, 1e-3)) / 3,
        np.log(np.maximum(mean, 1e-3)),
        np.log1p(deviation),
        np.log1p(largest),
        *np.log(np.maximum(near, 1e-3)),
        np.log1p(reach) / 2,
        straight,
        alone,
        np.minimum(points.n_points, 5) / 2,
        points.start >= 0,
    ]
    blocks = [
        np.stack(columns, axis=1).astype(np.float64),
        np.log1p(shape.spread) / 2,
        shape.spread[:, 1:] / np.maximum(shape.spread[:, :1], 0.5),
        points.score,
        score,
        -(score * np.log(np.maximum(score, 1e-6))).sum(axis=1, keepdims=True),
        best,
        *members.mean_and_max(voxels.features),
    ]
    return np.concatenate(blocks, axis=1).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _deposits(place, energy, order, offsets, start, end, seen):  # type: ignore[no-untyped-def]
    """Mean of energy, of its square, largest, and mean within START_RADIUS of start and of end."""
    for g in range(len(seen)):
        first, last, near_start, near_end = offsets[g], offsets[g + 1], 0, 0
        for k in range(first, last):
            row = order[k]
            seen[g, 0] += energy[row]
            seen[g, 1] += energy[row] * energy[row]
            seen[g, 2] = max(seen[g, 2], energy[row])
            if math.sqrt(square(place, row, start, g)) < START_RADIUS:
                seen[g, 3] += energy[row]
                near_start += 1
            if math.sqrt(square(place, row, end, g)) < START_RADIUS:
                seen[g, 4] += energy[row]
                near_end += 1
        seen[g, 0] /= last - first
        seen[g, 1] /= last - first
        seen[g, 3] /= max(near_start, 1)
        seen[g, 4] /= max(near_end, 1)


def local_directions(cells: Cells, which: Array) -> Array:
    """(K,) cells -> (K, 3) unit vectors, of either sign: how the cluster runs around each."""
    if len(which) == 0:
        return np.zeros((0, 3))
    k = min(LOCAL_CELLS, len(cells.centre))
    apart, near = cKDTree(cells.centre).query(cells.centre[which], k)
    apart, near = apart.reshape(-1, k), near.reshape(-1, k)
    same = (cells.cluster[near] == cells.cluster[which, None]) & (apart < LOCAL_RADIUS)
    weight = same / same.sum(axis=1, keepdims=True)
    place = cells.centre[near]
    rest = place - (place * weight[..., None]).sum(axis=1, keepdims=True)
    covariance = np.einsum("rk,rki,rkj->rij", weight, rest, rest, optimize=False)
    variance, axes = principal(covariance)
    return np.where(variance[:, :1] > 0.25, axes[:, 0], 0.0)


N_COMMON, N_OWN = 13, 15


def pair_features(
    sampled: Sampled, pairs: Contacts, shape: Shapes, score: Array, links: tuple[Array, Array]
) -> Array:
    """(M, N_COMMON + 2 N_OWN) float32: the same from both sides, as seen from a, as seen from b.

    score: (C, 5) mean class scores. links: (M,) touching voxels of each pair, and their mean
    affinity (0 for none).
    """
    ends = (
        _End.of(shape, pairs.a, sampled.points[pairs.row_a]),
        _End.of(shape, pairs.b, sampled.points[pairs.row_b]),
    )
    a, b = ends
    runs = _runs(sampled.fine, pairs)
    gap, starts = b.contact - a.contact, _norm(b.start - a.start)
    common = [
        *_lengths(pairs.distance),
        np.log1p(_norm(b.centre - a.centre)) / 2,
        np.log1p(starts) / 2,
        np.exp(-starts / 5),
        (score[pairs.a] * score[pairs.b]).sum(axis=1),
        _dot(a.direction, b.direction),
        np.abs(_dot(shape.axis[pairs.a].T, shape.axis[pairs.b].T)),
        np.abs(_dot(*runs)),
        np.log1p(links[0]),
        links[1],
    ]
    own = [*_side(a, b, runs[0], gap), *_side(b, a, runs[1], gap)]
    return np.stack([*common, *own], axis=1, dtype=np.float32, casting="same_kind")


class _End(NamedTuple):
    """The cluster at one end of M pairs, as in Shapes but (3, M); contact: its closest voxel."""

    start: Array
    end: Array
    centre: Array
    direction: Array
    contact: Array
    scalars: list[Array]

    @staticmethod
    def of(shape: Shapes, cluster: Array, contact: Array) -> "_End":
        scalars = [
            np.log(shape.n) / 3,
            np.log(np.maximum(shape.energy, 1e-3)) / 3,
            np.log1p(shape.spread[:, 0]) / 2,
            np.log1p(_norm((shape.end - shape.start).T)) / 2,
        ]
        return _End(
            _columns(shape.start)[:, cluster],
            _columns(shape.end)[:, cluster],
            _columns(shape.centre)[:, cluster],
            _columns(shape.direction)[:, cluster],
            _columns(contact),
            [column[cluster] for column in scalars],
        )


def _columns(vectors: Array) -> Array:
    """(K, 3) -> (3, K)."""
    return np.ascontiguousarray(vectors.T)


def _runs(cells: Cells, pairs: Contacts) -> tuple[Array, Array]:
    """(3, M) each: how both clusters run at their contact."""
    cell = _cell_of(cells)
    a, b = cell[pairs.row_a], cell[pairs.row_b]
    which = np.flatnonzero(np.bincount(np.concatenate([a, b]), minlength=len(cells.cluster)))
    local = np.zeros((3, len(cells.cluster)))
    local[:, which] = local_directions(cells, which).T
    return local[:, a], local[:, b]


def _side(this: _End, other: _End, runs: Array, gap: Array) -> list[Array]:
    """N_OWN columns: the other cluster as seen from this one."""
    towards, to_start = other.centre - this.start, other.start - this.start
    along, start_along = _dot(towards, this.direction), _dot(to_start, this.direction)
    from_start, from_end = _norm(this.contact - this.start), _norm(this.contact - this.end)
    return [
        along / np.maximum(_norm(towards), 1e-6),
        np.sign(along) * np.log1p(np.abs(along)) / 2,
        np.log1p(_aside(towards, along)) / 2,
        start_along / np.maximum(_norm(to_start), 1e-6),
        np.log1p(_aside(to_start, start_along)) / 2,
        np.log1p(from_start) / 2,
        np.log1p(from_end) / 2,
        np.exp(-from_start / 3),
        np.exp(-from_end / 3),
        np.log1p(_norm(other.start - this.contact)) / 2,
        np.abs(_dot(runs, gap)) / np.maximum(_norm(gap), 1e-6),
        *this.scalars,
    ]


def _lengths(distance: Array) -> list[Array]:
    return [np.log1p(distance) / 2, distance / 50, np.exp(-distance / 2), np.exp(-distance / 8)]


def _dot(a: Array, b: Array) -> Array:
    """(3, M) each -> (M,)."""
    return np.asarray((a * b).sum(axis=0))


def _norm(vectors: Array) -> Array:
    """(3, M) -> (M,)."""
    return np.sqrt(_dot(vectors, vectors))


def _aside(vectors: Array, along: Array) -> Array:
    """Distance from a line, of the ends of vectors (3, M) that are `along` it."""
    return np.sqrt(np.maximum(_dot(vectors, vectors) - along**2, 0))


def _cell_of(cells: Cells) -> Array:
    cell = np.empty(len(cells.members.order), np.int64)
    cell[cells.members.order] = np.repeat(np.arange(len(cells.cluster)), cells.members.counts)
    return cell


def towards_starts(shape: Shapes, leading: Array, n: int) -> Array:
    """Pairs (K, 2) of each cluster with the n leading ones that most plausibly made it.

    leading: (L,) clusters, few. What lies ahead of a start counts as nearer than what lies beside
    or behind: up to three times nearer.
    """
    if len(leading) == 0:
        return np.zeros((0, 2), np.int64)
    apart = shape.centre[:, None] - shape.start[leading][None]
    distance = np.linalg.norm(apart, axis=2)
    along = (apart * shape.direction[leading][None]).sum(axis=2)
    cost = distance * (2 - along / np.maximum(distance, 1e-6))
    cost[leading, np.arange(len(leading))] = np.inf
    best = np.argsort(cost, axis=1, kind="stable")[:, :n]
    pairs = np.stack([np.repeat(np.arange(len(best)), best.shape[1]), leading[best.reshape(-1)]], 1)
    return pairs[pairs[:, 0] != pairs[:, 1]]
