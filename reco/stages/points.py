"""Proposals of the voxels -> points of interest."""

import numpy as np
from numba import njit
from pydantic import Field

from reco.data.classes import N_SEMANTIC
from reco.data.products import Points, Semantics, Voxels
from reco.data.ragged import Array, Ragged
from reco.ops.neighbours import Grid
from reco.stages.base import Stage, StageOptions


class PointsOptions(StageOptions):
    """min_score: of a voxel that proposes. radius: proposals within so many voxels of a better
    one are the same point. min_votes: fewest proposals that make a point."""

    min_score: float = Field(default=0.7, ge=0, lt=1)
    radius: float = Field(default=3.5, gt=0)
    min_votes: int = Field(default=2, ge=1)


class FindPoints(Stage):
    """Non-maximum suppression; a point lies at the mean of its proposals."""

    name = "points"
    Options = PointsOptions
    options: PointsOptions

    def __call__(self, voxels: Voxels, semantics: Semantics) -> Points:
        return Points.concat([self._event(voxels, semantics, i) for i in range(len(voxels))])

    def _event(self, voxels: Voxels, semantics: Semantics, i: int) -> Points:
        score = semantics.point_score[i].astype(np.float32)
        proposing = np.flatnonzero(score > self.options.min_score)
        offset = semantics.point_offset[i][proposing].astype(np.float32)
        place, kind, best = suppress(
            voxels.index[i][proposing] + offset,
            score[proposing],
            semantics.point_type[i][proposing],
            self.options.radius,
            self.options.min_votes,
        )
        detector = self.context.detector
        return Points(
            position=Ragged.one(detector.lower + (place + 0.5) * detector.voxel_size),
            type=Ragged.one(kind),
            score=Ragged.one(best),
        )


def suppress(
    place: Array, score: Array, kind: Array, radius: float, min_votes: int
) -> tuple[Array, Array, Array]:
    """Proposals (K, 3) in voxels, with score and type -> points: place (M, 3), type, best score."""
    place = np.ascontiguousarray(place, np.float64)
    target, near = Grid.of(place, radius).within(place, radius)
    cuts = np.searchsorted(target, np.arange(len(place) + 1))
    order = np.argsort(-score, kind="stable")
    middle, votes = np.empty((len(place), 3)), np.empty((len(place), N_SEMANTIC))
    best, free = np.empty(len(place)), np.ones(len(place), bool)
    n = _merge(
        place,
        score.astype(np.float64),
        kind,
        order,
        near,
        cuts,
        min_votes,
        middle,
        votes,
        best,
        free,
    )
    types = votes[:n].argmax(axis=1).astype(np.int8)
    return middle[:n].astype(np.float32), types, best[:n].astype(np.float32)


@njit(cache=True, nogil=True)
def _merge(place, score, kind, order, near, cuts, min_votes, middle, votes, best, free):  # type: ignore[no-untyped-def]
    """Fill middle (M, 3), votes by type (M, N_SEMANTIC) and best score (M,) of the points; M."""
    n = 0
    for k in order:
        if not free[k]:
            continue
        count, total = 0, 0.0
        best[n] = score[k]
        for axis in range(3):
            middle[n, axis] = 0.0
        for type_ in range(N_SEMANTIC):
            votes[n, type_] = 0.0
        for m in range(cuts[k], cuts[k + 1]):
            i = near[m]
            if free[i]:
                free[i] = False
                count += 1
                total += score[i]
                votes[n, kind[i]] += score[i]
                for axis in range(3):
                    middle[n, axis] += score[i] * place[i, axis]
        if count >= min_votes:
            for axis in range(3):
                middle[n, axis] /= total
            n += 1
    return n
