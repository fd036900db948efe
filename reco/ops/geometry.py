"""Shape of a cluster of points: axes, ends, the path along a track, directions.

All is near-linear in the number of points: nothing compares every point with every other.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from reco.data.ragged import Array
from reco.ops.axes import principal
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
    covariance = np.einsum("ni,nj->ij", scaled, rest) / len(points)
    variance, axes = principal(covariance[None])
    return Axes(centre, axes[0], np.sqrt(np.maximum(variance[0], 0)))


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
    n = len(groups.first)
    centre, covariance, ends = np.zeros((n, 3)), np.zeros((n, 3, 3)), np.zeros((n, 2), np.int64)
    _moments(points, *groups, centre, covariance)
    axis = np.ascontiguousarray(principal(covariance)[1][:, 0])
    _outermost(points, *groups, centre, axis, ends)
    return ends


@njit(cache=True, nogil=True)
def _moments(points, order, first, last, centre, covariance):  # type: ignore[no-untyped-def]
    for g in range(len(first)):
        count = last[g] - first[g]
        for k in range(first[g], last[g]):
            for i in range(3):
                centre[g, i] += points[order[k], i] / count
        for k in range(first[g], last[g]):
            row = order[k]
            for i in range(3):
                for j in range(3):
                    product = (points[row, i] - centre[g, i]) * (points[row, j] - centre[g, j])
                    covariance[g, i, j] += product / count


@njit(cache=True, nogil=True)
def _outermost(points, order, first, last, centre, axis, ends):  # type: ignore[no-untyped-def]
    for g in range(len(centre)):
        low, high = np.inf, -np.inf
        for k in range(first[g], last[g]):
            row, along = order[k], 0.0
            for i in range(3):
                along += (points[row, i] - centre[g, i]) * axis[g, i]
            if along < low:
                low, ends[g, 0] = along, row
            if along > high:
                high, ends[g, 1] = along, row


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


def cone_direction(start: Array, points: Array, weight: Array) -> Array:
    """(3,) unit vector from the start of a shower into it; zero if there is none to tell it.

    start: (3,) cm. points: (N, 3) cm, N >= 1. weight: (N,), positive.
    The mean of the points within some distance of the start; of the RADII the one is taken that
    leaves the smallest error of that mean, as told by the spread across it.
    """
    return np.array(_cone_direction(points - start, weight))


@njit(cache=True, nogil=True)
def _cone_direction(offset, weight):  # type: ignore[no-untyped-def]
    n = len(offset)
    distance, nearest = np.empty(n), np.inf
    for i in range(n):
        x, y, z = offset[i, 0], offset[i, 1], offset[i, 2]
        distance[i] = math.sqrt(x * x + y * y + z * z)
        nearest = min(nearest, distance[i])
    best_x, best_y, best_z, least = 0.0, 0.0, 0.0, np.inf
    for radius in RADII:
        reach = max(radius, nearest)
        count, total, x, y, z = 0, 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            if distance[i] <= reach:
                count += 1
                total += weight[i]
                x += offset[i, 0] * weight[i]
                y += offset[i, 1] * weight[i]
                z += offset[i, 2] * weight[i]
        x, y, z = x / total, y / total, z / total
        along = math.sqrt(x * x + y * y + z * z)
        if along == 0 or (count < 3 and radius < RADII[-1]):
            continue
        x, y, z = x / along, y / along, z / along
        across = 0.0
        for i in range(n):
            if distance[i] <= reach:
                across += (offset[i, 1] * z - offset[i, 2] * y) ** 2
                across += (offset[i, 2] * x - offset[i, 0] * z) ** 2
                across += (offset[i, 0] * y - offset[i, 1] * x) ** 2
        # half a millimetre: fewer points than a handful may lie on a line by chance
        error = (math.sqrt(across / count) + 0.05) / along / math.sqrt(count)
        if error < least:
            best_x, best_y, best_z, least = x, y, z, error
        if count == n:
            break
    return best_x, best_y, best_z


@njit(cache=True, nogil=True)
def start_dedx(along, energy, length, voxel_size):  # type: ignore[no-untyped-def]
    """dE/dx over the first `length` cm, MeV/cm.

    along: (N,) distance of the voxels from the start, cm. The first voxel is left out where the
    particle is long enough: it is filled in part only, and shared at a vertex.
    """
    reach, whole, window = -np.inf, 0.0, 0.0
    for i in range(len(along)):
        reach = max(reach, along[i])
        whole += energy[i]
        if voxel_size / 2 < along[i] <= voxel_size / 2 + length:
            window += energy[i]
    if reach < length + 2 * voxel_size:
        return whole / (reach + voxel_size)
    return window / length


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
    n = len(start)
    found = Showers(np.empty((n, 3)), np.empty(n, np.int64), np.empty(n), np.empty(n))
    _open_showers(points, energy, *groups, start, window, voxel_size, *found)
    return found


@njit(cache=True, nogil=True)
def _open_showers(  # type: ignore[no-untyped-def]
    points, energy, order, first, last, start, window, voxel_size, direction, end, length, dedx
):
    for s in range(len(start)):
        count = last[s] - first[s]
        offset, weight = np.empty((count, 3)), np.empty(count)
        origin, least = 0, np.inf
        for k in range(count):
            row = order[first[s] + k]
            weight[k] = energy[row]
            apart = 0.0
            for i in range(3):
                apart += (points[row, i] - start[s, i]) ** 2
            if apart < least:
                origin, least = row, apart
        # from the voxel: a point off the axis by a millimetre would tilt what lies near it
        for k in range(count):
            for i in range(3):
                offset[k, i] = points[order[first[s] + k], i] - points[origin, i]
        x, y, z = _cone_direction(offset, weight)
        direction[s, 0], direction[s, 1], direction[s, 2] = x, y, z
        along, near = np.empty(count), 0
        length[s] = -np.inf
        for k in range(count):
            dx, dy, dz = offset[k, 0], offset[k, 1], offset[k, 2]
            way = dx * x + dy * y + dz * z
            if way > length[s]:
                length[s], end[s] = way, order[first[s] + k]
            if math.sqrt(dx * dx + dy * dy + dz * dz) <= 2 * window:
                along[near], weight[near] = way, weight[k]
                near += 1
        dedx[s] = start_dedx(along[:near], weight[:near], window, voxel_size)
