"""Training of the graph network over particles."""

from collections.abc import Sequence

import numpy as np
import torch

from reco.data.bundle import Bundle
from reco.data.classes import N_PID
from reco.data.products import (
    Fragments,
    Kinematics,
    Particles,
    Points,
    Semantics,
    TruthParticles,
    VoxelLabels,
    Voxels,
)
from reco.nn.graph import GraphOutput
from reco.stages.graphs import Candidates
from reco.stages.interactions import MakeInteractions, group_particles
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

NEEDS = (
    Voxels,
    Semantics,
    Points,
    Fragments,
    Particles,
    Kinematics,
    VoxelLabels,
    TruthParticles,
)
"""Products of an event that the network learns from."""

SECONDARY = 0.3
"""Weight of a particle that does not come from the vertex, beside one that does."""


def interaction_samples(stage: MakeInteractions, events: Bundle) -> list[Sample]:
    """Events with predicted products up to Particles and Kinematics, and their truth
    (VoxelLabels, TruthParticles), reduced to what is learnt."""
    upstream = (
        events[Voxels],
        events[Semantics],
        events[Points],
        events[Fragments],
        events[Particles],
        events[Kinematics],
    )
    return [_sample(stage.prepare(*upstream, i), events.at(i)) for i in range(len(events))]


def _sample(found: Candidates, event: Bundle) -> Sample:
    particle = event[Particles].voxel_particle.values
    labels, particles = event[VoxelLabels], event[TruthParticles]
    truth = Overlap.of(particle, labels.particle.values).majority(len(found.n_voxels))
    primary = np.append(particles.is_primary.values.astype(np.int8), np.int8(-1))[truth]
    interaction = np.append(particles.interaction.values, -1)[truth]
    focus = (1 + np.log(found.n_voxels)) * np.where(primary > 0, 1.0, SECONDARY)
    return Sample(
        graph=compact(found.graph),
        n_voxels=found.n_voxels,
        linked=links(found, interaction),
        flag=primary,
        kind=np.append(particles.pid.values, -1)[truth].astype(np.int8),
        focus=focus.astype(np.float32),
        truth=truth.astype(np.int32),
        overlap=Overlap.of(particle, labels.interaction.values),
    )


class InteractionsTask(GraphTask):
    """See GraphTask. samples: see `interaction_samples`."""

    kinds = N_PID

    def terms(self, output: GraphOutput, batch: Batch) -> dict[str, torch.Tensor]:
        return {
            "pair": pair_loss(output.pairs, batch),
            "primary": 0.5 * flag_loss(output.nodes[:, 0], batch),
            "pid": 0.5 * kind_loss(output.nodes[:, 1:], batch, self.balance),
        }

    def validate(self) -> dict[str, float]:
        tally = Tally.empty()
        pid = np.zeros((N_PID, N_PID), np.int64)
        primary = np.zeros((2, 2), np.int64)
        for sample, output, found in self.judged():
            tally.add(sample, output.pairs, group_particles(output, found))
            leading = (sample.kind >= 0) & (sample.flag == 1)
            predicted = output.nodes[:, 1:].argmax(dim=1).numpy()
            np.add.at(pid, (sample.kind[leading], predicted[leading]), 1)
            known = sample.flag >= 0
            said = (output.nodes[:, 0].numpy() > 0).astype(int)
            np.add.at(primary, (sample.flag[known], said[known]), 1)
        return {
            **tally.figures(),
            "pid_accuracy": float(np.trace(pid) / max(pid.sum(), 1)),
            "pid_recall": recall_mean(pid),
            "primary_accuracy": float(np.trace(primary) / max(primary.sum(), 1)),
            "primary_recall": recall_mean(primary),
        }


def task(
    stage: MakeInteractions, events: Sequence[Bundle], held_out: Sequence[Bundle]
) -> InteractionsTask:
    """See train.run.Recipe."""
    samples, validation = (
        [sample for event in chosen for sample in interaction_samples(stage, event)]
        for chosen in (events, held_out)
    )
    return InteractionsTask(stage, samples, validation)
