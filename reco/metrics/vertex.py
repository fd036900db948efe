"""Vertices against true vertices."""

import numpy as np

from reco.data.ragged import Array
from reco.metrics.stats import mean, quantile


def visible_vertices(vertex: Array, inside: Array, of: Array, start: Array, energy: Array) -> Array:
    """(I, 3) cm: true vertices, but where the primary of most energy comes in if not inside.

    vertex: (I, 3). inside: (I,) bool, the vertex lies in the detector. of: (K,) interaction, start:
    (K, 3) and energy: (K,) MeV of the visible primaries.
    """
    rising = np.argsort(energy, kind="stable")
    entry = vertex.copy()
    entry[of[rising]] = start[rising]  # the last one stays
    return np.where(inside[:, None], vertex, entry)


def vertex_distance(reco: Array, true: Array) -> Array:
    """(N,) float64 cm between (N, 3) and (N, 3) vertices."""
    return np.linalg.norm(reco.astype(np.float64) - true, axis=1)


def fraction_below(distance: Array, limit: float = 1.0) -> float:
    """Fraction of the vertices closer than the limit (cm); NaN without any."""
    return mean(distance < limit)


def containment_radius(distance: Array, fraction: float = 0.68) -> float:
    """Radius (cm) that holds this fraction of the vertices; NaN without any."""
    return quantile(distance, fraction)


def vertex_pulls(reco: Array, true: Array, covariance: Array) -> Array:
    """(N, 3) residual of each coordinate over its sigma; covariance (N, 3, 3) cm^2."""
    sigma = np.sqrt(np.diagonal(covariance.astype(np.float64), axis1=1, axis2=2))
    return (reco - true) / sigma


def mahalanobis_squared(reco: Array, true: Array, covariance: Array) -> Array:
    """(N,) r^T C^-1 r; chi-squared with three degrees of freedom if the covariance is honest."""
    residual = (reco - true).astype(np.float64)[..., None]
    solved = np.linalg.solve(covariance.astype(np.float64), residual)
    return (residual * solved).sum(axis=(1, 2))


def positive_definite(covariance: Array) -> Array:
    """(N,) bool: covariances (N, 3, 3) that are one."""
    finite = np.asarray(np.isfinite(covariance).all(axis=(1, 2)))
    usable = np.where(finite[:, None, None], covariance, 0.0).astype(np.float64)
    return np.asarray(np.linalg.eigvalsh(usable)[:, 0] > 0)
