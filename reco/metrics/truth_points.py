"""The true points of interest of an event: ends of tracks, starts of showers."""

from dataclasses import dataclass

import numpy as np

from reco.data.classes import Semantic
from reco.data.ragged import Array

STARTS = (Semantic.SHOWER, Semantic.MICHEL, Semantic.DELTA)
"""Classes of which only the start is a point."""


@dataclass(frozen=True)
class TruePoints:
    """position: (M, 3) float32 cm. type: (M,) int8, semantic class. particle: (M,) int32, row."""

    position: Array
    type: Array
    particle: Array


def truth_points(
    voxel_position: Array,
    voxel_particle: Array,
    semantic: Array,
    start: Array,
    end: Array,
    *,
    min_voxels: int = 10,
    min_track_voxels: int = 1,
    reach: float = 1.0,
) -> TruePoints:
    """Both ends of each track, and the start of each shower, Michel and delta electron.

    voxel_position: (N, 3) cm. voxel_particle: (N,) row of the true particle, -1 for none.
    semantic: (P,), start, end: (P, 3) cm, of the true particles. min_voxels: fewest voxels of a
    shower, Michel or delta electron that has a start; min_track_voxels: of a track that has ends.

    A point within `reach` cm of a voxel of its particle stays where the truth has it. Otherwise
    nothing is seen there (a photon starts where it was made, a track ends outside), and the
    nearest voxel of the particle takes its place.
    """
    size = np.bincount(voxel_particle[voxel_particle >= 0], minlength=len(semantic))
    tracks = np.flatnonzero((semantic == Semantic.TRACK) & (size >= min_track_voxels))
    showers = np.flatnonzero(np.isin(semantic, STARTS) & (size >= min_voxels))
    owner = np.concatenate([tracks, tracks, showers])
    point = np.concatenate([start[tracks], end[tracks], start[showers]]).astype(np.float32)
    seen = _seen(point, owner, voxel_position, voxel_particle, reach)
    return TruePoints(seen, semantic[owner].astype(np.int8), owner.astype(np.int32))


def _seen(
    point: Array, owner: Array, voxel_position: Array, voxel_particle: Array, reach: float
) -> Array:
    order = np.argsort(voxel_particle, kind="stable")
    first = np.searchsorted(voxel_particle[order], owner, side="left")
    last = np.searchsorted(voxel_particle[order], owner, side="right")
    seen = point.copy()
    for i, (a, b) in enumerate(zip(first, last, strict=True)):
        own = voxel_position[order[a:b]]
        distance = np.linalg.norm(own - point[i], axis=1)
        closest = int(distance.argmin())
        if distance[closest] > reach:
            seen[i] = own[closest]
    return seen
