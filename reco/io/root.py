"""ROOT files through uproot: trees by name, named branches, the bytes of single entries."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import awkward as ak
import numpy as np
import uproot

from reco.data.ragged import Array, Ragged
from reco.errors import FormatError
from reco.io.base import CORRUPT, guard, span
from reco.suggest import listed, unknown

T = TypeVar("T")
MAGIC = b"root"
SOME_ENTRIES = 8
"""By whose lists branches are told apart."""
TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")


class RootFile:
    """An open ROOT file. Nothing is read but its keys until a tree is asked for.

    notes: what is wrong with it as a whole.
    """

    def __init__(self, path: str, remote: Any = None) -> None:
        self.path = path
        source = Path(path) if remote is None else remote
        with guard(path, "ROOT file"):
            self.file: Any = uproot.open(source, object_cache=None, array_cache=None)
            kinds = self.file.classnames(recursive=True, cycle=False)
        self.trees = [name for name, kind in kinds.items() if kind in TREES]
        self.kinds: dict[str, str] = kinds
        here = self.file.file.fEND if remote is not None else source.stat().st_size
        lost = self.file.file.fEND - here
        self.notes = (f"cut short: its last {lost} bytes are missing",) if lost > 0 else ()

    def tree(self, name: str) -> "Tree":
        if name not in self.trees:
            raise FormatError(
                unknown(f"{self.path}: no tree {name!r}", name, self.trees, "its trees")
            )
        with guard(self.path, f"tree {name!r}"):
            return Tree(self.path, name, self.file[name], self.kinds[name])

    def close(self) -> None:
        self.file.close()


class Tree:
    """A TTree or RNTuple whose branches are known by the last part of their path.

    Branches are read by whole baskets, and the last range of each is kept: a walk through the
    file decompresses each basket once, and memory is that of one basket per branch.
    """

    def __init__(self, path: str, name: str, tree: Any, kind: str) -> None:
        self.path, self.name, self.tree = path, name, tree
        self.is_ntuple = kind == "ROOT::RNTuple"
        keys = list(map(str, tree.keys()))
        self.keys = {key.rsplit("/", 1)[-1]: key for key in reversed(keys)} | {k: k for k in keys}
        self.n_entries = int(tree.num_entries)
        self._kept: dict[str, tuple[int, int, Any]] = {}
        if self.n_entries < 0:
            raise FormatError(f"{path}: tree {name!r} has {self.n_entries} entries; {CORRUPT}")

    def __contains__(self, branch: str) -> bool:
        return branch in self.keys

    def branch(self, name: str) -> Any:
        if name not in self.keys:
            raise FormatError(
                f"{self.path}: tree {self.name!r} has no branch {name!r}; "
                f"it has {listed(sorted({k.rsplit('/', 1)[-1] for k in self.keys}))}"
            )
        return self.tree[self.keys[name]]

    def is_list(self, name: str) -> bool:
        """Whether each entry holds one list of numbers."""
        return name in self.keys and _list_depth(self.branch(name), self.is_ntuple) == 1

    def lists_of_numbers(self) -> list[str]:
        return [key for key in {k.rsplit("/", 1)[-1] for k in self.keys} if self.is_list(key)]

    def numbers_per_entry(self) -> list[str]:
        return [key for key in {k.rsplit("/", 1)[-1] for k in self.keys} if self.is_number(key)]

    def is_number(self, name: str) -> bool:
        return name in self.keys and _list_depth(self.branch(name), self.is_ntuple) == 0

    def length(self, name: str) -> tuple[int, ...]:
        """Of the lists of the first entries."""
        some = min(self.n_entries, SOME_ENTRIES)
        return tuple(self.lists(name, 0, some).counts.tolist()) if some else ()

    def check(self, names: list[str]) -> None:
        """Raise FormatError unless all branches are there, each as long as the tree."""
        for name in names:
            with guard(self.path, f"tree {self.name!r}, branch {name!r}"):
                n_entries = _edges(self.branch(name), self.is_ntuple, self.n_entries)[-1]
            if n_entries != self.n_entries:
                raise FormatError(
                    f"{self.path}: branch {name!r} has {n_entries} entries, its tree "
                    f"{self.name!r} has {self.n_entries}; {CORRUPT}"
                )

    def lists(self, name: str, start: int, stop: int) -> Ragged:
        """Lists of numbers, one of them per entry."""
        first, rows = self._range(name, start, stop, lambda a, b: _ragged(self._array(name, a, b)))
        begin, end = start - first, stop - first
        offsets = rows.offsets[begin : end + 1]
        return Ragged(rows.values[offsets[0] : offsets[-1]], offsets - offsets[0])

    def numbers(self, name: str, start: int, stop: int) -> Array:
        """One number per entry."""
        first, rows = self._range(
            name, start, stop, lambda a, b: np.asarray(ak.to_numpy(self._array(name, a, b)))
        )
        return rows[start - first : stop - first]

    def objects(self, name: str, start: int, stop: int) -> ak.Array:
        """Anything else uproot can read, as an awkward array."""
        first, rows = self._range(name, start, stop, lambda a, b: self._array(name, a, b))
        return rows[start - first : stop - first]

    def entry_bytes(self, name: str, start: int, stop: int) -> list[Array]:
        """The bytes of each entry of a branch that uproot has no interpretation for, uint8."""
        first, rows = self._range(
            name, start, stop, lambda a, b: _basket_bytes(self.branch(name), a, b)
        )
        return rows[start - first : stop - first]

    def _array(self, name: str, start: int, stop: int) -> ak.Array:
        if self.is_ntuple:
            key = self.keys[name]
            return self.tree.arrays([key], entry_start=start, entry_stop=stop)[key]
        return self.branch(name).array(entry_start=start, entry_stop=stop)

    def _range(
        self, name: str, start: int, stop: int, read: Callable[[int, int], T]
    ) -> tuple[int, T]:
        kept = self._kept.get(name)
        if kept is not None and kept[0] <= start and stop <= kept[1]:
            return kept[0], kept[2]
        with guard(self.path, f"{span(start, stop)}: branch {name!r}"):
            edges = _edges(self.branch(name), self.is_ntuple, self.n_entries)
            if self.is_ntuple:
                edges = np.array([start, stop])
            first = int(edges[np.searchsorted(edges, start, "right") - 1])
            last = int(edges[np.searchsorted(edges, stop, "left")])
            rows = read(first, last)
            if len(rows) != last - first:  # type: ignore[arg-type]
                raise FormatError(f"{self.path}: branch {name!r} ends early; {CORRUPT}")
        self._kept[name] = (first, last, rows)
        return first, rows


def _edges(branch: Any, is_ntuple: bool, n_entries: int) -> Array:
    """Entry numbers at which baskets begin and end."""
    if is_ntuple:
        return np.array([0, n_entries])
    edges = np.asarray(branch.entry_offsets, np.int64)
    if len(edges) == 0 or edges[0] != 0 or (np.diff(edges) < 0).any():
        raise ValueError("its baskets are out of order")
    return edges


def _list_depth(branch: Any, is_ntuple: bool) -> int | None:
    """0: a number per entry, 1: a list of numbers per entry, None: anything else."""
    if is_ntuple:
        name = str(branch.typename)
        inner = name.removeprefix("std::vector<").removesuffix(">")
        is_number = inner.removeprefix("std::").removesuffix("_t") in NUMBERS
        return None if not is_number else int(name != inner)
    interpretation = branch.interpretation
    if isinstance(interpretation, uproot.AsJagged):
        content = getattr(interpretation.content, "to_dtype", None)
        return 1 if content is not None and content.shape == () and content.names is None else None
    if isinstance(interpretation, uproot.AsDtype):
        dtype = interpretation.to_dtype
        return 0 if dtype.shape == () and dtype.names is None else None
    return None


NUMBERS = {
    *("float", "double", "bool", "char", "int", "long", "short"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


def _ragged(array: ak.Array) -> Ragged:
    counts = ak.to_numpy(ak.num(array, axis=1))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Ragged(np.asarray(ak.to_numpy(ak.flatten(array, axis=1))), offsets)


def _basket_bytes(branch: Any, start: int, stop: int) -> list[Array]:
    """start and stop are edges of baskets."""
    edges = np.asarray(branch.entry_offsets, np.int64)
    entries: list[Array] = []
    for number in range(branch.num_baskets):
        if start <= edges[number] and edges[number + 1] <= stop:
            basket = branch.basket(number)
            cuts = basket.byte_offsets
            if cuts is None:
                raise ValueError("its entries have no offsets")
            entries += [basket.data[a:b] for a, b in pairwise(cuts)]
    return entries
