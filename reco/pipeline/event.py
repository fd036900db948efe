"""One reconstructed event, as a user of Python sees it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reco.data.bundle import Bundle
from reco.data.classes import Status
from reco.data.product import EVENTS, Product, column_of
from reco.data.products import Header, Outcome
from reco.data.ragged import Ragged

if TYPE_CHECKING:
    import awkward as ak


@dataclass(frozen=True)
class Event:
    """Tables as awkward arrays of records, by name: `event.voxels.energy`, `event.particles[0]`.

    The tables are those of `reco.open` (see docs/output.md), for one event. products: the same
    as typed products, for code that goes on from them.
    """

    products: Bundle

    @property
    def run(self) -> int:
        return int(self.products[Header].run[0])

    @property
    def subrun(self) -> int:
        return int(self.products[Header].subrun[0])

    @property
    def event(self) -> int:
        return int(self.products[Header].event[0])

    @property
    def entry(self) -> int:
        """Position in the input, from 0."""
        return int(self.products[Header].entry[0])

    @property
    def status(self) -> Status:
        return Status(int(self.products[Outcome].status[0]))

    @property
    def message(self) -> str:
        """Why the status is not OK."""
        return str(self.products[Outcome].message[0], "utf-8")

    @property
    def tables(self) -> list[str]:
        """Names of the tables that this event has."""
        columns = (c for product in self.products for c in product.columns().values())
        return list(dict.fromkeys(c.table for c in columns if c.table != EVENTS))

    def __getattr__(self, name: str) -> "ak.Array":
        if name.startswith("_") or name not in self.tables:
            known = "" if name.startswith("_") else f"; it has {', '.join(self.tables)}"
            raise AttributeError(f"this event has no {name!r}{known}")
        from reco.output import table_of

        return table_of(self.products, name)[0]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {table}" for table, n in rows_of(self.products).items())
        return f"<Event {self.run}/{self.subrun}/{self.event} {self.status.name}: {counts}>"


def rows_of(products: Iterable[Product]) -> dict[str, int]:
    """Number of rows in each table but `events`."""
    rows: dict[str, int] = {}
    for product in products:
        for field, data in product.items():
            if isinstance(data, Ragged):
                rows[column_of(field).table] = len(data.values)
    return rows
