"""One event, stored or just reconstructed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from reco.data.bundle import Bundle
from reco.data.classes import Semantic, Status
from reco.data.product import EVENTS, column_of
from reco.data.ragged import Array, Ragged
from reco.display.scene import Scene, scene_of
from reco.display.words import html_table
from reco.errors import InputError
from reco.event.arrays import no_table
from reco.event.objects import rows

if TYPE_CHECKING:
    from reco.display.page import Page

SHOWN = 10
"""Particles, and interactions, in the summary of an event."""


@dataclass(frozen=True, eq=False)
class Event:
    """Tables as awkward arrays of records, by name: `event.voxels.energy`, `event.particles[0]`.

    The tables are those of `reco.open` (see docs/output.md), for one event. products: the same as
    typed products, whose values are numpy arrays, for code that goes on from them. boxes:
    (V, 2, 3) corners of the detector's volumes, cm. name: of the file.
    """

    products: Bundle
    boxes: Array = field(default_factory=lambda: np.empty((0, 2, 3)))
    name: str = ""
    _tables: dict[str, ak.Array] = field(default_factory=dict, init=False, repr=False)

    @property
    def run(self) -> int:
        return self._of_event("run", -1)

    @property
    def subrun(self) -> int:
        return self._of_event("subrun", -1)

    @property
    def event(self) -> int:
        return self._of_event("event", -1)

    @property
    def entry(self) -> int:
        """Position in the input, from 0."""
        return self._of_event("entry", 0)

    @property
    def status(self) -> Status:
        return Status(self._of_event("status", Status.OK))

    @property
    def message(self) -> str:
        """Why the status is not OK."""
        return str(self._of_event("message", b""), "utf-8")

    @property
    def tables(self) -> list[str]:
        """Names of the tables that this event has."""
        columns = (c for product in self.products for c in product.columns().values())
        return list(dict.fromkeys(c.table for c in columns if c.table != EVENTS))

    def table(self, name: str) -> ak.Array:
        """`event.table("voxels")` is `event.voxels`. Raises InputError where there is none."""
        if name not in self.tables:
            raise InputError(no_table("this event", name, self.tables))
        if name not in self._tables:
            columns = dict(_columns(self.products, name))
            self._tables[name] = rows(name, columns, None, self)
        return self._tables[name]

    def show(self) -> "Page":
        """The event in 3D, as `reco view` shows it: a page that a notebook shows in place.

        `event.show().write(Path("event.html"))` keeps it. Raises InputError where the event has
        no voxels, RecoError without plotly.
        """
        from reco.display.page import page_of

        return page_of(self.scene, self.name)

    @property
    def scene(self) -> Scene:
        """What there is to see, as arrays. Raises InputError where the event has no voxels."""
        if "voxels" not in self.tables:
            raise InputError(f"{self.name}: holds no voxels; `reco run` makes them from hits")
        return scene_of(self.products, self.boxes)

    def _of_event(self, name: str, default: Any) -> Any:
        for product in self.products:
            for f, data in product.items():
                if column_of(f).table == EVENTS and column_of(f).name == name:
                    return data[0].item()
        return default

    def __getattr__(self, name: str) -> ak.Array:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.table(name)
        except InputError as error:
            raise AttributeError(str(error)) from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def __repr__(self) -> str:
        return f"<Event {self.run}/{self.subrun}/{self.event} {self.status.name}: {self._counts}>"

    @property
    def _counts(self) -> str:
        return ", ".join(f"{len(self.table(name))} {name}" for name in self.tables)

    def _repr_html_(self) -> str:
        title = f"Event {self.run} / {self.subrun} / {self.event}"
        state = "" if self.status == Status.OK else f"{self.status.name.lower()}: {self.message} · "
        head = html_table({}, title, f"{self.name} {state}{self._counts}")
        shown = [name for name in ("interactions", "particles") if name in self.tables]
        return head + "".join(_largest(name, self.table(name)) for name in shown)


def _columns(products: Bundle, table: str) -> Iterator[tuple[str, Array]]:
    """Flat columns of one table, without those that only a later stage needs."""
    for product in products:
        for f, data in product.items():
            spec = column_of(f)
            if spec.table != table or spec.internal:
                continue
            values = data.values if isinstance(data, Ragged) else data
            for i, part in enumerate(spec.parts):
                yield part, values if len(spec.parts) == 1 else values[:, i]


def _largest(name: str, found: ak.Array) -> str:
    """A table of the rows with most energy, of low-energy scatters only where there is room."""
    order = np.arange(len(found))
    if "energy" in found.fields:
        order = np.argsort(-np.nan_to_num(ak.to_numpy(found.energy)), kind="stable")
    if "semantic" in found.fields:
        order = order[np.argsort(found.semantic[order] == Semantic.LOW_ENERGY, kind="stable")]
    left = len(found) - SHOWN
    note = f"and {left} more: event.{name}" if left > 0 else ""
    return html_table(found[order[:SHOWN]].facts, name, note)
