"""What the evaluation sees of some events: their products, any of which may be missing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from reco.data.product import Product
from reco.data.products import (
    Estimates,
    Fragments,
    Interactions,
    Kinematics,
    Particles,
    Physics,
    Points,
    Semantics,
    TruthInteractions,
    TruthParticles,
    VoxelLabels,
    Voxels,
)
from reco.errors import InputError


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
        values = (getattr(self, f.name) for f in fields(self))
        return (value for value in values if isinstance(value, Product))

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
    simple methods on the same events. lower, upper: cm, corners of the detector; a vertex outside
    cannot be seen (None: every vertex is inside). resamples: of the events, for statistical errors
    (0: none).
    """

    voxel_size: float
    min_score: float = 0.5
    min_iou: float = 0.5
    min_voxels: int = 3
    min_point_voxels: int = 10
    baselines: bool = True
    lower: tuple[float, ...] | None = None
    upper: tuple[float, ...] | None = None
    resamples: int = 50
