"""An output file as awkward arrays, and event by event."""

from collections.abc import ItemsView, Iterator, Mapping
from pathlib import Path
from typing import Any, overload

import awkward as ak
import numpy as np

from reco.data.bundle import Bundle
from reco.data.product import EVENTS
from reco.data.ragged import Array
from reco.display.words import html_table
from reco.errors import InputError
from reco.event import Event, rows
from reco.event.arrays import no_table
from reco.io.base import Closing
from reco.io.store import StoredProducts
from reco.io.tables import StoredTables

AT_ONCE = 64
"""Events that a loop over them reads together."""


class Output(Closing):
    """A file written by reco, as awkward arrays with an entry per event.

    `f.voxels.energy`, `f.particles.start.x`, `f.events.status`: a table is read when it is first
    asked for. `f[3]` is one event, and a loop over `f` gives all. `f[100:200]` is the same file
    restricted to these events, for files larger than the memory. provenance: how the file was
    made. boxes: (V, 2, 3) corners of the detector's volumes, cm.

    Raises FormatError when the file is not native, truncated or of a newer version.
    """

    def __init__(self, path: str | Path) -> None:
        self._products = StoredProducts(path, partial=True)
        self._stored = StoredTables(path)
        self._events = range(len(self._stored))
        self._read: dict[str, ak.Array] = {}
        self.path = Path(path)
        self.provenance: Mapping[str, Any] = self._stored.provenance
        self.boxes = _boxes(self.provenance)

    def __len__(self) -> int:
        """Number of events."""
        return len(self._events)

    @overload
    def __getitem__(self, events: int) -> Event: ...
    @overload
    def __getitem__(self, events: slice) -> "Output": ...
    def __getitem__(self, events: int | slice) -> "Event | Output":
        """One event, or those of a slice without a step; the open file is shared.

        Raises InputError where there is no such event.
        """
        if isinstance(events, slice) and events.step in (None, 1):
            part = Output.__new__(Output)
            part.__dict__ |= {**self.__dict__, "_events": self._events[events], "_read": {}}
            return part
        if not isinstance(events, int | np.integer):
            raise InputError(
                "give an event, such as f[3], or a range of them, such as f[100:200]; a table is "
                "an attribute, such as f.particles"
            )
        if not -len(self) <= events < len(self):
            last = f" (0 to {len(self) - 1})" if len(self) else ""
            raise InputError(f"{self.path}: no event {events}; the file has {len(self)}{last}")
        at = self._events[events]
        return next(self._between(at, at + 1))

    def __iter__(self) -> Iterator[Event]:
        """The events, some read at a time."""
        last = self._events.stop
        for start in range(self._events.start, last, AT_ONCE):
            yield from self._between(start, min(start + AT_ONCE, last))

    def _between(self, start: int, stop: int) -> Iterator[Event]:
        bundle = Bundle(tuple(self._products.read(start, stop)))
        for i in range(stop - start):
            yield Event(bundle.at(i), self.boxes, self.path.name)

    @property
    def tables(self) -> list[str]:
        return self._stored.names

    @property
    def units(self) -> dict[str, dict[str, str]]:
        """Unit of every column, by table and name in the file; "" for none."""
        return {t: {c: unit for c, (unit, _) in about.items()} for t, about in self._about}

    @property
    def docs(self) -> dict[str, dict[str, str]]:
        """What every column is, by table and name in the file."""
        return {t: {c: doc for c, (_, doc) in about.items()} for t, about in self._about}

    @property
    def _about(self) -> ItemsView[str, Mapping[str, tuple[str, str]]]:
        return self._stored.about.items()

    def __getattr__(self, name: str) -> ak.Array:
        if name.startswith("_") or name not in self.tables:
            if hasattr(Event, name) and not name.startswith("_"):
                raise AttributeError(f"this file has no {name!r}, its events have: f[0].{name}")
            known = () if name.startswith("_") else self.tables
            raise AttributeError(no_table("this file", name, known))
        if name not in self._read:
            found = self._stored.rows(name, self._events.start, self._events.stop)
            offsets = None if name == EVENTS else found.offsets
            self._read[name] = rows(name, found.columns, offsets)
        return self._read[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    def __repr__(self) -> str:
        return f"<Output {self.path}: {len(self)} events; {', '.join(self.tables)}>"

    def _repr_html_(self) -> str:
        columns = (
            ", ".join(f"{name} [{unit}]" if unit else name for name, (unit, _) in about.items())
            for _, about in self._about
        )
        facts = {"table": tuple(self.tables), "columns": tuple(columns)}
        return html_table(facts, str(self.path), f"{len(self)} events")

    def close(self) -> None:
        self._products.close()
        self._stored.close()


def _boxes(provenance: Mapping[str, Any]) -> Array:
    """Of the detector, where the file names one."""
    volumes = provenance.get("detector", {}).get("volumes", ())
    return np.array([(v["lower"], v["upper"]) for v in volumes]).reshape(-1, 2, 3)


def open(path: str | Path) -> Output:
    """Open a file written by reco; see `Output` and docs/output.md."""
    return Output(path)
