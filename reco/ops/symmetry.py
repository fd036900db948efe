"""Symmetries of the detector's grid: axes exchanged and mirrored, the whole event shifted."""

from dataclasses import dataclass

import numpy as np

from reco.data.ragged import Array

SHIFT = 64
"""Largest shift of an event, voxels: moves it against the coarse grids of the U-Net."""


@dataclass(frozen=True)
class Symmetry:
    """Voxel i goes to sign * i[axes] + shift.

    axes: (3,) permutation. sign: (3,) of ±1. shift: (3,) int voxels.
    """

    axes: Array
    sign: Array
    shift: Array

    def index(self, index: Array) -> Array:
        """(N, 3) integers -> (N, 3) int32."""
        return (self.turn(index) + self.shift).astype(np.int32)

    def points(self, points: Array) -> Array:
        """(M, 3) positions in voxels, where the centre of voxel i is at i."""
        return np.asarray(self.turn(points) + self.shift)

    def turn(self, way: Array) -> Array:
        """(M, 3) steps from one place to another, which no shift changes."""
        return np.asarray(way[:, self.axes] * self.sign)


IDENTITY = Symmetry(np.arange(3), np.ones(3, np.int64), np.zeros(3, np.int64))


def random_symmetry(rng: np.random.Generator) -> Symmetry:
    """One of the 48 symmetries of the cube and a shift."""
    axes, sign = rng.permutation(3), rng.choice([-1, 1], 3)
    return Symmetry(axes, sign, rng.integers(-SHIFT, SHIFT + 1, 3))
