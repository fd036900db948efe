"""Hits from the arrays of a user."""

import numpy as np

from reco.data.products import Hits, Quantity
from reco.data.ragged import Array, Ragged
from reco.errors import InputError


def hits_of(
    hits: Hits | Array,
    value: Array | None = None,
    time: Array | None = None,
    quantity: Quantity | str | None = None,
) -> Hits:
    """One event: position (N, 3) in cm, value (N,), time (N,) in us (0 if left out).

    quantity: `energy`, value is in MeV, or `charge`, it is in thousands of electrons. Raises
    InputError where it is not said, and where the arrays do not fit together or hold NaN, infinite
    or negative values. A Hits product is given back as it is, if it holds one event.
    """
    if isinstance(hits, Hits):
        if len(hits) != 1:
            raise InputError(f"hits: give one event at a time, not {len(hits)}")
        return hits
    if value is None:
        raise InputError("hits: give the value of each hit beside its position")
    position, value = np.asarray(hits), np.asarray(value)
    time = np.zeros(len(value)) if time is None else np.asarray(time)
    _check(position, value, time)
    kind = _quantity(quantity)
    return Hits(
        position=Ragged.one(position),
        value=Ragged.one(value),
        time=Ragged.one(time),
        quantity=np.array([kind]),
    )


def _check(position: Array, value: Array, time: Array) -> None:
    if position.ndim != 2 or position.shape[1] != 3:
        raise InputError(f"position must have shape (N, 3), not {position.shape}")
    for name, rows in (("value", value), ("time", time)):
        if rows.shape != (len(position),):
            raise InputError(f"{name} must have shape ({len(position)},), not {rows.shape}")
    for name, rows in (("position", position), ("value", value), ("time", time)):
        if not np.isfinite(rows).all():
            raise InputError(f"{name} holds NaN or infinite values; remove those hits")
    if (value < 0).any():
        raise InputError("value holds negative values; remove those hits or subtract the pedestal")


def _quantity(quantity: Quantity | str | None) -> Quantity:
    try:
        if isinstance(quantity, str | None):
            return Quantity[str(quantity).upper()]
        return Quantity(quantity)
    except (KeyError, ValueError):
        raise InputError(
            "say what the values are: quantity='energy' (MeV) or quantity='charge' (thousands of "
            f"electrons), not {quantity!r}"
        ) from None
