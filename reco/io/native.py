"""reco's own file as an input: its hits, and its truth where it has any."""

from typing import Any

from reco.data.product import Product
from reco.data.products import (
    Header,
    Hits,
    Quantity,
    TruthDeposits,
    TruthInteractions,
    TruthParticles,
)
from reco.errors import FormatError
from reco.io.base import Description, EventReader
from reco.io.branches import Branches
from reco.io.store import StoredProducts

TRUTH: tuple[type[Product], ...] = (TruthDeposits, TruthParticles, TruthInteractions)


class NativeReader(EventReader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(path)
        self.store = StoredProducts(path, handle=file)
        if Hits not in self.store.products:
            raise FormatError(
                f"{path}: a file of reco without hits; to go on from its products use --from"
            )
        self.truth = [kind for kind in TRUTH if kind in self.store.products]

    def __len__(self) -> int:
        return len(self.store)

    def describe(self) -> Description:
        quantity = Quantity.ENERGY
        if len(self):
            (hits,) = self.store.read(0, 1, [Hits])
            quantity = Quantity(int(hits.quantity[0]))  # type: ignore[attr-defined]
        return Description(
            format="reco HDF5",
            path=self.path,
            n_events=len(self),
            quantity=quantity,
            truth=tuple(kind.__name__ for kind in self.truth),
            branches=(("hits", "/hits"),),
            units="length cm, time us, energy MeV, charge ke",
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        products = self.store.read(start, stop, [Header, Hits, *self.truth])
        return [tuple(p.at(i) for p in products) for i in range(stop - start)]

    def close(self) -> None:
        self.store.close()
