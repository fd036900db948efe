"""Dead readout for events that were simulated without: patches and strips, others in each event.

So the network learns what an edge of a dead place looks like, whatever map it is told of later.
"""

from dataclasses import dataclass

import numpy as np

from reco.data.ragged import Array

PART = 0.3
"""Of the events, how many get dead places."""
AREA = (0.02, 0.12)
"""Part of their readout that is dead, from and to."""
PATCH = (4, 24)
"""Voxels across a patch, from and to."""
STRIP = (2, 8)
"""Voxels across a strip that goes all the way, from and to."""
STRIPS = 0.25
"""Of the events with dead places, how many have strips."""


@dataclass(frozen=True)
class Blind:
    """Cells of a grid across two of the axes; the third, along which electrons drift, is blind
    all the way.

    low: (3,) voxel where the grid begins. pitch: (3,) voxels of a cell, along
    the drift as long as the event. dead: (A, B, C) bool, one cell long along the drift.
    """

    low: Array
    pitch: Array
    dead: Array

    def covers(self, index: Array) -> Array:
        """(N, 3) voxels within the grid -> (N,) bool."""
        return np.asarray(self.dead[tuple(((index - self.low) // self.pitch).T)])

    def boxes(self) -> tuple[Array, Array]:
        """(B, 3) lower and (B, 3) upper corners of the dead cells, voxels."""
        lower = self.low + np.argwhere(self.dead) * self.pitch
        return lower, lower + self.pitch


def random_blind(index: Array, rng: np.random.Generator) -> Blind:
    """Dead places for an event of voxels (N, 3), N > 0."""
    low, high = index.min(axis=0).astype(np.int64), index.max(axis=0).astype(np.int64)
    pitch = rng.integers(PATCH[0], PATCH[1], 3, endpoint=True)
    drift, across = rng.permutation(3)[:2]
    if rng.random() < STRIPS:
        pitch[:] = rng.integers(*STRIP, endpoint=True)
        pitch[across] = high[across] - low[across] + 1
    pitch[drift] = high[drift] - low[drift] + 1
    low -= np.where(pitch <= high - low, rng.integers(0, pitch), 0)
    shape = (high - low) // pitch + 1
    return Blind(low, pitch, rng.random(shape) < rng.uniform(*AREA))
