"""What the evaluation sees of some events: their products, any of which may be missing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from reco.data.classes import Semantic
from reco.data.product import Product
from reco.data.products import (
    Estimates,
    Fragments,
    Interactions,
    Kinematics,
    Matches,
    Particles,
    Physics,
    Points,
    Semantics,
    TruthInteractions,
    TruthParticles,
    VoxelLabels,
    Voxels,
)
from reco.data.ragged import Array
from reco.errors import InputError
from reco.ops.matching import best_iou


@dataclass(frozen=True)
class Tables:
    """Products of the same events, or None where the file does not hold them.

    No column that is internal (see Column) is used, so a file without them can be evaluated.
    """

    voxels: Voxels | None = None
    labels: VoxelLabels | None = None
    semantics: Semantics | None = None
    points: Points | None = None
    fragments: Fragments | None = None
    particles: Particles | None = None
    kinematics: Kinematics | None = None
    interactions: Interactions | None = None
    estimates: Estimates | None = None
    physics: Physics | None = None
    matches: Matches | None = None
    truth_particles: TruthParticles | None = None
    truth_interactions: TruthInteractions | None = None

    def __post_init__(self) -> None:
        lengths = {type(p).__name__: len(p) for p in self.products()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"the products hold different numbers of events: {lengths}")

    @classmethod
    def of(cls, products: Iterable[Product]) -> "Tables":
        """Pick the products the evaluation knows; others are ignored."""
        known: dict[str, Any] = {_NAMES[type(p)]: p for p in products if type(p) in _NAMES}
        return cls(**known)

    def products(self) -> Iterator[Product]:
        return (p for f in fields(self) if (p := getattr(self, f.name)) is not None)

    def __len__(self) -> int:
        """Number of events."""
        return max((len(p) for p in self.products()), default=0)

    def __iter__(self) -> "Iterator[Tables]":
        """Each event alone."""
        return (Tables.of(p.at(i) for p in self.products()) for i in range(len(self)))


_NAMES: dict[type[Product], str] = {
    Voxels: "voxels",
    VoxelLabels: "labels",
    Semantics: "semantics",
    Points: "points",
    Fragments: "fragments",
    Particles: "particles",
    Kinematics: "kinematics",
    Interactions: "interactions",
    Estimates: "estimates",
    Physics: "physics",
    Matches: "matches",
    TruthParticles: "truth_particles",
    TruthInteractions: "truth_interactions",
}


@dataclass(frozen=True)
class Settings:
    """What the definitions leave open.

    voxel_size: cm. min_score: points with a lower score are not proposals. min_iou: particles and
    interactions overlapping no more than this are not matched (from 0.5 on, matches are unique).
    min_voxels: a true particle with fewer labelled voxels is not visible; low-energy scatters
    never are. min_point_voxels: showers below it have no start point. baselines: also run the
    simple methods on the same events.
    """

    voxel_size: float
    min_score: float = 0.5
    min_iou: float = 0.5
    min_voxels: int = 3
    min_point_voxels: int = 10
    baselines: bool = True


def particle_partners(event: Tables, settings: Settings) -> Array | None:
    """(T,) row of the particle that each true particle of one event is matched to, or -1."""
    truth, labels, particles = event.truth_particles, event.labels, event.particles
    if truth is None:
        return None
    if labels is not None and particles is not None:
        found = best_iou(
            labels.particle.values,
            particles.voxel_particle.values,
            len(truth.pid.values),
            len(particles.id.values),
        )
        return _above(found.match_a, found.iou_a, settings)
    if event.matches is None:
        return None
    return _above(
        event.matches.truth_particle.values, event.matches.truth_particle_iou.values, settings
    )


def interaction_partners(event: Tables, settings: Settings) -> Array | None:
    """(T,) row of the interaction that each true one of one event is matched to, or -1."""
    truth, labels, interactions = event.truth_interactions, event.labels, event.interactions
    if truth is None:
        return None
    if labels is not None and interactions is not None:
        found = best_iou(
            labels.interaction.values,
            interactions.voxel_interaction.values,
            len(truth.energy.values),
            len(interactions.id.values),
        )
        return _above(found.match_a, found.iou_a, settings)
    if event.matches is None:
        return None
    return _above(
        event.matches.truth_interaction.values,
        event.matches.truth_interaction_iou.values,
        settings,
    )


def visible_particles(labels: VoxelLabels, truth: TruthParticles, settings: Settings) -> Array:
    """(T,) bool: true particles of one event with enough voxels that are no low-energy scatter."""
    known = labels.particle.values[labels.particle.values >= 0]
    size = np.bincount(known, minlength=len(truth.pid.values))
    return (size >= settings.min_voxels) & (truth.semantic.values != Semantic.LOW_ENERGY)


def _above(match: Array, iou: Array, settings: Settings) -> Array:
    return np.where(iou > settings.min_iou, match, -1)


def take(values: Array, rows: Array, missing: float) -> Array:
    """values[rows], with `missing` where the row is negative."""
    found = np.full((len(rows), *values.shape[1:]), missing, values.dtype)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found
