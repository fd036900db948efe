"""Shape of a cluster of points: axes, ends, the path along a track, directions.

All is near-linear in the number of points: nothing compares every point with every other.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from reco.data.ragged import Array
from reco.ops.neighbours import TOUCHING, bridges, close_pairs, components, shortest


class Axes(NamedTuple):
    """centre: (3,). axes: (3, 3), unit vectors in rows, of falling spread. spread: (3,), standard
    deviation along each."""

    centre: Array
    axes: Array
    spread: Array


def principal_axes(points: Array, weight: Array | None = None) -> Axes:
    """Axes of (N, 3) points, at least one. weight: (N,), not negative; None for equal weights."""
    total = None if weight is None or weight.sum() <= 0 else weight
    points = points.astype(np.float64)
    centre = np.average(points, axis=0, weights=total)
    rest = points - centre
    scaled = rest if total is None else rest * (total / total.sum() * len(points))[:, None]
    variance, vectors = np.linalg.eigh(scaled.T @ rest / len(points))
    spread = np.sqrt(np.maximum(variance[::-1], 0))
    return Axes(centre, vectors.T[::-1], spread)


class Path(NamedTuple):
    """The way of a track through its voxels.

    nodes: (K, 3) corners of a polyline from one end to the other, K >= 2. node_distance: (K,)
    length of the polyline up to each. along: (N,) place of each point on it, 0 at the first end.
    """

    nodes: Array
    node_distance: Array
    along: Array

    @property
    def length(self) -> float:
        return float(self.node_distance[-1])

    def reversed(self) -> "Path":
        return Path(
            self.nodes[::-1], self.length - self.node_distance[::-1], self.length - self.along
        )


def trace(points: Array, voxel_size: float, step: float = 1.5) -> Path:
    """Follow a track from end to end.

    points: (N, 3) centres of its voxels, N >= 1, cm. step: distance between corners, cm.

    The ends are the two voxels farthest apart along chains of touching voxels (pieces across gaps
    are joined where they are nearest); the corners are the centres of the voxels at equal
    distances along the chain, so that bends, scatters and loops are followed.
    """
    points = points.astype(np.float64)
    if len(points) == 1:
        return Path(points[[0, 0]], np.zeros(2), np.zeros(1))
    distance, first, last = _chain(points, voxel_size)
    n_steps = max(round(float(distance[last]) / step), 1)
    bins = np.minimum((distance / distance[last] * n_steps).astype(int), n_steps - 1)
    count = np.bincount(bins, minlength=n_steps)
    centres = np.stack([np.bincount(bins, x, n_steps) for x in points.T], axis=1)
    filled = count > 0
    nodes = np.concatenate([points[[first]], centres[filled] / count[filled, None], points[[last]]])
    place = np.bincount(bins, distance, n_steps)[filled] / count[filled]
    hops = np.linalg.norm(np.diff(nodes, axis=0), axis=1)
    node_distance = np.concatenate([[0.0], np.cumsum(hops)])
    place = np.concatenate([[0.0], place, [distance[last]]])
    return Path(nodes, node_distance, np.interp(distance, place, node_distance))


def _chain(points: Array, voxel_size: float) -> tuple[Array, int, int]:
    """(N,) distance of each point from one end along chains, and the rows of the two ends."""
    pairs = close_pairs(points, TOUCHING * voxel_size)
    piece = components(pairs, len(points))
    main = principal_axes(points)
    order = (points - main.centre) @ main.axes[0]
    if piece.max() > 0:
        pairs = np.concatenate([pairs, bridges(points, piece, order)])
    first = int(np.argmax(shortest(points, pairs, int(np.argmax(order)))))
    distance = shortest(points, pairs, first)
    return distance, first, int(np.argmax(distance))


class Groups(NamedTuple):
    """Which rows belong to each of G groups; a group may be empty, and a row in none.

    order: rows, group after group, rising within each. first, last: (G,) where each begins and
    ends there.
    """

    order: Array
    first: Array
    last: Array

    @staticmethod
    def of(owner: Array, n: int) -> "Groups":
        """(N,) group of each row, -1 for none, and the number of groups."""
        order = np.argsort(owner, kind="stable")
        cuts = np.searchsorted(owner[order], np.arange(n + 1))
        return Groups(order, cuts[:-1], cuts[1:])

    @property
    def counts(self) -> Array:
        return self.last - self.first

    def rows(self, group: int) -> Array:
        return self.order[self.first[group] : self.last[group]]

    def only(self, which: Array) -> "Groups":
        """Some of the groups, in that order."""
        return Groups(self.order, self.first[which], self.last[which])


def extremes(points: Array, groups: Groups) -> Array:
    """(G, 2) rows of the two points that are outermost along the principal axis of each group, 0
    for an empty one. points: (N, 3) float64."""
    centre, covariance = _moments(points, *groups)
    axis = np.ascontiguousarray(np.linalg.eigh(covariance)[1][:, :, 2])
    return np.asarray(_outermost(points, *groups, centre, axis))


@njit(cache=True, nogil=True)
def _moments(points, order, first, last):  # type: ignore[no-untyped-def]
    n = len(first)
    centre, covariance = np.zeros((n, 3)), np.zeros((n, 3, 3))
    for g in range(n):
        rows = order[first[g] : last[g]]
        for row in rows:
            for i in range(3):
                centre[g, i] += points[row, i] / len(rows)
        for row in rows:
            rest = points[row] - centre[g]
            for i in range(3):
                for j in range(3):
                    covariance[g, i, j] += rest[i] * rest[j] / len(rows)
    return centre, covariance


@njit(cache=True, nogil=True)
def _outermost(points, order, first, last, centre, axis):  # type: ignore[no-untyped-def]
    ends = np.zeros((len(centre), 2), np.int64)
    for g in range(len(centre)):
        low, high = np.inf, -np.inf
        for row in order[first[g] : last[g]]:
            along = 0.0
            for i in range(3):
                along += (points[row, i] - centre[g, i]) * axis[g, i]
            if along < low:
                low, ends[g, 0] = along, row
            if along > high:
                high, ends[g, 1] = along, row
    return ends


def line_direction(path: Path, points: Array, radius: float = 5.0) -> Array:
    """(3,) unit vector of a track at its first end: the axis of its first `radius` cm.

    points: (N, 3) voxels of the path. Zero for a single point.
    """
    near = path.along <= radius
    if near.sum() < 3:
        near = np.ones(len(points), bool)
    main = principal_axes(points[near])
    forward = main.axes[0] @ (main.centre - path.nodes[0])
    return main.axes[0] * np.sign(forward) if main.spread[0] > 0 else np.zeros(3)


RADII = (5.0, 7.0, 10.0, 15.0, 20.0)
"""cm from the start of a shower; see cone_direction."""


@njit(cache=True, nogil=True)
def cone_direction(start, points, weight):  # type: ignore[no-untyped-def]
    """(3,) unit vector from the start of a shower into it; zero if there is none to tell it.

    start: (3,) cm. points: (N, 3) cm, N >= 1. weight: (N,), positive.
    The mean of the points within some distance of the start; of the RADII the one is taken that
    leaves the smallest error of that mean, as told by the spread across it.
    """
    offset = points - start
    distance = np.sqrt(np.sum(offset**2, axis=1))
    best, least = np.zeros(3), np.inf
    for radius in RADII:
        near = distance <= max(radius, distance.min())
        count = np.sum(near)
        heavy = weight * near
        mean = np.sum(offset * heavy.reshape(-1, 1), axis=0) / np.sum(heavy)
        along = np.sqrt(np.sum(mean**2))
        if along == 0 or (count < 3 and radius < RADII[-1]):
            continue
        axis = mean / along
        across = 0.0
        for i in np.flatnonzero(near):
            x, y, z = offset[i]
            across += (y * axis[2] - z * axis[1]) ** 2
            across += (z * axis[0] - x * axis[2]) ** 2
            across += (x * axis[1] - y * axis[0]) ** 2
        # half a millimetre: fewer points than a handful may lie on a line by chance
        error = (np.sqrt(across / count) + 0.05) / along / np.sqrt(count)
        if error < least:
            best, least = axis, error
        if count == len(points):
            break
    return best


@njit(cache=True, nogil=True)
def start_dedx(along, energy, length, voxel_size):  # type: ignore[no-untyped-def]
    """dE/dx over the first `length` cm, MeV/cm.

    along: (N,) distance of the voxels from the start, cm. The first voxel is left out where the
    particle is long enough: it is filled in part only, and shared at a vertex.
    """
    reach = along.max()
    if reach < length + 2 * voxel_size:
        return energy.sum() / (reach + voxel_size)
    window = (along > voxel_size / 2) & (along <= voxel_size / 2 + length)
    return energy[window].sum() / length


class Showers(NamedTuple):
    """How showers open. direction: (S, 3) unit vectors. end: (S,) row of the point farthest along
    it. length: (S,) cm up to there. start_dedx: (S,) MeV/cm."""

    direction: Array
    end: Array
    length: Array
    start_dedx: Array


def open_showers(
    points: Array, energy: Array, groups: Groups, start: Array, window: float, voxel_size: float
) -> Showers:
    """points: (N, 3) cm, energy: (N,) MeV, float64. groups: S showers, none of them empty.
    start: (S, 3) cm. window: cm at the start whose dE/dx is given."""
    return Showers(*_open_showers(points, energy, *groups, start, window, voxel_size))


@njit(cache=True, nogil=True)
def _open_showers(points, energy, order, first, last, start, window, voxel_size):  # type: ignore[no-untyped-def]
    n = len(start)
    direction, end = np.empty((n, 3)), np.empty(n, np.int64)
    length, dedx = np.empty(n), np.empty(n)
    for s in range(n):
        rows = order[first[s] : last[s]]
        place, weight = points[rows], energy[rows]
        # from the voxel: a point off the axis by a millimetre would tilt what lies near it
        origin = place[np.argmin(np.sqrt(np.sum((place - start[s]) ** 2, axis=1)))]
        direction[s] = cone_direction(origin, place, weight)
        along = np.sum((place - origin) * direction[s], axis=1)
        near = np.sqrt(np.sum((place - origin) ** 2, axis=1)) <= 2 * window
        end[s], length[s] = rows[np.argmax(along)], along.max()
        dedx[s] = start_dedx(along[near], weight[near], window, voxel_size)
    return direction, end, length, dedx
