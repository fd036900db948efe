"""Recombination of ionisation electrons in liquid argon, forward and back.

All functions take and give scalars or arrays. `dedx` is MeV/cm, `field` kV/cm, `density` g/cm³;
`dqdx` is in electrons per cm. R is the part of the electrons that escape recombination:
dQ/dx = R(dE/dx) · dE/dx / W.

Sources:
- Birks: S. Amoruso et al. (ICARUS), NIM A 523 (2004) 275, A and k for fields near 0.5 kV/cm.
- modified box: R. Acciarri et al. (ArgoNeuT), JINST 8 (2013) P08005.
- ellipsoidal box: ICARUS collaboration, JINST 20 (2025) P01033: beta depends on the angle of the
  track to the field.
"""

import numpy as np

from reco.data.ragged import Array

W_ION = 23.6e-6
"""MeV per ionisation electron before recombination."""
DENSITY = 1.396
"""g/cm³, liquid argon at its boiling point."""
MIP_DEDX = 2.105
"""MeV/cm, minimum of the mean energy loss."""

BIRKS_A = 0.800
BIRKS_K = 0.0486
"""(kV/cm)(g/cm²)/MeV."""
BOX_ALPHA = 0.93
BOX_BETA = 0.212
"""(kV/cm)(g/cm²)/MeV."""
ELLIPSOID_BETA90 = 0.204
"""(kV/cm)(g/cm²)/MeV, for a track across the field."""
ELLIPSOID_R = 1.25


def birks(
    dedx: Array | float,
    field: Array | float,
    density: float = DENSITY,
    a: float = BIRKS_A,
    k: float = BIRKS_K,
) -> Array:
    """R = A / (1 + k dE/dx / (ρ E))."""
    return a / (1 + k * np.asarray(dedx, float) / (density * field))


def birks_dedx(
    dqdx: Array | float,
    field: Array | float,
    density: float = DENSITY,
    a: float = BIRKS_A,
    k: float = BIRKS_K,
) -> Array:
    """dE/dx from dQ/dx; infinite from the charge on at which Birks' law saturates."""
    visible = W_ION * np.asarray(dqdx, float)
    rest = a - k * visible / (density * field)
    return np.where(rest > 0, visible / np.where(rest > 0, rest, 1.0), np.inf)


def modified_box(
    dedx: Array | float,
    field: Array | float,
    density: float = DENSITY,
    alpha: float = BOX_ALPHA,
    beta: float | Array = BOX_BETA,
) -> Array:
    """R = ln(α + ξ) / ξ with ξ = β dE/dx / (ρ E), never below 0.

    Below about 0.4 MeV/cm at 0.5 kV/cm the formula, made for larger losses, falls to zero.
    """
    xi = np.asarray(beta * np.asarray(dedx, float) / (density * field))
    safe = np.where(xi > 0, xi, 1.0)
    return np.where(xi > 0, np.maximum(np.log(alpha + safe) / safe, 0.0), 0.0)


def modified_box_dedx(
    dqdx: Array | float,
    field: Array | float,
    density: float = DENSITY,
    alpha: float = BOX_ALPHA,
    beta: float | Array = BOX_BETA,
) -> Array:
    """dE/dx = (exp(β W dQ/dx / (ρ E)) - α) ρ E / β."""
    scale = beta / (density * field)
    return np.asarray((np.exp(scale * W_ION * np.asarray(dqdx, float)) - alpha) / scale)


def ellipsoid_beta(
    cos_field: Array | float, beta90: float = ELLIPSOID_BETA90, ratio: float = ELLIPSOID_R
) -> Array:
    """β(φ) = β90 / √(sin²φ + cos²φ / R²), φ the angle between track and field."""
    cos2 = np.square(np.asarray(cos_field, float))
    return np.asarray(beta90 / np.sqrt(1 - cos2 + cos2 / ratio**2))
