"""Energies against true energies: bias, resolution, and whether the uncertainties are honest."""

from dataclasses import dataclass

import numpy as np

from reco.data.classes import PID
from reco.data.ragged import Array
from reco.metrics.stats import half_width, mean, median

Z_68 = 0.994458
"""|z| that holds 68 % of a standard normal."""
Z_95 = 1.959964
"""|z| that holds 95 % of a standard normal."""

RANGE_ENERGY = np.array([20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1000.0])
"""MeV."""
RANGE = {
    PID.MUON: np.array([2.38, 10.8, 30.4, 76.2, 123.6, 217.0, 441.0]),
    PID.PROTON: np.array([0.45, 2.30, 7.82, 26.0, 51.2, 115.6, 319.0]),
}
"""CSDA range in liquid argon, cm, at RANGE_ENERGY (muons: PDG, protons: PSTAR)."""


@dataclass(frozen=True)
class Resolution:
    """Of (reco - true) / true: median, half the 16-84 % width, and how many."""

    bias: float
    half_width: float
    count: int


@dataclass(frozen=True)
class PullSummary:
    """Median and half 16-84 % width of the pulls; coverage of the 68 and 95 % intervals."""

    median: float
    width: float
    coverage_68: float
    coverage_95: float
    count: int


def resolution(reco: Array, true: Array) -> Resolution:
    """Bias and width for (N,) energies; rows where either is not a positive number are out."""
    reco, true = reco.astype(np.float64), true.astype(np.float64)
    known = np.isfinite(reco) & (true > 0)
    residual = (reco[known] - true[known]) / true[known]
    return Resolution(median(residual), half_width(residual), len(residual))


def binned_resolution(reco: Array, true: Array, edges: Array) -> list[Resolution]:
    """One Resolution per bin of true energy, [edges[i], edges[i + 1])."""
    bin_of = np.digitize(true, edges) - 1
    return [resolution(reco[bin_of == i], true[bin_of == i]) for i in range(len(edges) - 1)]


def pulls(reco: Array, true: Array, sigma: Array) -> Array:
    """(N,) float64 (reco - true) / sigma; rows that are not finite are left out."""
    known = has_pull(reco, true, sigma)
    return (reco[known].astype(np.float64) - true[known]) / sigma[known]


def has_pull(reco: Array, true: Array, sigma: Array) -> Array:
    """(N,) bool: are all three finite, and sigma positive?"""
    finite = np.isfinite(reco) & np.isfinite(true) & np.isfinite(sigma)
    return np.asarray(finite & (sigma > 0))


def summarise_pulls(pull: Array, tail: Array | float = 1.0) -> PullSummary:
    """tail: of each pull (N,), by which its 95 % interval is wider than that of a normal one."""
    size = np.abs(pull)
    inside = (mean(size <= Z_68), mean(size <= Z_95 * tail))
    return PullSummary(median(pull), half_width(pull), *inside, len(pull))


def shower_resolution(energy: Array, half_width: Array, count: Array) -> tuple[float, float]:
    """(a, b) of the relative width a + b / sqrt(E / GeV), by least squares over bins.

    energy: (B,) MeV, half_width: (B,), count: (B,) showers of each bin; NaN below three bins. The
    width of n normal errors is known to 1 / sqrt(2 n) of itself. The form is that of
    arXiv:2007.01335.
    """
    if len(energy) < 3:
        return float("nan"), float("nan")
    weight = np.sqrt(2.0 * count) / half_width
    terms = np.stack([np.ones(len(energy)), np.sqrt(1e3 / energy)], axis=1)
    a, b = np.linalg.lstsq(terms * weight[:, None], half_width * weight, rcond=None)[0]
    return float(a), float(b)


def stops(pid: PID, energy: Array, length: Array, tolerance: float = 0.1) -> Array:
    """(N,) bool: is the true path as long as the CSDA range, so that the particle came to rest?

    pid: MUON or PROTON. energy: (N,) MeV kinetic. length: (N,) cm. Ranges are interpolated in
    the logarithms from 20 MeV to 1 GeV; outside it nothing counts as stopped.
    """
    log_energy = np.log(np.clip(energy, RANGE_ENERGY[0], RANGE_ENERGY[-1]))
    expected = np.exp(np.interp(log_energy, np.log(RANGE_ENERGY), np.log(RANGE[pid])))
    covered = (energy >= RANGE_ENERGY[0]) & (energy <= RANGE_ENERGY[-1])
    return covered & (length >= (1 - tolerance) * expected)
