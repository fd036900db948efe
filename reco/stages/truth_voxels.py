"""TruthDeposits -> TruthVoxels: the truth on the grid of the detector."""

from typing import NamedTuple

import numpy as np
from pydantic import Field

from reco.data.classes import N_SEMANTIC, SEMANTIC_PRECEDENCE
from reco.data.products import TruthDeposits, TruthParticles, TruthVoxels
from reco.data.ragged import Array, Ragged
from reco.errors import InputError
from reco.ops.voxelize import accumulate, dominant, unpack
from reco.stages.base import Stage, StageOptions
from reco.stages.voxelize import check_hits, voxel_numbers

_RANK = np.full(len(SEMANTIC_PRECEDENCE) + 1, len(SEMANTIC_PRECEDENCE), np.int64)
_RANK[np.array(SEMANTIC_PRECEDENCE)] = np.arange(len(SEMANTIC_PRECEDENCE))
"""Class -> place in the order of precedence; -1, the last, comes last."""


class TruthVoxelize(Stage):
    """Sum true deposits per voxel. A voxel takes its labels from the class of the highest
    precedence in it, and within that class from the fragment with most energy there."""

    name = "truth_voxels"
    optional = True

    class Options(StageOptions):
        """threshold: energy a voxel must have, MeV; 0 keeps every voxel touched."""

        threshold: float = Field(default=0.0, ge=0)

    options: Options

    def __call__(self, deposits: TruthDeposits, particles: TruthParticles) -> TruthVoxels:
        events = [
            self._event(deposits, particles.interaction[event], event)
            for event in range(len(deposits))
        ]
        return TruthVoxels(*(Ragged.of(list(column)) for column in zip(*events, strict=True)))

    def _event(self, deposits: TruthDeposits, interaction: Array, event: int) -> "_Grid":
        detector = self.context.detector
        position, energy = deposits.position[event], deposits.energy[event]
        check_hits(position, energy, event, table="truth_deposits")
        _check_labels("semantic", deposits.semantic[event], N_SEMANTIC, event)
        _check_labels("particle", deposits.particle[event], len(interaction), event)
        number, inside = voxel_numbers(detector, position)
        semantic, fragment, particle = (
            column[event][inside]
            for column in (deposits.semantic, deposits.fragment, deposits.particle)
        )
        energy = energy[inside]
        voxel, total = accumulate(number, energy)
        row = dominant(number, _RANK[semantic], fragment, energy)
        kept = total >= self.options.threshold
        row, index = row[kept], unpack(voxel[kept], detector.grid_shape)
        owner = particle[row]
        return _Grid(
            cell=index,
            position=detector.centre_of(index),
            energy=total[kept],
            semantic=semantic[row],
            fragment=fragment[row],
            particle=owner,
            interaction=np.append(interaction, -1)[owner],
        )


def _check_labels(column: str, labels: Array, stop: int, event: int) -> None:
    """Raise InputError where a label is neither -1 nor a class, or a row of truth_particles."""
    bad = (labels < -1) | (labels >= stop)
    if bad.any():
        row = int(np.argmax(bad))
        what = "classes" if column == "semantic" else f"rows of the {stop} truth_particles"
        raise InputError(
            f"{column} in truth_deposits must be {what}, or -1: row {row} of event {event} in this "
            f"batch is {labels[row]} ({int(bad.sum())} such rows); correct the labels of the file"
        )


class _Grid(NamedTuple):
    """The columns of TruthVoxels of one event, in their order."""

    cell: Array
    position: Array
    energy: Array
    semantic: Array
    fragment: Array
    particle: Array
    interaction: Array
