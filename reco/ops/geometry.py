"""Shape of a cluster of points: axes, ends, the path along a track, directions.

All is near-linear in the number of points: nothing compares every point with every other.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import dijkstra

from reco.data.ragged import Array
from reco.ops.neighbours import TOUCHING, bridges, close_pairs, components, link_graph


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
    graph = link_graph(points, pairs)
    somewhere = int(np.argmax(order))
    first = int(np.argmax(dijkstra(graph, directed=False, indices=somewhere)))
    distance = dijkstra(graph, directed=False, indices=first)
    return distance, first, int(np.argmax(distance))


def extremes(points: Array) -> tuple[int, int]:
    """Rows of the two points (N >= 1) that are outermost along the principal axis."""
    main = principal_axes(points)
    along = (points - main.centre) @ main.axes[0]
    return int(np.argmin(along)), int(np.argmax(along))


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


def cone_direction(
    start: Array,
    points: Array,
    weight: Array,
    radii: tuple[float, ...] = (5.0, 7.0, 10.0, 15.0, 20.0),
) -> Array:
    """(3,) unit vector from the start of a shower into it; zero if there is none to tell it.

    start: (3,) cm. points: (N, 3) cm, N >= 1. weight: (N,), positive.
    The mean of the points within some distance of the start; of the radii the one is taken that
    leaves the smallest error of that mean, as told by the spread across it.
    """
    offset = points.astype(np.float64) - start
    distance = np.linalg.norm(offset, axis=1)
    best, least = np.zeros(3), np.inf
    for radius in radii:
        near = distance <= max(radius, distance.min())
        mean = np.average(offset[near], axis=0, weights=weight[near])
        along = np.linalg.norm(mean)
        if along == 0 or (near.sum() < 3 and radius < radii[-1]):
            continue
        across = np.linalg.norm(np.cross(offset[near], mean / along), axis=1)
        # half a millimetre: fewer points than a handful may lie on a line by chance
        error = (np.sqrt(np.mean(across**2)) + 0.05) / along / np.sqrt(near.sum())
        if error < least:
            best, least = mean / along, error
        if near.all():
            break
    return best
