"""Training of the graph network over fragments."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree

from reco.data.bundle import Bundle
from reco.data.classes import N_SEMANTIC, Semantic
from reco.data.products import Fragments, Points, Semantics, TruthParticles, VoxelLabels, Voxels
from reco.data.ragged import Array
from reco.nn.graph import GraphOutput
from reco.stages.graphs import Candidates
from reco.stages.particles import MakeParticles, group_fragments
from reco.train.graphs import (
    Batch,
    GraphTask,
    Overlap,
    Sample,
    Tally,
    compact,
    flag_loss,
    kind_loss,
    links,
    pair_loss,
    recall_mean,
)

NEEDS = (Voxels, Semantics, Points, Fragments, VoxelLabels, TruthParticles)
"""Products of an event that the network learns from."""

SHOWERS = (Semantic.SHOWER, Semantic.MICHEL, Semantic.DELTA)
"""Classes of particles that one of the fragments starts."""


def particle_samples(stage: MakeParticles, events: Bundle) -> list[Sample]:
    """Events with predicted Voxels, Semantics, Points, Fragments, and their truth (VoxelLabels,
    TruthParticles), reduced to what is learnt."""
    upstream = (events[Voxels], events[Semantics], events[Points], events[Fragments])
    return [_sample(stage.prepare(*upstream, i), events.at(i)) for i in range(len(events))]


def _sample(found: Candidates, event: Bundle) -> Sample:
    fragment = event[Fragments].voxel_fragment.values
    overlap = Overlap.of(fragment, event[VoxelLabels].particle.values)
    truth = overlap.majority(len(found.n_voxels))
    particles = event[TruthParticles]
    kind = np.append(particles.semantic.values, -1)[truth]
    return Sample(
        graph=compact(found.graph),
        n_voxels=found.n_voxels,
        linked=links(found, truth),
        flag=starts(event[Voxels].position.values, fragment, truth, kind, particles.start.values),
        kind=kind.astype(np.int8),
        focus=(1 + np.log(found.n_voxels)).astype(np.float32),
        truth=truth.astype(np.int32),
        overlap=overlap,
    )


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
    """See GraphTask. samples: see `particle_samples`."""

    kinds = N_SEMANTIC

    def terms(self, output: GraphOutput, batch: Batch) -> dict[str, torch.Tensor]:
        return {
            "pair": pair_loss(output.pairs, batch),
            "start": 0.3 * flag_loss(output.nodes[:, 0], batch),
            "semantic": 0.2 * kind_loss(output.nodes[:, 1:], batch, self.balance),
        }

    def validate(self) -> dict[str, float]:
        tally = Tally.empty()
        confusion = np.zeros((N_SEMANTIC, N_SEMANTIC), np.int64)
        right: list[bool] = []
        for sample, output, found in self.judged():
            tally.add(sample, output.pairs, group_fragments(output, found))
            known = sample.kind >= 0
            predicted = output.nodes[:, 1:].argmax(dim=1).numpy()
            np.add.at(confusion, (sample.kind[known], predicted[known]), 1)
            right += starts_found(output.nodes[:, 0].numpy(), sample.flag, sample.truth)
        return {
            **tally.figures(),
            "start_accuracy": float(np.mean(right)) if right else float("nan"),
            "semantic_recall": recall_mean(confusion),
        }


def starts_found(score: Array, flag: Array, truth: Array) -> list[bool]:
    """For each true shower in several fragments: whether the best score is that of its start."""
    right = []
    for particle in np.unique(truth[flag == 1]):
        rows = np.flatnonzero(truth == particle)
        if len(rows) > 1:
            right.append(bool(flag[rows[np.argmax(score[rows])]] == 1))
    return right


def task(
    stage: MakeParticles, events: Sequence[Bundle], held_out: Sequence[Bundle]
) -> ParticlesTask:
    """See train.run.Recipe."""
    samples, validation = (
        [sample for event in chosen for sample in particle_samples(stage, event)]
        for chosen in (events, held_out)
    )
    return ParticlesTask(stage, samples, validation)
