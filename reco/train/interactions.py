"""Training of the graph network over particles."""

from collections.abc import Sequence

import numpy as np

from reco.data.bundle import Bundle
from reco.data.classes import N_PID
from reco.data.products import (
    Kinematics,
    Particles,
    Points,
    Semantics,
    TruthParticles,
    VoxelLabels,
    Voxels,
)
from reco.stages.interactions import MakeInteractions
from reco.train.graphs import (
    GraphTask,
    Judged,
    Overlap,
    Sample,
    accuracy,
    confusion,
    of_row,
    recall_mean,
)

NEEDS = (Voxels, Semantics, Points, Particles, Kinematics, VoxelLabels, TruthParticles)
"""Products of an event that the network learns from."""

SECONDARY = 0.3
"""Weight of a particle that does not come from the vertex, beside one that does."""


def sample_of(stage: MakeInteractions, event: Bundle) -> Sample:
    """One event with its predicted products and truth (NEEDS), reduced to what is learnt."""
    found = stage.prepare(event)
    particle, labels = event[Particles].voxel_particle.values, event[VoxelLabels]
    particles = event[TruthParticles]
    truth = Overlap.of(particle, labels.particle.values).majority(len(found.n_voxels))
    primary = of_row(particles.is_primary.values.astype(np.int8), truth)
    return Sample.of(
        found,
        truth,
        of_row(particles.interaction.values, truth),
        Overlap.of(particle, labels.interaction.values),
        flag=primary,
        kind=of_row(particles.pid.values, truth),
        weight=np.where(primary > 0, 1.0, SECONDARY),
    )


class InteractionsTask(GraphTask):
    """See GraphTask. samples: see `sample_of`."""

    flag, kind, n_kinds = ("primary", 0.5), ("pid", 0.5), N_PID

    def figures(self, judged: Sequence[Judged]) -> dict[str, float]:
        leading = ((np.where(j.sample.flag == 1, j.sample.kind, -1), j.kind) for j in judged)
        pid = confusion(N_PID, leading)
        primary = confusion(2, ((j.sample.flag, (j.flag > 0).astype(int)) for j in judged))
        return {
            "pid_accuracy": accuracy(pid),
            "pid_recall": recall_mean(pid),
            "primary_accuracy": accuracy(primary),
            "primary_recall": recall_mean(primary),
        }
