"""Proposals of the voxels -> points of interest."""

import numpy as np
from pydantic import Field
from scipy.spatial import cKDTree

from reco.data.classes import N_SEMANTIC
from reco.data.products import Points, Semantics, Voxels
from reco.data.ragged import Array, Ragged
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
    points: list[tuple[Array, int, float]] = []
    if len(place):
        tree = cKDTree(place)
        free = np.ones(len(place), bool)
        for k in np.argsort(-score, kind="stable"):
            if free[k]:
                near = np.array(tree.query_ball_point(place[k], radius))
                near = near[free[near]]
                free[near] = False
                if len(near) >= min_votes:
                    points.append(_merge(place[near], score[near], kind[near]))
    return (
        np.array([p[0] for p in points], np.float32).reshape(-1, 3),
        np.array([p[1] for p in points], np.int8),
        np.array([p[2] for p in points], np.float32),
    )


def _merge(place: Array, score: Array, kind: Array) -> tuple[Array, int, float]:
    votes = np.bincount(kind, weights=score, minlength=N_SEMANTIC)
    middle = np.average(place, axis=0, weights=score)
    return middle, int(votes.argmax()), float(score.max())
