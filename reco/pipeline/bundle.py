"""The products of a batch of events, at most one of each type."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np

from reco.data.product import Product, column_of
from reco.data.ragged import Ragged

P = TypeVar("P", bound=Product)


@dataclass(frozen=True)
class Bundle:
    """products: of the same events, in the order in which they were made."""

    products: tuple[Product, ...]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.products[0])

    def __getitem__(self, kind: type[P]) -> P:
        for product in self.products:
            if type(product) is kind:
                return product
        raise KeyError(kind.__name__)

    def __contains__(self, kind: type[Product]) -> bool:
        return any(type(product) is kind for product in self.products)

    def __iter__(self) -> Iterator[Product]:
        return iter(self.products)

    @property
    def kinds(self) -> tuple[type[Product], ...]:
        return tuple(type(product) for product in self.products)

    def plus(self, product: Product) -> Self:
        """With one more product, in place of the one of its type if there is one."""
        kept = tuple(p for p in self.products if type(p) is not type(product))
        return type(self)((*kept, product))

    def without(self, kinds: Sequence[type[Product]]) -> Self:
        return type(self)(tuple(p for p in self.products if type(p) not in kinds))

    def at(self, event: int) -> Self:
        return type(self)(tuple(product.at(event) for product in self.products))


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
