"""Reconstructed particles and interactions <-> true ones, by overlap of voxels."""

from reco.data.products import (
    Interactions,
    Matches,
    Particles,
    TruthInteractions,
    TruthParticles,
    VoxelLabels,
)
from reco.data.ragged import Ragged
from reco.ops.matching import Overlaps, best_iou
from reco.stages.base import Stage


class Match(Stage):
    """Best intersection over union on the reconstructed voxels, both ways."""

    name = "matches"
    optional = True

    def __call__(
        self,
        labels: VoxelLabels,
        particles: Particles,
        interactions: Interactions,
        true_particles: TruthParticles,
        true_interactions: TruthInteractions,
    ) -> Matches:
        p = _match(
            particles.voxel_particle, labels.particle, particles.semantic, true_particles.pid
        )
        i = _match(
            interactions.voxel_interaction,
            labels.interaction,
            interactions.id,
            true_interactions.pdg,
        )
        return Matches(
            particle=Ragged.of([m.match_a for m in p]),
            particle_iou=Ragged.of([m.iou_a for m in p]),
            truth_particle=Ragged.of([m.match_b for m in p]),
            truth_particle_iou=Ragged.of([m.iou_b for m in p]),
            interaction=Ragged.of([m.match_a for m in i]),
            interaction_iou=Ragged.of([m.iou_a for m in i]),
            truth_interaction=Ragged.of([m.match_b for m in i]),
            truth_interaction_iou=Ragged.of([m.iou_b for m in i]),
        )


def _match(ours: Ragged, truth: Ragged, our_table: Ragged, true_table: Ragged) -> list[Overlaps]:
    """Labels of the voxels both ways, and any column of the two tables for their lengths."""
    return [
        best_iou(*event)
        for event in zip(ours, truth, our_table.counts, true_table.counts, strict=True)
    ]
