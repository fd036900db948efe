"""Axes of symmetric 3 x 3 matrices, with the same bits on every machine.

Those of LAPACK depend on the processor: an axis has no sign, and axes of equal spread have no order
of their own, so the last bit of a sum decides where a cluster without points starts.
"""

import math

import numpy as np
from numba import njit

from reco.data.ragged import Array

SWEEPS = 8
"""Rounds of rotations; four or five do, and where nothing is left to turn a round costs little."""


def principal(matrices: Array) -> tuple[Array, Array]:
    """(G, 3, 3) symmetric -> (G, 3) falling eigenvalues and (G, 3, 3) unit vectors in rows.

    float64, by Jacobi rotations (Golub and van Loan, Matrix Computations, 8.5). The component of a
    vector that is largest is positive. A matrix with what is no number gives such.
    """
    turned = np.array(matrices, np.float64)
    vectors = np.broadcast_to(np.eye(3), turned.shape).copy()
    _diagonalize(turned, vectors)
    values = np.diagonal(turned, axis1=1, axis2=2)
    order = np.argsort(-values, axis=1, kind="stable")
    vectors = np.take_along_axis(vectors, order[:, :, None], axis=1)
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=2)[:, :, None], axis=2)
    return np.take_along_axis(values, order, axis=1), vectors * np.sign(largest)


@njit(cache=True, nogil=True, error_model="numpy")
def _diagonalize(matrices, vectors):  # type: ignore[no-untyped-def]
    """Turn the axes of each matrix until it is diagonal, and the rows of vectors with them."""
    for g in range(len(matrices)):
        a, v = matrices[g], vectors[g]
        for turn in range(3 * SWEEPS):
            p, q = turn % 3 // 2, 1 + (turn % 3 + 1) // 2  # 0 1, 0 2, 1 2
            if abs(a[p, q]) <= 1e-16 * math.sqrt(abs(a[p, p])) * math.sqrt(abs(a[q, q])):
                a[p, q] = a[q, p] = 0.0
                continue
            theta = (a[q, q] - a[p, p]) / (2 * a[p, q])
            t = math.copysign(1.0, theta) / (abs(theta) + math.sqrt(theta * theta + 1))
            c = 1 / math.sqrt(t * t + 1)
            s = t * c
            for k in range(3):
                x, y = a[k, p], a[k, q]
                a[k, p], a[k, q] = c * x - s * y, s * x + c * y
            for k in range(3):
                x, y = a[p, k], a[q, k]
                a[p, k], a[q, k] = c * x - s * y, s * x + c * y
                x, y = v[p, k], v[q, k]
                v[p, k], v[q, k] = c * x - s * y, s * x + c * y
            a[p, q] = a[q, p] = 0.0
