"""Masses of the particles that trajectories name, for the kinetic energy of a momentum."""

import numpy as np

from reco.data.ragged import Array

MASS = {
    **dict.fromkeys((12, 14, 16, 22), 0.0),
    11: 0.51099895,
    13: 105.6583755,
    15: 1776.93,
    111: 134.9768,
    211: 139.57039,
    221: 547.862,
    130: 497.611,
    310: 497.611,
    311: 497.611,
    321: 493.677,
    2112: 939.5654205,
    2212: 938.2720882,
    3112: 1197.449,
    3122: 1115.683,
    3212: 1192.642,
    3222: 1189.37,
}
"""|PDG code| -> MeV, from the Particle Data Group (2024)."""
ATOMIC_MASS_UNIT = 931.49410242
_FIRST_NUCLEUS = 1_000_000_000


def masses_of(pdg: Array) -> Array:
    """(N,) PDG codes -> (N,) float64 MeV; nuclei to a percent, NaN for a code not known here."""
    codes, inverse = np.unique(np.abs(np.asarray(pdg, np.int64)), return_inverse=True)
    return np.array([_mass(int(code)) for code in codes], np.float64)[inverse]


def _mass(code: int) -> float:
    if code >= _FIRST_NUCLEUS:
        return code // 10 % 1000 * ATOMIC_MASS_UNIT
    return MASS.get(code, np.nan)


def kinetic_energy(momentum: Array, pdg: Array) -> Array:
    """(N, 3) MeV/c -> (N,) float64 MeV; NaN where the mass is not known."""
    mass = masses_of(pdg)
    square = (np.asarray(momentum, np.float64) ** 2).sum(axis=1)
    total = np.sqrt(square + mass**2) + mass
    return square / np.where(total == 0, 1.0, total)
