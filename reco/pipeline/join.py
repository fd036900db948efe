"""Joins events of which some have no rows."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np

from reco.data.product import Product, column_of
from reco.data.ragged import Ragged

P = TypeVar("P", bound=Product)


def join(parts: Sequence[P]) -> P:
    """Join the events of several products of one type (at least one).

    Unlike `Product.concat`, it takes a product without rows whatever the free width of its
    columns: an event that failed does not know how wide the features of the others are.
    """
    if len(parts) == 1:
        return parts[0]
    widths = _widths(parts)
    if widths:
        parts = [_widened(part, widths) for part in parts]
    return type(parts[0]).concat(parts)


def _widths(parts: Sequence[Product]) -> dict[str, tuple[int, ...]]:
    """Columns of free width -> shape of their rows, from the part that has the widest."""
    free = [f.name for f in fields(parts[0]) if -1 in column_of(f).shape]
    return {name: max(getattr(part, name).values.shape[1:] for part in parts) for name in free}


def _widened(product: P, widths: dict[str, tuple[int, ...]]) -> P:
    if any(len(getattr(product, name).values) for name in widths):
        return product
    columns = dict(vars(product))
    for name, shape in widths.items():
        old: Ragged = columns[name]
        columns[name] = old.like(np.zeros((0, *shape), old.values.dtype))
    return type(product)(**columns)
