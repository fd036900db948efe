"""Lines in space: edges of boxes, arrows, ellipsoids of uncertainty.

A set of lines is one (K, 3) float32 array of corners in cm; a row of NaN lifts the pen.
"""

import numpy as np

from reco.data.ragged import Array

_PEN_UP = np.full((1, 3), np.nan, np.float32)
# A walk along all edges of the unit cube, four of them twice.
_WALK = np.array(
    [
        [0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 0, 0],
        [1, 0, 1], [1, 1, 1], [1, 1, 0], [1, 1, 1], [0, 1, 1], [0, 1, 0], [0, 1, 1], [0, 0, 1],
    ]
)  # fmt: skip


def edges(boxes: Array) -> Array:
    """(V, 2, 3) lower and upper corners -> lines along the edges of the boxes."""
    lower, upper = boxes[:, :1], boxes[:, 1:]
    return _joined(lower + _WALK * (upper - lower))


def arrows(start: Array, direction: Array, length: float) -> Array:
    """(S, 3) points and unit vectors -> a line of this length (cm) from each point."""
    return _joined(np.stack([start, start + length * direction], axis=1))


def ellipsoids(centre: Array, covariance: Array, corners: int = 32) -> Array:
    """(V, 3), (V, 3, 3) cm2 -> three ellipses around each centre, one standard deviation away.

    The ellipses lie in the planes of the principal axes. Eigenvalues below zero, as rounding makes
    them, count as zero; what is not finite has no ellipses.
    """
    known = np.isfinite(centre).all(axis=1) & np.isfinite(covariance).all(axis=(1, 2))
    values, vectors = np.linalg.eigh(covariance[known].astype(np.float64))
    half_axes = (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]).swapaxes(1, 2)
    angle = np.linspace(0, 2 * np.pi, corners + 1)[:, None]
    rings = [
        np.cos(angle) * half_axes[:, None, a] + np.sin(angle) * half_axes[:, None, b]
        for a, b in ((0, 1), (1, 2), (2, 0))
    ]
    around = np.stack(rings, axis=1) + centre[known][:, None, None]
    return _joined(around.reshape(-1, corners + 1, 3))


def _joined(lines: Array) -> Array:
    """(L, corners, 3) -> one array with the pen up after each line."""
    pen_up = np.broadcast_to(_PEN_UP, (len(lines), 1, 3))
    return np.concatenate([lines, pen_up], axis=1).reshape(-1, 3).astype(np.float32)
