"""Rows that say whether uncertainties are honest, and histograms."""

import numpy as np

from reco.data.ragged import Array
from reco.metrics.energy import PullSummary, has_pull, pulls, summarise_pulls
from reco.metrics.report import Curve, Findings, Row

TITLE = "Uncertainties"
PULLS = np.linspace(-5, 5, 41)
RESIDUALS = np.linspace(-0.5, 0.5, 41)


def energy_pulls(
    name: str, of: str, reco: Array, true: Array, sigma: Array, tail: Array
) -> Findings:
    """Of (N,) energies with sigma and tail, see Estimates; those without sigma are left out."""
    pull = pulls(reco, true, sigma)
    found = summarise_pulls(pull, tail[has_pull(reco, true, sigma)])
    curves = (histogram(name, "pull", pull, PULLS),)
    return Findings(tuple(pull_rows(name, found, of)), curves=curves)


def histogram(name: str, x: str, values: Array, edges: Array) -> Curve:
    """What lies beyond the edges is counted in the first and last bin."""
    count, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return Curve(name, x, tuple(map(float, edges)), {}, tuple(map(int, count)))


def pull_rows(name: str, found: PullSummary, of: str) -> list[Row]:
    """Median and width of the pulls (0 and 1 if honest), coverage of two intervals."""
    return [
        Row(TITLE, f"{name}, pull median", found.median, "", found.count, of),
        Row(TITLE, f"{name}, pull width", found.width, "", found.count, of),
        Row(TITLE, f"{name}, 68 % coverage", found.coverage_68, "%", found.count, of),
        Row(TITLE, f"{name}, 95 % coverage", found.coverage_95, "%", found.count, of),
    ]
