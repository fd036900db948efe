"""Products: frozen dataclasses of columns, each column a row of one table of the output file.

A product is what one stage makes. A table is what a user opens: `voxels`, `points`, `particles`,
`interactions`, `events`. Several products may put columns on one table (the semantic scores and
the particle number of a voxel both stand in `voxels`); all columns of a table have equal offsets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, Self, cast

import numpy as np

from reco.data.ragged import Array, Ragged
from reco.errors import InputError

EVENTS = "events"
"""The one table with a row per event; its columns are plain arrays, all others are Ragged."""


@dataclass(frozen=True)
class Column:
    """What a field of a product is, on the outside.

    table, name: where it stands in a file. Names with several parts ("x y z") are split into
    scalar columns there; in memory they are one array with a last axis as long as the parts.
    dtype: of the values. shape: of one row. unit: "" for none. stored: dtype in a file;
    values are rounded to it from the start, so that a file and the memory hold the same.
    internal: needed to go on from the product, of no use to a reader; written only on request.
    """

    table: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    doc: str
    internal: bool
    stored: str

    @property
    def parts(self) -> list[str]:
        return self.name.split()


def column(
    table: str,
    name: str,
    dtype: str = "f4",
    *,
    shape: tuple[int, ...] = (),
    unit: str = "",
    doc: str = "",
    internal: bool = False,
    stored: str = "",
) -> Any:
    """Declare a field of a product; see Column. shape may hold -1 where the length is free."""
    if len(name.split()) > 1:
        shape = (*shape, len(name.split()))
    spec = Column(table, name, dtype, shape, unit, doc, internal, stored or dtype)
    return field(metadata={"column": spec})


def column_of(f: "Field[Any]") -> Column:
    return cast(Column, f.metadata["column"])


@dataclass(frozen=True)
class Product:
    """Base of all products. Every field is a column; rows are checked once, here."""

    def __post_init__(self) -> None:
        offsets: dict[str, Array] = {}
        for f in fields(self):
            spec, data = column_of(f), getattr(self, f.name)
            values = _checked(type(self).__name__, f.name, spec, data)
            if isinstance(data, Ragged):
                seen = offsets.setdefault(spec.table, data.offsets)
                if seen is not data.offsets and not np.array_equal(seen, data.offsets):
                    raise InputError(
                        f"{type(self).__name__}.{f.name}: its rows do not match the other "
                        f"columns of table {spec.table!r}"
                    )
                data = data.like(values)
            else:
                data = values
            object.__setattr__(self, f.name, data)
        if len({len(getattr(self, f.name)) for f in fields(self)}) > 1:
            raise InputError(f"{type(self).__name__}: columns hold different numbers of events")

    def __len__(self) -> int:
        """Number of events."""
        return len(getattr(self, fields(self)[0].name))

    def at(self, i: int) -> Self:
        """The product of event i alone (views, no copies)."""
        if len(self) == 1 and i == 0:
            return self
        event = object.__new__(type(self))  # what was checked as a whole is not checked again
        for f, data in self.items():
            rows = Ragged.one(data[i]) if isinstance(data, Ragged) else data[i : i + 1]
            object.__setattr__(event, f.name, rows)
        return event

    def items(self) -> "Iterator[tuple[Field[Any], Array | Ragged]]":
        return ((f, getattr(self, f.name)) for f in fields(self))

    @classmethod
    def columns(cls) -> dict[str, Column]:
        """Field name -> its column."""
        return {f.name: column_of(f) for f in fields(cls)}

    @classmethod
    def concat(cls, products: Sequence[Self]) -> Self:
        """Join the events of several products (at least one), in order."""
        if len(products) == 1:
            return products[0]
        return cls(**{f.name: _concat([getattr(p, f.name) for p in products]) for f in fields(cls)})

    @classmethod
    def empty(cls, n_events: int = 1) -> Self:
        """n_events events without any row (and zeros in the events table)."""
        data: dict[str, Array | Ragged] = {}
        for name, spec in cls.columns().items():
            shape = tuple(max(n, 0) for n in spec.shape)
            if spec.table == EVENTS:
                data[name] = np.zeros((n_events, *shape), spec.dtype)
            else:
                rows = np.zeros((0, *shape), spec.dtype)
                data[name] = Ragged(rows, np.zeros(n_events + 1, np.int64))
        return cls(**data)


def _checked(product: str, name: str, spec: Column, data: Array | Ragged) -> Array:
    values = data.values if isinstance(data, Ragged) else np.asarray(data)
    expected = spec.shape
    fits = values.ndim == 1 + len(expected) and all(
        want in (-1, got) for want, got in zip(expected, values.shape[1:], strict=True)
    )
    if not fits:
        raise InputError(
            f"{product}.{name} must have rows of shape {expected}, not {values.shape[1:]}"
        )
    return values.astype(spec.stored, copy=False).astype(spec.dtype, copy=False)


def _concat(parts: Sequence[Array | Ragged]) -> Array | Ragged:
    if not isinstance(parts[0], Ragged):
        return np.concatenate([np.asarray(p) for p in parts])
    ragged = cast(Sequence[Ragged], parts)
    counts = np.concatenate([p.counts for p in ragged])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Ragged(np.concatenate([p.values for p in ragged]), offsets)
