"""Training of the graph network over fragments."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from reco.data.bundle import Bundle
from reco.data.classes import N_SEMANTIC, Semantic
from reco.data.products import Fragments, Points, Semantics, TruthParticles, VoxelLabels, Voxels
from reco.data.ragged import Array
from reco.stages.particles import MakeParticles
from reco.train.graphs import (
    GraphTask,
    Judged,
    Overlap,
    Sample,
    confusion,
    of_row,
    recall_mean,
)

NEEDS = (Voxels, Semantics, Points, Fragments, VoxelLabels, TruthParticles)
"""Products of an event that the network learns from."""

SHOWERS = (Semantic.SHOWER, Semantic.MICHEL, Semantic.DELTA)
"""Classes of particles that one of the fragments starts."""


def sample_of(stage: MakeParticles, event: Bundle) -> Sample:
    """One event with its predicted products and truth (NEEDS), reduced to what is learnt."""
    found = stage.prepare(event)
    fragment, particles = event[Fragments].voxel_fragment.values, event[TruthParticles]
    overlap = Overlap.of(fragment, event[VoxelLabels].particle.values)
    truth = overlap.majority(len(found.n_voxels))
    kind = of_row(particles.semantic.values, truth)
    flag = starts(event[Voxels].position.values, fragment, truth, kind, particles.start.values)
    return Sample.of(found, truth, truth, overlap, flag=flag, kind=kind)


def starts(place: Array, fragment: Array, truth: Array, kind: Array, start: Array) -> Array:
    """(C,) int8: 1 for the fragment of a shower that is nearest to its start, 0 for its others,
    -1 for fragments of anything else.

    place: (N, 3) voxels, cm. fragment: (N,). truth, kind: (C,) particle of each fragment and its
    class. start: (P, 3) of the particles, cm.
    """
    flag = np.where(np.isin(kind, SHOWERS), 0, -1).astype(np.int8)
    owner = np.where(flag[fragment] == 0, truth[fragment], -1)
    order = np.argsort(owner, kind="stable")
    order = order[np.searchsorted(owner[order], 0) :]
    for rows in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
        if len(rows):
            nearest = rows[cKDTree(place[rows]).query(start[owner[rows[0]]])[1]]
            flag[fragment[nearest]] = 1
    return flag


class ParticlesTask(GraphTask):
    """See GraphTask. samples: see `sample_of`."""

    flag, kind, n_kinds = ("start", 0.3), ("semantic", 0.2), N_SEMANTIC

    def figures(self, judged: Sequence[Judged]) -> dict[str, float]:
        right = [
            found for j in judged for found in starts_found(j.flag, j.sample.flag, j.sample.truth)
        ]
        semantic = confusion(N_SEMANTIC, ((j.sample.kind, j.kind) for j in judged))
        return {
            "start_accuracy": float(np.mean(right)) if right else float("nan"),
            "semantic_recall": recall_mean(semantic),
        }


def starts_found(score: Array, flag: Array, truth: Array) -> list[bool]:
    """For each true shower in several fragments: whether the best score is that of its start."""
    right = []
    for particle in np.unique(truth[flag == 1]):
        rows = np.flatnonzero(truth == particle)
        if len(rows) > 1:
            right.append(bool(flag[rows[np.argmax(score[rows])]] == 1))
    return right
