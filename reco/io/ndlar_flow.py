"""ndlar_flow HDF5: calibrated hits of larpix, tied to charge events by references."""

from typing import Any

import numpy as np

from reco.data.product import Product
from reco.data.products import Quantity
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import CORRUPT, Description, Entry, guard
from reco.io.branches import Branches
from reco.io.hdf5 import Hdf5Reader, Table, check_length
from reco.io.hits import HitColumns, header_of, hits_of

EVENTS = "charge/events"
HITS = ("charge/calib_final_hits", "charge/calib_prompt_hits")
"""Hits in the order in which they are looked for; the merged ones first."""
CHARGE, ENERGY = "Q", "E"
TICK = 0.1
"""µs of a tick of t_drift."""


def recognise(file: Any) -> bool:
    return f"{EVENTS}/data" in file


class NdlarFlowReader(Hdf5Reader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(file, path)
        self.name = _hits_of(file, path, branches)
        self.hits = Table(path, file[f"{self.name}/data"])
        self.numbers = Table(path, file[f"{EVENTS}/data"])
        node = file.get(f"{EVENTS}/ref/{self.name}")
        if node is None or "ref" not in node or "ref_region" not in node:
            raise FormatError(f"{path}: no references from {EVENTS} to {self.name}; {CORRUPT}")
        self.references, self.regions = node["ref"], Table(path, node["ref_region"])
        check_length(path, self.references)
        self.value = branches.charge or branches.energy or CHARGE
        self.quantity = Quantity.ENERGY if branches.energy else Quantity.CHARGE
        self.scale = branches.scale(self.quantity)
        self.value_unit = branches.value_unit(self.quantity)
        lacking = [n for n in ("x", "y", "z", "t_drift", self.value) if n not in self.hits]
        if lacking:
            raise FormatError(
                f"{path}: {self.name} lacks {', '.join(lacking)}; "
                f"its columns: {', '.join(self.hits.columns)}"
            )
        if self.regions.length("start") < len(self):
            raise FormatError(f"{path}: fewer references than events; {CORRUPT}")

    def __len__(self) -> int:
        return len(self.numbers.node)

    def describe(self) -> Description:
        used = {"x": "x", "y": "y", "z": "z", "t": "t_drift", "value": self.value}
        notes = ["hits of negative charge, below the pedestal, are left out"]
        if "mc_truth" in self.file:
            notes.append("the truth under mc_truth is not read")
        return Description(
            format="ndlar_flow HDF5",
            path=self.path,
            n_events=len(self),
            quantity=self.quantity,
            truth=(),
            branches=tuple((role, f"/{self.name}/data: {name}") for role, name in used.items()),
            units=f"length cm, time 0.1 us, {self.value_unit}",
            notes=tuple(notes),
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        return [self._event(Entry(self.path, number)) for number in range(start, stop)]

    def _event(self, entry: Entry) -> tuple[Product, ...]:
        with guard(self.path, f"entry {entry.number}"):
            rows = self._rows(entry)
            position = np.stack([rows[axis] for axis in "xyz"], axis=1).astype(np.float64)
            value = rows[self.value].astype(np.float64) * self.scale
            kept = ~(value < 0)
            time = rows["t_drift"].astype(np.float64) * TICK
            columns = HitColumns(
                position[kept], value[kept], time[kept], ("x", "y", "z", self.value, "t_drift")
            )
            number = int(self.numbers.read("id", entry.number, entry.number + 1)[0])
            return (header_of(entry, event=number), hits_of(entry, columns, self.quantity))

    def _rows(self, entry: Entry) -> Array:
        """Hits of an event. Its region only bounds them: rows of other events may lie within."""
        region = self.regions.rows(entry.number, entry.number + 1)[0]
        start, stop = int(region["start"]), int(region["stop"])
        pairs = np.asarray(self.references[start:stop]).reshape(-1, 2).astype(np.int64)
        wanted = pairs[pairs[:, 0] == entry.number, 1]
        if len(wanted) == 0:
            return self.hits.rows(0, 0)
        first, last = int(wanted.min()), int(wanted.max())
        if not 0 <= first <= last < len(self.hits.node):
            raise entry.error(self.name, f"has no row {last}, which the event refers to")
        return self.hits.rows(first, last + 1)[wanted - first]


def _hits_of(file: Any, path: str, branches: Branches) -> str:
    names = HITS if branches.tree is None else (branches.tree.strip("/").removesuffix("/data"),)
    for name in names:
        if f"{name}/data" in file:
            return name
    raise FormatError(
        f"{path}: an ndlar_flow file without {' or '.join(names)}; hits need a position, run "
        f"ndlar_flow to its calibrated hits, or name others as 'tree'"
    )
