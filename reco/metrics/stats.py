"""Summaries of samples that say NaN, and do not warn, where there is nothing to summarise."""

import numpy as np

from reco.data.ragged import Array


def mean(values: Array) -> float:
    """Mean of the numbers among the values; NaN where there are none."""
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(known.mean()) if len(known) else float("nan")


def quantile(values: Array, q: float) -> float:
    """Quantile q (linear, but from the order statistics next to an infinite value)."""
    if not len(values):
        return float("nan")
    if np.isfinite(values).all():
        return float(np.quantile(values, q))
    return float(np.quantile(values, q, method="inverted_cdf"))


def median(values: Array) -> float:
    return quantile(values, 0.5)


def half_width(values: Array) -> float:
    """Half the distance from the 16 % to the 84 % quantile; NaN below two values."""
    if len(values) < 2:
        return float("nan")
    return (quantile(values, 0.84) - quantile(values, 0.16)) / 2
