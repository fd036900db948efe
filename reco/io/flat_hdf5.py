"""Flat HDF5: a row per hit, as datasets of a group or as a compound dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from reco.data.product import Product
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import Description, Entry, EventReader, guard
from reco.io.branches import Branches
from reco.io.flat import Roles, check_roles, find_hits, flat_event, notes_of
from reco.io.guess import number_options
from reco.io.hdf5 import EventIndex, Table, check_length, index_by_columns, index_by_offsets
from reco.io.hits import header_of
from reco.suggest import unknown

EVENT_COLUMNS = ("event", "event_id", "eventID")
OFFSETS = ("event_offsets", "offsets")


def recognise(file: Any, branches: Branches) -> bool:
    return branches.tree is not None or bool(_tables(file))


class FlatHdf5Reader(EventReader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(path)
        self.file, self.branches = file, branches
        self.table, roles = find_table(file, path, branches)
        self.index, self.by_event, cut = find_events(self.table, branches)
        self.roles = Roles(
            {r: n for r, n in roles.of.items() if r not in ("run", "subrun", "event")},
            roles.quantity,
        )
        self.cut = cut
        used = Roles(self.roles.of | self.by_event | cut, roles.quantity)
        check_roles(path, branches, used, self.table)
        _check_lengths(self.table, used if "event" in cut else self.roles)
        n_numbers = self.table.length(cut["event"]) if "event" in cut else len(self)
        numbers = [c for c in self.table.columns if self.table.length(c) == n_numbers]
        self.notes = notes_of(branches, used, self.table.__contains__, numbers)

    def __len__(self) -> int:
        return len(self.index)

    def describe(self) -> Description:
        used = self.roles.of | self.by_event | self.cut
        return Description(
            format="flat HDF5 of hits",
            path=self.path,
            n_events=len(self),
            quantity=self.roles.quantity,
            truth=("TruthDeposits",) if self.roles.has_truth else (),
            branches=tuple(
                (role, f"{self.table.name.rstrip('/')}/{name}") for role, name in used.items()
            ),
            units=self.branches.units(self.roles.quantity),
            notes=self.notes,
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        return [self._event(number) for number in range(start, stop)]

    def _event(self, number: int) -> tuple[Product, ...]:
        entry = Entry(self.path, number)
        with guard(self.path, f"entry {number}"):
            columns = {r: self._column(n, number) for r, n in self.roles.of.items()}
            header = header_of(entry, **self._numbers(number))
        return (header, *flat_event(entry, columns, self.roles, self.branches))

    def _column(self, name: str, number: int) -> Array:
        parts = [self.table.read(name, a, b) for a, b in self.index.runs(number)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _numbers(self, number: int) -> Mapping[str, int]:
        row = number if "offsets" in self.cut else self.index.runs(number)[0][0]
        numbers = {
            role: int(self.table.read(name, row, row + 1)[0])
            for role, name in self.by_event.items()
        }
        return {"event": int(self.index.ids[number]), **numbers}

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True)
class Coordinate:
    """One column of a dataset (N, 3), read as if it were a dataset of its own."""

    dataset: Any
    axis: int

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, rows: slice) -> Any:
        return self.dataset[rows, self.axis]


class FlatTable(Table):
    """Numbers of events are columns like the others; of a dataset `pos` of three numbers per row
    the columns are `pos_x`, `pos_y` and `pos_z`."""

    def __init__(self, path: str, node: Any) -> None:
        super().__init__(path, node)
        if not self.is_compound:
            self.columns |= _coordinates(path, node)

    def is_list(self, name: str) -> bool:
        return name in self

    is_number = is_list

    def lists_of_numbers(self) -> list[str]:
        return list(self.columns)

    numbers_per_entry = lists_of_numbers


def find_table(file: Any, path: str, branches: Branches) -> tuple[FlatTable, Roles]:
    """The group or dataset that was named, or the only one that has the columns of hits."""
    nodes = _tables(file) if branches.tree is None else [file.get(branches.tree)]
    if nodes == [None]:
        raise FormatError(
            unknown(
                f"{path}: no group or dataset {branches.tree!r}",
                str(branches.tree),
                [node.name.strip("/") for node in _tables(file)],
                "hits could be in",
            )
        )
    return find_hits(path, [FlatTable(path, node) for node in nodes], branches)


def find_events(
    table: Table, branches: Branches
) -> tuple[EventIndex, dict[str, str], dict[str, str]]:
    """Index of the events; columns of their numbers; the column that cuts the rows."""
    offsets = branches.offsets
    if offsets is None and not table.is_compound:
        offsets = next((name for name in OFFSETS if name in table), None)
    if offsets is not None:
        return _events_by_offsets(table, branches, offsets)
    wanted = (branches.event,) if branches.event is not None else EVENT_COLUMNS
    column = table.first_of(wanted)
    if column is None:
        guess = number_options(table.columns, ["event"])
        raise FormatError(
            f"{table.path}: a row of {table.name!r} is a hit, and no column {' or '.join(wanted)} "
            f"says of which event; {f'perhaps: {guess}; ' if guess else ''}it has "
            f"{', '.join(table.columns)}: name one with --set input.event=NAME, or a dataset of "
            "row numbers with --set input.offsets=NAME; where all are one event, add a column of 0"
        )
    n_rows = table.length(column)
    above = {
        role: name
        for role in ("run", "subrun")
        if (name := getattr(branches, role) or role) in table and table.length(name) == n_rows
    }
    return index_by_columns(table, [*above.values(), column]), above, {"event": column}


def _events_by_offsets(
    table: Table, branches: Branches, name: str
) -> tuple[EventIndex, dict[str, str], dict[str, str]]:
    group = table.node.parent if table.is_compound else table.node
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(f"{table.path}: no dataset {name!r} of offsets beside {table.name!r}")
    index = index_by_offsets(table.path, dataset, table.length(branches.x))
    numbers = {
        role: column
        for role in ("run", "subrun", "event")
        if not table.is_compound
        and (column := getattr(branches, role) or role) in table
        and table.length(column) == len(index)
    }
    return index, numbers, {"offsets": name}


def _coordinates(path: str, group: Any) -> dict[str, Coordinate]:
    threes = {
        name: node
        for name in group
        if isinstance(node := group.get(name), h5py.Dataset)
        and node.shape[1:] == (3,)
        and node.dtype.kind in "iuf"
    }
    for node in threes.values():
        check_length(path, node)
    return {
        f"{name}_{axis}": Coordinate(node, number)
        for name, node in threes.items()
        for number, axis in enumerate("xyz")
    }


def _check_lengths(table: Table, roles: Roles) -> None:
    n_rows = table.length(roles.of["x"])
    for name in roles.of.values():
        if table.length(name) != n_rows:
            raise FormatError(
                f"{table.path}: column {name!r} of {table.name!r} has {table.length(name)} rows, "
                f"column {roles.of['x']!r} has {n_rows}; columns of hits must be equally long"
            )


def _tables(file: Any) -> list[Any]:
    """Groups and compound datasets with columns enough for hits: three coordinates and a value."""
    nodes = [file]
    file.visititems(lambda _, node: nodes.append(node))
    tables = [node for node in nodes if isinstance(node, h5py.Group) or node.dtype.names]
    return [node for node in tables if len(FlatTable(file.filename, node).columns) > 3]
