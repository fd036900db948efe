"""Mean energy loss of heavy charged particles in liquid argon, and their range.

Bethe's formula with Sternheimer's density effect: PDG, Review of Particle Physics (2022),
eqs. 34.5 and 34.7; constants of argon from the PDG tables of atomic and nuclear properties.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from reco.data.ragged import Array

ELECTRON_MASS = 0.51099895
MUON_MASS = 105.6583755
PION_MASS = 139.57039
PROTON_MASS = 938.2720882
KAON_MASS = 493.677
"""MeV (PDG 2022)."""

DENSITY = 1.396
"""Liquid argon at 87 K, g/cm3."""

_K = 0.307075
"""MeV cm2/mol."""
_Z_OVER_A = 18 / 39.948
_EXCITATION = 188e-6
"""MeV."""
_STERNHEIMER_A, _STERNHEIMER_K, _X0, _X1, _C = 0.19559, 3.0, 0.2, 3.0, 5.2146
_LOWEST, _HIGHEST, _POINTS = 1e-3, 1e3, 601
"""Kinetic energies of the table in units of the mass. Below 1e-3 (0.9 MeV for a proton) Bethe's
formula fails, and less than 0.01 cm of range remains."""


def dedx(kinetic_energy: Array | float, mass: float, density: float = DENSITY) -> Array:
    """Mean ionisation loss, MeV/cm, of a singly charged particle heavier than an electron.

    kinetic_energy: any shape, MeV, at least 1e-3 of the mass. mass: MeV. density: g/cm3.
    """
    gamma = 1 + np.asarray(kinetic_energy, np.float64) / mass
    momentum2 = gamma**2 - 1
    beta2 = momentum2 / gamma**2
    ratio = ELECTRON_MASS / mass
    largest = 2 * ELECTRON_MASS * momentum2 / (1 + 2 * gamma * ratio + ratio**2)
    logarithm = 0.5 * np.log(2 * ELECTRON_MASS * momentum2 * largest / _EXCITATION**2)
    bracket = logarithm - beta2 - density_effect(np.sqrt(momentum2)) / 2
    loss: Array = density * _K * _Z_OVER_A / beta2 * bracket
    return loss


def density_effect(momentum: Array) -> Array:
    """Sternheimer's delta. momentum: any shape, in units of the mass (beta gamma)."""
    x = np.log10(momentum)
    asymptote = 2 * np.log(10) * x - _C
    below = asymptote + _STERNHEIMER_A * np.maximum(_X1 - x, 0) ** _STERNHEIMER_K
    return np.where(x < _X0, 0.0, below)


def energy_of_range(length: Array | float, mass: float, density: float = DENSITY) -> Array:
    """Kinetic energy, MeV, of a particle that stops after this length (cm, any shape).

    Exact inverse of `range_of_energy`; 0 for 0, NaN for NaN.
    """
    table = _table(mass)
    areal = np.maximum(np.asarray(length, np.float64) * density, 0)
    energy = np.exp(np.interp(np.log(np.maximum(areal, table.range[0])), *table.logs))
    linear = table.energy[0] * areal / table.range[0]
    return np.where(areal < table.range[0], linear, energy)


def range_of_energy(kinetic_energy: Array | float, mass: float, density: float = DENSITY) -> Array:
    """Range, cm, in the continuous-slowing-down approximation. kinetic_energy: MeV, any shape."""
    table = _table(mass)
    energy = np.maximum(np.asarray(kinetic_energy, np.float64), 0)
    log_range, log_energy = table.logs
    areal = np.exp(np.interp(np.log(np.maximum(energy, table.energy[0])), log_energy, log_range))
    linear = table.range[0] * energy / table.energy[0]
    return np.where(energy < table.energy[0], linear, areal) / density


class _Table(NamedTuple):
    """Rising kinetic energies (MeV) and ranges (g/cm2), and (log range, log energy)."""

    energy: Array
    range: Array
    logs: tuple[Array, Array]


@lru_cache(maxsize=16)
def _table(mass: float) -> _Table:
    log_energy = np.log(np.geomspace(_LOWEST, _HIGHEST, _POINTS) * mass)
    energy = np.exp(log_energy)
    loss = dedx(energy, mass, density=1.0)
    # the loss is at its largest here: T / loss is the right order for what little range is left
    first = energy[0] / loss[0]
    ranges = first + _integral(energy / loss) * (log_energy[1] - log_energy[0])
    return _Table(energy, ranges, (np.log(ranges), log_energy))


def _integral(values: Array) -> Array:
    """Up to each of (2 K + 1,) values, K >= 1, in units of their distance, by Simpson's rule."""
    before, middle, after = values[:-2], values[1:-1], values[2:]
    steps = np.append(5 * before + 8 * middle - after, 0)
    steps[1::2] = (5 * after + 8 * middle - before)[::2]
    return np.append(0, np.cumsum(steps)) / 12
