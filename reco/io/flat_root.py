"""Flat ROOT: a TTree or RNTuple with an event per entry and a list of numbers per branch."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reco.data.product import Column, Product
from reco.data.products import TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array, Ragged
from reco.data.truth_tables import topology
from reco.io.base import Description, Entry, EventReader
from reco.io.branches import Branches
from reco.io.flat import Roles, check_roles, find_hits, flat_event, notes_of
from reco.io.hits import header_of
from reco.io.root import RootFile, Tree

TABLES: tuple[type[Product], ...] = (TruthDeposits, TruthParticles, TruthInteractions)
"""Products that a tree may hold whole: branches named as table_column, `truth_particles_pid`."""

OPTIONAL = {"topology"}
"""Columns a tree need not have: ROOT's flat trees have no strings of fixed length."""


def recognise(file: RootFile) -> bool:
    """Any ROOT file with a tree: which one is a matter of the branches."""
    return bool(file.trees)


class FlatRootReader(EventReader):
    def __init__(self, file: RootFile, path: str, branches: Branches) -> None:
        super().__init__(path)
        self.file, self.branches = file, branches
        self.tree, self.roles = find_tree(file, branches)
        check_roles(self.path, branches, self.roles, self.tree)
        self.notes = notes_of(
            branches, self.roles, self.tree.is_list, self.tree.numbers_per_entry()
        )
        self.tables = [kind for kind in TABLES if has_table(self.tree, kind)]
        if TruthDeposits in self.tables:
            self.roles = without_truth(self.roles)
        self.tree.check(list(self.roles.of.values()))

    def __len__(self) -> int:
        return self.tree.n_entries

    def describe(self) -> Description:
        labelled = (TruthDeposits,) if self.roles.has_truth else ()
        return Description(
            format="RNTuple of hits" if self.tree.is_ntuple else "flat ROOT tree of hits",
            path=self.path,
            n_events=len(self),
            quantity=self.roles.quantity,
            truth=tuple(kind.__name__ for kind in (*labelled, *self.tables)),
            branches=tuple((role, f"{self.tree.name}/{n}") for role, n in self.roles.of.items()),
            units=self.branches.units(self.roles.quantity),
            notes=(*self.file.notes, *self.notes),
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        numbers = {
            role: self.tree.numbers(self.roles.of[role], start, stop)
            for role in ("run", "subrun", "event")
            if role in self.roles.of
        }
        lists = {
            role: self.tree.lists(name, start, stop)
            for role, name in self.roles.of.items()
            if role not in ("run", "subrun", "event")
        }
        tables = with_topology([read_table(self.tree, k, start, stop) for k in self.tables])
        out: list[tuple[Product, ...]] = []
        for i in range(stop - start):
            entry = Entry(self.path, start + i)
            header = header_of(entry, **{role: int(rows[i]) for role, rows in numbers.items()})
            columns = {role: rows[i] for role, rows in lists.items()}
            flat = flat_event(entry, columns, self.roles, self.branches)
            out.append((header, *flat, *(table.at(i) for table in tables)))
        return out

    def close(self) -> None:
        self.file.close()


def find_tree(file: RootFile, branches: Branches) -> tuple[Tree, Roles]:
    """The tree that was named, or the only one that has the branches of hits."""
    names = file.trees if branches.tree is None else [branches.tree]
    return find_hits(file.path, [file.tree(name) for name in names], branches)


def without_truth(roles: Roles) -> Roles:
    """The same roles without the labels of hits, for files with labelled deposits of their own."""
    truth = ("semantic", "fragment", "particle", "true_energy")
    return Roles({r: n for r, n in roles.of.items() if r not in truth}, roles.quantity)


def branch_of(column: Column, part: str) -> str:
    return f"{column.table}_{part}"


def has_table(tree: Tree, kind: type[Product]) -> bool:
    """Whether the tree has all columns of a product of truth."""
    return all(
        tree.is_list(branch_of(column, part))
        for column in kind.columns().values()
        if column.name not in OPTIONAL
        for part in column.parts
    )


def read_table(tree: Tree, kind: type[Product], start: int, stop: int) -> Product:
    """A product of truth of the entries start to stop - 1."""
    names = kind.columns()
    first = branch_of(names[next(iter(names))], names[next(iter(names))].parts[0])
    cut = tree.lists(first, start, stop)
    return kind(
        **{
            name: _column(column, cut, lambda branch: tree.lists(branch, start, stop))
            for name, column in names.items()
        }
    )


def with_topology(tables: list[Product]) -> list[Product]:
    """Give the interactions the topology that their primary particles make."""
    particles = next((table for table in tables if isinstance(table, TruthParticles)), None)
    if particles is None:
        return tables
    return [
        _topologies(table, particles) if isinstance(table, TruthInteractions) else table
        for table in tables
    ]


def _topologies(interactions: TruthInteractions, particles: TruthParticles) -> TruthInteractions:
    names = [
        topology(particles.pid[event][particles.is_primary[event] & (own == row)])
        for event, own in enumerate(particles.interaction)
        for row in range(interactions.pdg.counts[event])
    ]
    return replace(interactions, topology=interactions.pdg.like(np.array(names, "S32")))


def _column(column: Column, cut: Ragged, read: Callable[[str], Ragged]) -> Ragged:
    if column.name in OPTIONAL:
        return cut.like(np.zeros(len(cut.values), column.dtype))
    parts = [read(branch_of(column, part)) for part in column.parts]
    values: Array = parts[0].values if len(parts) == 1 else _stack(parts)
    return Ragged(values.astype(column.dtype), parts[0].offsets)


def _stack(parts: list[Ragged]) -> Array:
    for part in parts:
        if not np.array_equal(part.offsets, parts[0].offsets):
            raise ValueError("its columns have different numbers of rows")
    return np.stack([part.values for part in parts], axis=1)
