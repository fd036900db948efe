"""What flat ROOT and flat HDF5 files have in common: roles, and one event from its columns."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from reco.data.product import Product
from reco.data.products import Hits, Quantity
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import Entry
from reco.io.branches import Branches
from reco.io.guess import number_options, options
from reco.io.hits import HitColumns, deposits_on_hits, has_position, hits_of
from reco.suggest import listed, nearest

MOST_TABLES = 3
"""Trees or groups of which a message lists the branches."""
TRUTH_ROLES = ("semantic", "fragment", "particle")
NUMBERS = ("run", "subrun", "event")


class Table(Protocol):
    """A tree, group or dataset that may have hits.

    is_list, lists_of_numbers: branches with a number per hit. is_number, numbers_per_entry: with
    one that may be an event's. length: of the lists of a branch.
    """

    name: str

    def is_list(self, name: str) -> bool: ...

    def is_number(self, name: str) -> bool: ...

    def lists_of_numbers(self) -> list[str]: ...

    def numbers_per_entry(self) -> list[str]: ...

    def length(self, name: str) -> object: ...


T = TypeVar("T", bound=Table)


@dataclass(frozen=True)
class Roles:
    """Role of each branch that will be read. of: role -> branch."""

    of: dict[str, str]
    quantity: Quantity

    @property
    def has_truth(self) -> bool:
        return "semantic" in self.of


def find_roles(
    branches: Branches, is_rows: Callable[[str], bool], is_number: Callable[[str], bool]
) -> Roles | None:
    """Roles of the branches of one tree or group; None when it has no x, y, z and value.

    is_rows: whether a branch has a number per hit. is_number: whether it has one per event.
    """
    position = {axis: str(getattr(branches, axis)) for axis in "xyz"}
    value = next(((n, q) for n, q in branches.values() if is_rows(n)), None)
    if value is None or not all(is_rows(name) for name in position.values()):
        return None
    of = position | {"value": value[0]}
    for role in ("t", *TRUTH_ROLES, "true_energy"):
        name = getattr(branches, role) or role
        if is_rows(name):
            of[role] = name
    for role in NUMBERS:
        name = getattr(branches, role) or role
        if is_number(name):
            of[role] = name
    return Roles(of, value[1])


def find_hits(path: str, tables: Sequence[T], branches: Branches) -> tuple[T, Roles]:
    """The only tree, group or dataset that has the branches of hits; see `find_roles`.

    Raises FormatError where none or several have them.
    """
    found = [(t, roles) for t in tables if (roles := find_roles(branches, t.is_list, t.is_number))]
    if len(found) == 1:
        return found[0]
    if found:
        raise _several(path, [table.name for table, _ in found])
    for table in tables:
        if find_roles(branches, table.is_number, table.is_number):
            raise _entry_per_hit(path, table, _numbers(table, branches))
    guesses = {table.name: _options(table, branches) for table in tables}
    for table in tables:
        single = set(table.numbers_per_entry()) - set(table.lists_of_numbers())
        guess = options(single, lambda _: 1)
        if guess and not any(guesses.values()):
            raise _entry_per_hit(path, table, f"{guess} {_numbers(table, branches)}")
    raise _no_hits(path, tables, branches, guesses)


def _several(path: str, names: Sequence[str]) -> FormatError:
    if len({re.sub(r"\d+", "", name) for name in names}) == 1:
        return FormatError(
            f"{path}: {listed(names)} all have hits, one event each, it seems, which is not read; "
            "put the rows of all events into one group, with a column that has the event's number, "
            "by the lines under 'Flat HDF5' in docs/formats.md"
        )
    return FormatError(f"{path}: {listed(names)} all have hits; name one as 'tree'")


def _options(table: Table, branches: Branches) -> str:
    hits = options(table.lists_of_numbers(), table.length)
    return f"{hits} {_numbers(table, branches)}".rstrip() if hits else ""


def _numbers(table: Table, branches: Branches) -> str:
    lacking = [r for r in NUMBERS if not table.is_number(getattr(branches, r) or r)]
    return number_options(table.numbers_per_entry(), lacking)


def _entry_per_hit(path: str, table: Table, names: str) -> FormatError:
    then = f"; and then: {names.rstrip()}" if names else ""
    return FormatError(
        f"{path}: in {table.name!r} an entry is one hit: it has one number, where a list with "
        "those of all hits of an event is needed; make flat HDF5 of it, a row per hit with the "
        f"number of its event, by the lines under 'Flat HDF5' in docs/formats.md{then}"
    )


def _no_hits(
    path: str, tables: Sequence[Table], branches: Branches, guesses: Mapping[str, str]
) -> FormatError:
    wanted = f"{branches.x}, {branches.y}, {branches.z} and "
    wanted += " or ".join(name for name, _ in branches.values())
    named = sorted(tables, key=lambda table: not guesses[table.name])[:MOST_TABLES]
    has = "; ".join(f"{t.name!r} has {listed(sorted(t.lists_of_numbers()))}" for t in named)
    guess = next(filter(None, guesses.values()), "")
    units = "if not in cm, MeV and ke, the units as well, such as --set input.length_unit=mm"
    perhaps = f"perhaps: {guess}, and {units}; " if guess else ""
    return FormatError(
        f"{path}: no hits named {wanted}, with a number per hit; say which branches they are, as "
        f"keys of `input` in the pipeline or with --set; {perhaps}{has}"
    )


def check_roles(path: str, branches: Branches, roles: Roles, table: Table) -> None:
    """Raise FormatError for a branch that was named but not found, and for truth without energy."""
    known = [*table.lists_of_numbers(), *table.numbers_per_entry()]
    for role in ("t", *TRUTH_ROLES, "true_energy", *NUMBERS):
        name = getattr(branches, role)
        if name is not None and roles.of.get(role) != name:
            raise FormatError(
                f"{path}: no usable branch {name!r} for {role!r}{nearest(name, known)}; name "
                f"another one, or leave {role!r} out of the branches"
            )
    if roles.has_truth and roles.quantity is Quantity.CHARGE and "true_energy" not in roles.of:
        raise FormatError(
            f"{path}: true labels of hits need their true energy when the hits have a charge; "
            "name its branch as 'true_energy'"
        )


def notes_of(
    branches: Branches,
    roles: Roles,
    is_rows: Callable[[str], bool],
    numbers: Sequence[str],
) -> tuple[str, ...]:
    """What was chosen among several branches, and numbers of events that nobody named.

    is_rows: as for `find_roles`. numbers: names of the branches with a number per event.
    """
    notes = []
    both = [name for name, _ in branches.values() if is_rows(name)]
    if len(both) > 1:
        notes.append(
            f"hits have {both[0]!r} and {both[1]!r}: {roles.of['value']!r} is taken; "
            f"--set input.energy={both[1]} takes the other"
        )
    lacking = [role for role in NUMBERS if role not in roles.of]
    if lacking and (guess := number_options(numbers, lacking)):
        notes.append(f"not all numbers of the events were found; perhaps: {guess}")
    return tuple(notes)


def flat_event(
    entry: Entry, columns: Mapping[str, Array], roles: Roles, branches: Branches
) -> tuple[Product, ...]:
    """Hits of one event, and its TruthDeposits where it has labels. columns: role -> (N,)."""
    _equal_rows(entry, columns, roles)
    position = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
    keep = has_position(position)
    with np.errstate(over="ignore", invalid="ignore"):
        value = columns["value"][keep].astype(np.float64) * branches.scale(roles.quantity)
        time = columns.get("t", np.zeros(len(keep)))[keep].astype(np.float64) * branches.time
        position = position[keep] * branches.length
    names = (*(roles.of[axis] for axis in "xyz"), roles.of["value"], roles.of.get("t", "t"))
    hits = hits_of(entry, HitColumns(position, value, time, names), roles.quantity)
    if not roles.has_truth:
        return (hits,)
    kept = {role: rows[keep] for role, rows in columns.items()}
    return (hits, _deposits(entry, hits, kept, value))


def _deposits(entry: Entry, hits: Hits, columns: Mapping[str, Array], value: Array) -> Product:
    none = np.full(len(value), -1)
    labels = [columns.get(role, none) for role in TRUTH_ROLES]
    for role, label in zip(TRUTH_ROLES, labels, strict=True):
        if len(label) and not (label.min() >= -1 and label.max() < 2**31):
            raise entry.error(role, "holds a label below -1 or above 2147483647, or NaN")
    if len(none) and labels[0].max() > 4:
        raise entry.error(
            "semantic", f"holds the class {labels[0].max()}", "classes are -1 (unknown) to 4"
        )
    return deposits_on_hits(hits, columns.get("true_energy", value), *labels)


def _equal_rows(entry: Entry, columns: Mapping[str, Array], roles: Roles) -> None:
    n_rows = len(columns["x"])
    for role, rows in columns.items():
        if len(rows) != n_rows:
            raise entry.error(
                roles.of[role],
                f"has {len(rows)} rows, branch {roles.of['x']!r} has {n_rows}",
                "every branch of the hits must have one number per hit",
            )
