"""Small real stages, to plan and run without networks."""

import signal
from typing import Annotated

import numpy as np
from pydantic import Field

from reco.data.products import Hits, Points, Semantics, TruthDeposits, VoxelLabels, Voxels
from reco.data.ragged import Ragged
from reco.errors import InputError
from reco.stages.base import Stage, StageOptions

WIDTH = 7


class Grid(Stage):
    """Every hit with a value above threshold is a voxel; 13 is bad luck, and 19 is Ctrl-C."""

    name = "grid"

    class Options(StageOptions):
        threshold: Annotated[float, Field(ge=0)] = 0.5

    def __call__(self, hits: Hits) -> Voxels:
        if (hits.value.values == 13).any():
            raise InputError("a hit of 13 MeV,\nwhich nobody wants")
        if (hits.value.values == 19).any():
            signal.raise_signal(signal.SIGINT)
        kept = [value > self.options.threshold for value in hits.value]
        position = Ragged.of([x[k] for x, k in zip(hits.position, kept, strict=True)])
        return Voxels(
            index=position.like(position.values.astype(np.int32)),
            position=position,
            energy=Ragged.of([v[k] for v, k in zip(hits.value, kept, strict=True)]),
            n_hits=hits.value.counts,
            n_hits_outside=hits.value.counts * 0,
        )


class Classify(Stage):
    """Features are multiples of the energy; fails on an energy of 17."""

    name = "classify"

    def __call__(self, voxels: Voxels) -> Semantics:
        energy = voxels.energy.values
        if (energy == 17).any():
            raise ZeroDivisionError("17")
        like, n = voxels.energy.like, len(energy)
        return Semantics(
            scores=like(np.full((n, 5), 0.2)),
            semantic=like(np.ones(n)),
            features=like(energy[:, None] * np.arange(WIDTH)),
            point_score=like(energy / 100),
            point_offset=like(np.zeros((n, 3))),
            point_type=like(np.ones(n)),
            affinity=like(np.zeros((n, 13))),
        )


class Brightest(Stage):
    """The voxel with most energy is a point."""

    name = "brightest"

    def __call__(self, voxels: Voxels, semantics: Semantics) -> Points:
        best = [np.argsort(e, kind="stable")[-1:] for e in voxels.energy]
        position = Ragged.of([x[b] for x, b in zip(voxels.position, best, strict=True)])
        return Points(
            position=position,
            type=Ragged.of([s[b] for s, b in zip(semantics.semantic, best, strict=True)]),
            score=position.like(np.ones(len(position.values))),
        )


class Labels(Stage):
    """Truth is that there is none."""

    name = "truth"
    optional = True

    def __call__(self, voxels: Voxels, deposits: TruthDeposits) -> VoxelLabels:
        none = voxels.energy.like(np.full(len(voxels.energy.values), -1))
        return VoxelLabels(semantic=none, fragment=none, particle=none, interaction=none)


class SecondGrid(Grid):
    name = "second_grid"
