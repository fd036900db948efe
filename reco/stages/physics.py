"""Quantities that need to know what each particle is."""

import numpy as np
from pydantic import Field

from reco.data.classes import PID
from reco.data.products import Interactions, Kinematics, Particles, Physics
from reco.data.ragged import Array, Ragged
from reco.data.truth_tables import topology
from reco.stages.base import Stage, StageOptions

_TRACKS = (PID.MUON, PID.PION, PID.PROTON, PID.KAON)
"""Order of the hypotheses in Kinematics.energy_csda."""


class MakePhysics(Stage):
    """Energy by range for the particle's own identity; topology and containment."""

    name = "physics"

    class Options(StageOptions):
        """threshold: kinetic energy from which a primary counts in the topology, MeV (by range
        for tracks, by calorimetry for showers); below, a few voxels are a primary or are not."""

        threshold: float = Field(default=20.0, ge=0)

    options: Options

    def __call__(
        self, particles: Particles, kinematics: Kinematics, interactions: Interactions
    ) -> Physics:
        rows = interactions.pid
        energy = range_energy(rows.values, kinematics.energy_csda.values)
        visible = np.where(np.isnan(energy), kinematics.energy_calo.values, energy)
        counts = interactions.is_primary.values & (visible >= self.options.threshold)
        events = zip(
            rows.like(np.where(counts, rows.values, PID.UNKNOWN)),
            interactions.particle_interaction,
            kinematics.contained,
            interactions.id.counts,
            strict=True,
        )
        summaries = [summarise(*event) for event in events]
        return Physics(
            energy_range=particles.id.like(energy),
            topology=Ragged.of([names for names, _ in summaries]),
            contained=Ragged.of([contained for _, contained in summaries]),
        )


def range_energy(pid: Array, energy_csda: Array) -> Array:
    """(P,) PID and (P, 4) energies as mu, pi, p, K -> (P,) energy for the PID, NaN for showers."""
    column = np.full(len(PID), -1)  # PID.UNKNOWN is the last, by its index -1
    column[list(_TRACKS)] = np.arange(len(_TRACKS))
    own = column[pid]
    energy = energy_csda[np.arange(len(pid)), np.maximum(own, 0)]
    return np.where(own >= 0, energy, np.nan)


def summarise(pid: Array, interaction: Array, contained: Array, n: int) -> tuple[Array, Array]:
    """Topology (n,) bytes and containment (n,) bool of the interactions of one event.

    pid: (P,) of the primaries that count, -1 for all other particles. interaction: (P,) row.
    """
    names = np.array([topology(pid[interaction == i].tolist()) for i in range(n)], dtype="S32")
    escaping = interaction[~contained & (interaction >= 0)]
    return names, np.bincount(escaping, minlength=n) == 0
