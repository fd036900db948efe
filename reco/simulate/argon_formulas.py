"""Cross sections of argon from published formulas: what the shipped Geant4 data are made of.

Scalar functions of an energy. Geant4's own data sets are better below a few MeV; these need no
download, and hold the ranges, showers and interaction lengths of a liquid-argon detector to a few
per cent (see docs). Approximate: neutrons below 14 MeV, and gammas of nuclear de-excitation.
"""

import math
from bisect import bisect_right

import numpy as np

Z, MOLAR_MASS = 18, 39.948
AVOGADRO = 6.02214076e23
ELECTRON_MASS = 0.51099895
"""MeV."""
FINE_STRUCTURE = 1 / 137.036
ELECTRON_RADIUS2 = 79.4078
"""Square of the classical electron radius, millibarn."""

PHOTOEFFECT = (
    (0.0158, -8.294e4, 5.720e3, -1.101e2, 6.668e-1),
    (0.04, -1.401e3, 9.577e2, -7.842e1, 1.797e0),
    (0.245, -0.2244e3, 0.1388e4, 0.2571e4, -0.5113e3),
    (3.203, -0.1446e2, 0.4359e3, 0.6578e5, -0.7284e5),
    (20.0, 0.8786e0, -0.3001e3, 0.7682e5, -0.1219e6),
    (100.0, 0.6779e-1, -0.2695e2, 0.5069e5, 0.5281e6),
    (500.0, 0.2598e-1, 0.3454e2, 0.1059e5, 0.1068e8),
)
"""Biggs and Lighthill, SAND87-0070, argon: lowest energy (keV), then the coefficients of
1/E .. 1/E^4 in cm2/g keV^n."""

_ELASTIC = np.array([
    (1e-11, 0.65), (1e-3, 0.7), (0.01, 0.9), (0.05, 1.0), (0.1, 2.0), (0.5, 3.0), (1, 3.6),
    (2, 3.0), (3, 2.6), (5, 2.1), (8, 1.3), (14, 1.05), (20, 1.25), (40, 1.35), (60, 1.05),
    (100, 0.6), (200, 0.26), (400, 0.19), (1e3, 0.21), (2e4, 0.19),
])  # fmt: skip


def bremsstrahlung(fraction: float, kinetic: float) -> float:
    """Scaled spectrum (β²/Z²) k dσ/dk, millibarn.

    fraction: of the kinetic energy (MeV) that the photon takes. Y.-S. Tsai, Rev. Mod. Phys. 46
    (1974) 815: eq. 3.83, with the screening functions of eqs. 3.38-3.41.
    """
    total = kinetic + ELECTRON_MASS
    photon = fraction * kinetic
    if total - photon <= ELECTRON_MASS:
        return 0.0
    y = min(photon / total, 1 - 1e-9)
    nucleus, nucleus_rest, electrons, electrons_rest = _screening(photon, total)
    coulomb = _coulomb_correction() * _onset(kinetic)
    main = Z**2 * (nucleus - 4 / 3 * math.log(Z) - 4 * coulomb)
    main += Z * (electrons - 8 / 3 * math.log(Z))
    rest = Z**2 * nucleus_rest + Z * electrons_rest
    shape = (4 / 3 - 4 / 3 * y + y * y) * main + 2 / 3 * (1 - y) * rest
    beta2 = kinetic * (kinetic + 2 * ELECTRON_MASS) / total**2
    return max(FINE_STRUCTURE * ELECTRON_RADIUS2 * shape, 0.0) * beta2 / Z**2


def _screening(photon: float, total: float) -> tuple[float, float, float, float]:
    """φ1 and φ1 - φ2 of the nucleus, ψ1 and ψ1 - ψ2 of the electrons (Tsai, eqs. 3.38-3.41)."""
    scale = 100 * ELECTRON_MASS * photon / (total * (total - photon))
    g, e = scale / Z ** (1 / 3), scale / Z ** (2 / 3)
    nucleus = 20.863 - 2 * math.log(1 + (0.55846 * g) ** 2)
    nucleus -= 4 * (1 - 0.6 * math.exp(-0.9 * g) - 0.4 * math.exp(-1.5 * g))
    electrons = 28.34 - 2 * math.log(1 + (3.621 * e) ** 2)
    electrons -= 4 * (1 - 0.7 * math.exp(-8 * e) - 0.3 * math.exp(-29.2 * e))
    return (
        nucleus,
        2 / 3 / (1 + 6.5 * g + 6 * g * g),
        electrons,
        2 / 3 / (1 + 40 * e + 400 * e * e),
    )


def _coulomb_correction() -> float:
    """Davies, Bethe and Maximon, Phys. Rev. 93 (1954) 788."""
    a2 = (FINE_STRUCTURE * Z) ** 2
    return a2 * (1 / (1 + a2) + 0.20206 - 0.0369 * a2 + 0.0083 * a2**2 - 0.002 * a2**3)


def _onset(kinetic: float) -> float:
    # The correction holds at high energies; it is faded in from 2 to 50 MeV.
    return min(max(math.log(kinetic / 2) / math.log(25.0), 0.0), 1.0)


def photoeffect(energy: float) -> float:
    """Cross section per atom of the photo-effect, barn; energy in keV (SAND87-0070)."""
    row = PHOTOEFFECT[max(bisect_right([r[0] for r in PHOTOEFFECT], energy) - 1, 0)]
    return barn_per_atom(sum(c / energy**n for n, c in enumerate(row[1:], start=1)))


def barn_per_atom(mass_attenuation: float) -> float:
    """cm2/g of argon -> barn per atom."""
    return mass_attenuation * MOLAR_MASS / AVOGADRO * 1e24


def photonuclear(energy: float) -> float:
    """Photo-absorption by the nucleus, barn; energy in MeV, up to 130.

    A Lorentzian of the giant dipole resonance (8 MeV wide, at 19.5 MeV, peak 38 mb) above the
    neutron threshold of 9.9 MeV, and Levinger's quasi-deuteron tail (Phys. Rev. 84 (1951) 43).
    """
    if energy < 9.9:
        return 0.0
    width, peak = 8.0, 19.5
    resonance = 0.038 * (width * energy) ** 2
    resonance /= (energy**2 - peak**2) ** 2 + (width * energy) ** 2
    if energy <= 20:
        return resonance
    deuteron = 0.061e-3
    return resonance + 6.5 * Z * 22 / 40 * math.exp(-60 / energy) * deuteron


def letaw(energy: float) -> float:
    """Inelastic nucleon-argon cross section, barn; energy in MeV, above some 20.

    J. R. Letaw, R. Silberberg, C. H. Tsao, Astrophys. J. Suppl. 51 (1983) 271, eqs. 1-3.
    """
    a = MOLAR_MASS
    high = 45 * a**0.7 * (1 + 0.016 * math.sin(5.3 - 2.63 * math.log(a)))
    return 1e-3 * high * (1 - 0.62 * math.exp(-energy / 200) * math.sin(10.9 * energy**-0.28))


def neutron_inelastic(energy: float) -> float:
    """Barn; energy in MeV. No more than a smooth threshold at 1.5 MeV below 6 MeV, 1.25 b there
    (the size of the nucleus), and Letaw's formula above 20 MeV."""
    plateau = 1.25
    if energy < 1.5:
        return 0.0
    if energy < 6:
        return plateau * (1 - math.exp(-(energy - 1.5) / 1.5))
    if energy < 20:
        return plateau + (letaw(20.0) - plateau) * (energy - 6) / 14
    return letaw(energy)


def neutron_elastic(energy: float) -> float:
    """Barn; energy in MeV. Potential scattering of 0.65 b, the mean over the resonances, and the
    fall and rise of an optical nucleus above: interpolated in the logarithm of the energy."""
    return float(np.interp(math.log(energy), np.log(_ELASTIC[:, 0]), _ELASTIC[:, 1]))


def neutron_capture(energy: float) -> float:
    """Barn; energy in MeV: 0.66 b at 25.3 meV, falling as 1/v to a floor of resonances."""
    return max(0.66 * math.sqrt(2.53e-8 / energy), 0.0015 if energy < 1 else 0.0005)
