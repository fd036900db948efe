"""Truth of formats that label voxels and say only some things of the particles behind them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from reco.data.classes import PID, PID_OF_PDG
from reco.data.products import TruthInteractions, TruthParticles
from reco.data.ragged import Array, Ragged
from reco.data.truth_tables import topology
from reco.io.base import as_float32

UNKNOWN: dict[str, int | bool] = {
    "pid": PID.UNKNOWN,
    "pdg": 0,
    "semantic": -1,
    "interaction": -1,
    "parent": -1,
    "is_primary": False,
    "contained": False,
}
"""What stands in a column of TruthParticles that a format lacks; in all others it is NaN."""


def particles_of(count: int, columns: Mapping[str, Array]) -> TruthParticles:
    """The particles of one event from the columns that a format has, (count, ...) each."""
    table = {}
    for name, spec in TruthParticles.columns().items():
        values = columns.get(name)
        if values is None:
            values = np.full((count, *spec.shape), UNKNOWN.get(name, np.nan))
        with np.errstate(over="ignore", invalid="ignore"):
            table[name] = Ragged.one(np.asarray(values).astype(spec.dtype))
    return TruthParticles(**table)


def pids_of(pdg: Array) -> Array:
    """(N,) PDG codes -> (N,) int8 PID."""
    return np.array([PID_OF_PDG.get(abs(int(code)), PID.UNKNOWN) for code in pdg], np.int8)


def directions(momentum: Array) -> Array:
    """(N, 3) -> (N, 3) unit vectors; NaN where the momentum is zero or NaN."""
    norm = np.linalg.norm(momentum, axis=1, keepdims=True)
    return np.divide(momentum, norm, out=np.full(momentum.shape, np.nan), where=norm > 0)


def interactions_of(
    particles: TruthParticles, vertices: Array, *, primaries: bool, pdg: Array | None = None
) -> TruthInteractions:
    """The interactions of one event.

    vertices: (I, 3) cm, NaN where unknown. primaries: whether the format tells primaries; if not,
    energies are NaN and topologies empty. pdg: (I,) of the neutrino, 0 for none.
    """
    count = len(vertices)
    row = particles.interaction.values
    known = row >= 0
    first = known & particles.is_primary.values
    energy = np.bincount(row[first], particles.energy.values[first], count)
    names = [topology(particles.pid.values[first & (row == i)]) for i in range(count)]
    escaped = np.bincount(row[known & ~particles.contained.values], minlength=count)
    return TruthInteractions(
        vertex=Ragged.one(as_float32(vertices).reshape(-1, 3)),
        energy=Ragged.one(energy if primaries else np.full(count, np.nan)),
        pdg=Ragged.one(np.zeros(count, np.int32) if pdg is None else np.asarray(pdg)),
        n_particles=Ragged.one(np.bincount(row[known], minlength=count)),
        topology=Ragged.one(np.array(names if primaries else [""] * count, dtype="S32")),
        contained=Ragged.one(escaped == 0),
    )


def renumber(particles: TruthParticles) -> tuple[TruthParticles, Array]:
    """Number the interactions that have a particle from 0; and their numbers before, (I,)."""
    number = particles.interaction.values
    kept = np.unique(number[number >= 0])
    row = np.where(number >= 0, np.searchsorted(kept, number), -1)
    return replace(particles, interaction=Ragged.one(row.astype(np.int32))), kept


def first_of(keys: Array, *ranks: Array) -> tuple[Array, Array]:
    """Distinct keys, ascending, and the row of each that comes first by the ranks."""
    order = np.lexsort((*reversed(ranks), keys))
    known, first = np.unique(keys[order], return_index=True)
    return known, order[first]
