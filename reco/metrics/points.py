"""Points of interest: how far the predicted ones are from the true ones, and the reverse."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from reco.data.ragged import Array
from reco.metrics.stats import mean, median

WITHIN = (1.0, 3.0, 10.0)
"""Voxels."""


@dataclass(frozen=True)
class PointDistances:
    """efficiency: (T,) true -> nearest predicted; purity: (P,) predicted -> nearest true.

    float64, infinite where the other side has no point.
    """

    efficiency: Array
    purity: Array


def point_distances(true: Array, pred: Array, voxel_size: float = 1.0) -> PointDistances:
    """Distances both ways between (T, 3) and (P, 3) points, in units of voxel_size."""
    return PointDistances(nearest(true, pred) / voxel_size, nearest(pred, true) / voxel_size)


def nearest(source: Array, target: Array) -> Array:
    """(N,) Euclidean distance of each source to its nearest target; infinite without targets."""
    if not len(source) or not len(target):
        return np.full(len(source), np.inf)
    distance, _ = cKDTree(target).query(source)
    return np.asarray(distance, np.float64)


def fraction_within(distance: Array, limit: float) -> float:
    """Fraction of the distances that are at most the limit; NaN without any."""
    return mean(distance <= limit)


def median_distance(distance: Array) -> float:
    return median(distance)
