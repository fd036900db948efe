"""Products of the same events, kept by their type."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from reco.data.product import Product
from reco.errors import InputError

P = TypeVar("P", bound=Product)


@dataclass(frozen=True)
class Bundle:
    """At most one product of each type, all over the same events.

    Raises InputError for a second product of a type, or another number of events.
    """

    products: tuple[Product, ...]

    def __post_init__(self) -> None:
        if len({type(p) for p in self.products}) < len(self.products):
            raise InputError("a bundle holds each product once")
        if len({len(p) for p in self.products}) > 1:
            raise InputError("the products of a bundle hold different numbers of events")

    def __getitem__(self, kind: type[P]) -> P:
        for product in self.products:
            if type(product) is kind:
                return product
        have = ", ".join(type(p).__name__ for p in self.products)
        raise KeyError(f"no {kind.__name__} among {have}")

    def __contains__(self, kind: type[Product]) -> bool:
        return any(type(p) is kind for p in self.products)

    def __iter__(self) -> Iterator[Product]:
        return iter(self.products)

    def __len__(self) -> int:
        """Number of events."""
        return len(self.products[0]) if self.products else 0

    def at(self, event: int) -> "Bundle":
        """One event (views, no copies)."""
        return Bundle(tuple(p.at(event) for p in self.products))

    def select(self, kinds: Iterable[type[Product]]) -> "Bundle":
        return Bundle(tuple(self[kind] for kind in kinds))

    def plus(self, *products: Product) -> "Bundle":
        return Bundle((*self.products, *products))

    @staticmethod
    def concat(bundles: "list[Bundle]") -> "Bundle":
        """Join the events of bundles (at least one) that hold the same types."""
        kinds = [type(p) for p in bundles[0]]
        return Bundle(tuple(kind.concat([b[kind] for b in bundles]) for kind in kinds))
