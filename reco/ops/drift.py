"""Drift of electrons in liquid argon: speed, spread and loss. Field kV/cm, temperature K."""

from dataclasses import dataclass

import numpy as np

from reco.data.ragged import Array

DIFFUSION_LONGITUDINAL = 4.0
"""cm²/s. MicroBooNE, JINST 16 (2021) P09025: 3.74; ICARUS, JINST 20 (2025) P01033: about 4."""
DIFFUSION_TRANSVERSE = 8.8
"""cm²/s, at 0.5 kV/cm."""


@dataclass(frozen=True)
class _Fit:
    """v [mm/µs] = (p1 (T - t0) + 1)(p3 E ln(1 + p4/E) + p5 E^p6) + p2 (T - t0)."""

    p1: float
    p2: float
    p3: float
    p4: float
    p5: float
    p6: float
    t0: float

    def velocity(self, field: Array, temperature: float) -> Array:
        dt = temperature - self.t0
        shape = self.p3 * field * np.log1p(self.p4 / field) + self.p5 * field**self.p6
        return np.asarray(((self.p1 * dt + 1) * shape + self.p2 * dt) / 10)


_WEAK = _Fit(-0.04640, 0.01712, 1.88125, 0.99408, 0.01172, 4.20214, 105.749)
_STRONG = _Fit(-0.01481, -0.0075, 0.141, 12.4, 1.627, 0.317, 90.371)
_LINEAR_BELOW = 0.1
_JOIN = (0.619, 0.699)


def drift_velocity(field: Array | float, temperature: float = 87.0) -> Array:
    """cm/µs in fields up to 12.6 kV/cm.

    The fit of W. Walkowiak, NIM A 449 (2000) 288, eq. 8, in strong fields; the same form with the
    constants of ICARUS (S. Amoruso et al., NIM A 516 (2004) 68) in weak ones, where the former is
    15 % high; the mean of both in between, and proportional to the field below 0.1 kV/cm.
    """
    e = np.asarray(field, float)
    within = np.maximum(e, _LINEAR_BELOW)
    part = np.clip((within - _JOIN[0]) / (_JOIN[1] - _JOIN[0]), 0, 1)
    weak, strong = (fit.velocity(within, temperature) for fit in (_WEAK, _STRONG))
    return np.asarray(((1 - part) * weak + part * strong) * np.minimum(e / _LINEAR_BELOW, 1))


def diffusion_sigma(time: Array | float, coefficient: float) -> Array:
    """cm. Gaussian width √(2 D t) after `time` µs with a coefficient in cm²/s."""
    sigma: Array = np.sqrt(2 * coefficient * 1e-6 * np.maximum(np.asarray(time, float), 0.0))
    return sigma


def survival(time: Array | float, lifetime: float) -> Array:
    """Part of the electrons left after drifting `time` µs; lifetime µs, inf for none lost."""
    left: Array = np.exp(-np.maximum(np.asarray(time, float), 0.0) / lifetime)
    return left
