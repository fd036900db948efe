"""One event under evaluation, with what several sections ask of it, worked out once."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from reco.data.classes import Semantic
from reco.data.ragged import Array
from reco.metrics.baselines import (
    calorimetric_energy,
    density_fragments,
    density_interactions,
    density_particles,
    geometric_vertex,
)
from reco.metrics.tables import Settings, Tables
from reco.ops.matching import best_iou


@dataclass(frozen=True)
class SimplePartitions:
    """(N,) int64 each: what density clustering makes of the voxels and their classes."""

    fragment: Array
    particle: Array
    interaction: Array


@dataclass(frozen=True, kw_only=True)
class Event(Tables):
    """Tables of one event. Products are None, and so is what needs them, where there are none."""

    settings: Settings

    @classmethod
    def under(cls, settings: Settings, tables: Tables) -> "Event":
        products = {f.name: getattr(tables, f.name) for f in fields(Tables)}
        return cls(settings=settings, **products)

    @cached_property
    def particle_partners(self) -> Array | None:
        """(T,) row of the particle that each true particle is matched to, or -1."""
        truth, labels, found = self.truth_particles, self.labels, self.particles
        if truth is None or labels is None or found is None:
            return None
        return _partners(
            labels.particle.values,
            found.voxel_particle.values,
            len(truth.pid.values),
            len(found.id.values),
            self.settings.min_iou,
        )

    @cached_property
    def interaction_partners(self) -> Array | None:
        """(T,) row of the interaction that each true one is matched to, or -1."""
        truth, labels, found = self.truth_interactions, self.labels, self.interactions
        if truth is None or labels is None or found is None:
            return None
        return _partners(
            labels.interaction.values,
            found.voxel_interaction.values,
            len(truth.energy.values),
            len(found.id.values),
            self.settings.min_iou,
        )

    @cached_property
    def visible(self) -> Array | None:
        """(T,) bool: true particles with enough voxels that are no low-energy scatter."""
        if self.labels is None or self.truth_particles is None:
            return None
        label = self.labels.particle.values
        semantic = self.truth_particles.semantic.values
        size = np.bincount(label[label >= 0], minlength=len(semantic))
        return (size >= self.settings.min_voxels) & (semantic != Semantic.LOW_ENERGY)

    @cached_property
    def simple(self) -> SimplePartitions | None:
        """The baselines' partitions; None too where the settings want no baselines."""
        if not self.settings.baselines or self.voxels is None or self.semantics is None:
            return None
        position, semantic = self.voxels.position.values, self.semantics.semantic.values
        fragment = density_fragments(position, semantic, self.settings.voxel_size)
        particle = density_particles(position, semantic, fragment)
        return SimplePartitions(fragment, particle, density_interactions(position, particle))

    @cached_property
    def simple_energy(self) -> Array | None:
        """(P,) float64 MeV: the summed charge of each particle."""
        if not self.settings.baselines or self.voxels is None or self.particles is None:
            return None
        particles = self.particles
        return calorimetric_energy(
            self.voxels.energy.values, particles.voxel_particle.values, particles.semantic.values
        )

    @cached_property
    def simple_vertices(self) -> Array | None:
        """(I, 3) cm, by geometry, of the reconstructed interactions; NaN for one without start."""
        particles, kinematics, found = self.particles, self.kinematics, self.interactions
        if not self.settings.baselines:
            return None
        if particles is None or kinematics is None or found is None:
            return None
        vertex = np.full((len(found.id.values), 3), np.nan)
        for i in range(len(vertex)):
            rows = np.flatnonzero(found.particle_interaction.values == i)
            kinds = particles.semantic.values[rows]
            solid = rows[np.isin(kinds, (Semantic.TRACK, Semantic.SHOWER))]
            rows = solid if len(solid) else rows
            if len(rows):
                vertex[i] = geometric_vertex(
                    kinematics.start.values[rows],
                    kinematics.end.values[rows],
                    kinematics.direction.values[rows],
                    particles.semantic.values[rows] == Semantic.TRACK,
                )
        return vertex


def _partners(true: Array, found: Array, n_true: int, n_found: int, min_iou: float) -> Array:
    best = best_iou(true, found, n_true, n_found)
    return np.where(best.iou_a > min_iou, best.match_a, -1)


def take(values: Array, rows: Array, missing: float) -> Array:
    """values[rows], with `missing` where the row is negative."""
    found = np.full((len(rows), *values.shape[1:]), missing, values.dtype)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found
