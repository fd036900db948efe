"""What the estimates of validation events amount to, and how wide they must say they are."""

from dataclasses import dataclass

import numpy as np
import torch

from reco.data.ragged import Array
from reco.metrics.energy import Z_95, pulls, resolution
from reco.metrics.stats import half_width, quantile
from reco.metrics.vertex import containment_radius, fraction_below
from reco.nn.transformer import TAIL_BINS

FEWEST = 20
"""Residuals from which the width of their pulls is believed."""
KINDS = ("muon", "proton", "electron")
"""Particles whose resolution is reported: those that stop, and electrons of 300 to 700 MeV."""

WITHIN = 0.6827
"""Part of a normal distribution within one standard deviation."""


@dataclass(frozen=True)
class Found:
    """The validation events as arrays: per interaction with a true vertex (V rows) residual, of the
    chain and of the origin, (V, 3) cm, and sigma (V, 3) cm; per particle (K rows) MeV true, by the
    chain with sigma and by the reference, with kind, contained and group, see InteractionInput; per
    interaction with a true energy likewise (L rows)."""

    miss: Array
    simple_miss: Array
    vertex_sigma: Array
    energy: Array
    kind: Array
    contained: Array
    group: Array
    total: Array
    total_contained: Array


def figures(found: Found) -> dict[str, float]:
    """What is reported of a training: each next to the same by the simplest method."""
    miss, simple = (np.linalg.norm(m, axis=1) for m in (found.miss, found.simple_miss))
    result = {
        "vertex_r68_cm": containment_radius(miss),
        "vertex_r68_cm_start": containment_radius(simple),
        "vertex_below_1cm": fraction_below(miss),
        "vertex_below_1cm_start": fraction_below(simple),
        "vertex_pull": half_width((found.miss / found.vertex_sigma).ravel()),
    }
    for row, name in enumerate(KINDS):
        true, energy, _, reference = found.energy[found.kind == row].T
        result[f"{name}_width"] = resolution(energy, true).half_width
        result[f"{name}_width_reference"] = resolution(reference, true).half_width
    for name, rows in (
        ("contained", found.energy[found.contained]),
        ("exiting", found.energy[~found.contained]),
        ("total", found.total),
    ):
        result[f"{name}_pull"] = half_width(pulls(rows[:, 1], rows[:, 0], rows[:, 2]))
    true, energy, _, reference = found.total.T
    result["total_width"] = resolution(energy, true).half_width
    result["total_width_reference"] = resolution(reference, true).half_width
    return {name: float(value) for name, value in result.items()}


def factor(residual: Array, sigma: Array) -> float:
    """What sigma must be multiplied by so that pulls have width 1 and 68 % of them are within 1:
    of errors with a tail to one side both are not to be had, and this is the mean of what either
    wants; 1 where there are too few."""
    if residual.size < FEWEST:
        return 1.0
    pull = (residual / sigma).ravel()
    return max(float(np.sqrt(half_width(pull) * quantile(np.abs(pull), WITHIN))), 0.05)


def tails(pull: Array, width: Array) -> torch.Tensor:
    """(N, D) pulls and (N,) widths -> a table for nn.transformer.tail; ones where there are too
    few. Split conformal prediction in bins of the width (Vovk et al. 2005, ch. 4.5)."""
    table = torch.ones(2, TAIL_BINS)
    if len(width) < FEWEST * TAIL_BINS:
        return table
    edges = np.quantile(width, np.linspace(0, 1, TAIL_BINS + 1))
    row = np.searchsorted(edges[1:-1], width)
    factors = [quantile(np.abs(pull[row == i]).ravel(), 0.95) / Z_95 for i in range(TAIL_BINS)]
    table[0], table[1] = torch.from_numpy(edges[1:]), torch.tensor(factors)
    return table
