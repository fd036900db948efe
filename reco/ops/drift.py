"""Drift of electrons in liquid argon: speed, spread and loss. Field kV/cm, temperature K."""

import numpy as np

from reco.data.ragged import Array

DIFFUSION_LONGITUDINAL = 4.0
"""cm²/s. MicroBooNE, JINST 16 (2021) P09025: 3.74; ICARUS, JINST 20 (2025) P01033: about 4."""
DIFFUSION_TRANSVERSE = 8.8
"""cm²/s, at 0.5 kV/cm."""

_FIT = (-0.01481, -0.0075, 0.141, 12.4, 1.627, 0.317)
_FIT_TEMPERATURE = 90.371


def drift_velocity(field: Array | float, temperature: float = 87.0) -> Array:
    """cm/µs at 0.5 to 12.6 kV/cm, of the fit in W. Walkowiak, NIM A 449 (2000) 288, eq. 8.

    v [mm/µs] = (P1 (T - T0) + 1)(P3 E ln(1 + P4/E) + P5 E^P6) + P2 (T - T0). Below 0.5 kV/cm the
    fit is an extrapolation.
    """
    p1, p2, p3, p4, p5, p6 = _FIT
    e, dt = np.asarray(field, float), temperature - _FIT_TEMPERATURE
    per_us = (p1 * dt + 1) * (p3 * e * np.log1p(p4 / e) + p5 * e**p6) + p2 * dt
    return per_us / 10


def diffusion_sigma(time: Array | float, coefficient: float) -> Array:
    """cm. Gaussian width √(2 D t) after `time` µs with a coefficient in cm²/s."""
    sigma: Array = np.sqrt(2 * coefficient * 1e-6 * np.maximum(np.asarray(time, float), 0.0))
    return sigma


def survival(time: Array | float, lifetime: float) -> Array:
    """Part of the electrons left after drifting `time` µs; lifetime µs, inf for none lost."""
    left: Array = np.exp(-np.maximum(np.asarray(time, float), 0.0) / lifetime)
    return left
