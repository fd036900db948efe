"""Where the readout is blind, as seen from the voxels beside it."""

import math

import numpy as np
from numba import njit

from reco.data.ragged import Array

REACH = 8.0
"""Voxels beyond which a blind place is far."""


def nearness(index: Array, lower: Array, upper: Array) -> Array:
    """(N,) float32: 1 for a voxel in or right beside a blind box, falling to 0 at REACH from it.

    index: (N, 3) int voxels, of which i reaches from i to i + 1. lower, upper: (B, 3) corners of
    the boxes, in voxels.
    """
    near = np.zeros(len(index), np.float32)
    if len(lower) and len(index):
        reach = np.ceil(REACH) + 1
        within = (upper >= index.min(axis=0) - reach) & (lower <= index.max(axis=0) + reach)
        lower, upper = (np.asarray(corner, float)[within.all(axis=1)] for corner in (lower, upper))
        _nearness(index, lower, upper, near)
    return near


@njit(cache=True, nogil=True)
def blind(points, lower, upper):  # type: ignore[no-untyped-def]
    """(N,) bool: which of the points (N, 3) are in a blind box or on its face.

    lower, upper: (B, 3) corners of the boxes, in the unit of the points.
    """
    found = np.zeros(len(points), np.bool_)
    for n in range(len(points)):
        for box in range(len(lower)):
            within = 0
            for axis in range(3):
                if not lower[box, axis] <= points[n, axis] <= upper[box, axis]:
                    break
                within += 1
            if within == 3:
                found[n] = True
                break
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _nearness(index, lower, upper, near):  # type: ignore[no-untyped-def]
    for n in range(len(index)):
        least = (REACH + 0.5) ** 2
        for box in range(len(lower)):
            squared = 0.0
            for axis in range(3):
                middle = index[n, axis] + 0.5
                gap = max(lower[box, axis] - middle, middle - upper[box, axis], 0.0)
                squared += gap * gap
                if squared >= least:
                    break
            least = min(least, squared)
        near[n] = min(1.0 - (math.sqrt(least) - 0.5) / REACH, 1.0)
