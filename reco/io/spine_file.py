"""The two layouts of SPINE's HDF5 output, seen alike: arrays and objects of an event, by name."""

from abc import ABC, abstractmethod
from typing import Any

import h5py
import numpy as np

from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.hdf5 import check_length

_OFFSETS = "_var_offsets_"


class Objects:
    """The objects of one product in one event, a row each."""

    def __init__(self, fixed: Array, lists: dict[str, list[Array]]) -> None:
        self.fixed, self.lists = fixed, lists
        self.names = (*(fixed.dtype.names or ()), *lists)

    def __len__(self) -> int:
        return len(self.fixed)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def numbers(self, name: str, missing: float) -> Array:
        """A column with one number or vector per object; `missing` where the file lacks it."""
        if name in (self.fixed.dtype.names or ()):
            return np.asarray(self.fixed[name])
        return np.full(len(self), missing)

    def vectors(self, name: str) -> Array:
        """(N, 3) float64; NaN where the file lacks it."""
        found = self.numbers(name, np.nan).astype(np.float64)
        return found if found.ndim == 2 else np.full((len(self), 3), np.nan)

    def indexes(self, name: str) -> list[Array]:
        """(N,) lists of rows, each empty where the file lacks it."""
        none = np.zeros(0, np.int64)
        return [rows.astype(np.int64) for rows in self.lists.get(name, [none] * len(self))]

    def text(self, name: str) -> str:
        """What the first object says, "" where there is none."""
        if name not in self.lists or len(self) == 0:
            return ""
        return self.lists[name][0].tobytes().decode("utf-8", "replace")


class SpineFile(ABC):
    """What the reader asks of a file, whichever its version."""

    version: int

    def __init__(self, file: Any, path: str) -> None:
        self.file, self.path = file, path

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Products of the file."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def array(self, name: str, event: int) -> Array:
        """The rows of an array product."""

    @abstractmethod
    def objects(self, name: str, event: int) -> Objects: ...


class SpineV1(SpineFile):
    """One region reference per event and product."""

    version = 1

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.file["events"].dtype.names or ())

    def __len__(self) -> int:
        return len(self.file["events"])

    def array(self, name: str, event: int) -> Array:
        dataset = self.file[name]
        check_length(self.path, dataset)
        start, stop = _bounds(dataset, self.file["events"][event][name])
        return np.asarray(dataset[start:stop])

    def objects(self, name: str, event: int) -> Objects:
        rows = self.array(name, event)
        kinds = rows.dtype
        lists = {n: kinds[n] for n in kinds.names or () if kinds[n].kind == "O"}
        plain = [n for n in kinds.names or () if n not in lists]
        return Objects(rows[plain], {n: [_as_array(v) for v in rows[n]] for n in lists})


def _bounds(dataset: Any, reference: Any) -> tuple[int, int]:
    """First row and row after the last that a region reference selects."""
    if not reference:
        return 0, 0
    region = h5py.h5r.get_region(reference, dataset.id)
    if region.get_select_npoints() == 0:
        return 0, 0
    first, last = region.get_select_bounds()
    return int(first[0]), int(last[0]) + 1


def _as_array(value: Any) -> Array:
    """A vlen array as it is, a string as bytes."""
    if isinstance(value, str):
        value = value.encode()
    return np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)


class SpineV2(SpineFile):
    """Flat products with offsets; lists of objects in pools that several fields share."""

    version = 2

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.file["products"])

    def __len__(self) -> int:
        return len(self.file["events"])

    def array(self, name: str, event: int) -> Array:
        start, stop = self._rows(name, event)
        return np.asarray(self.file["products"][name]["values"][start:stop])

    def objects(self, name: str, event: int) -> Objects:
        start, stop = self._rows(name, event)
        group = self.file["products"][name]
        fixed = group["fixed"]
        check_length(self.path, fixed)
        rows = np.asarray(fixed[start:stop])
        lists: dict[str, list[Array]] = {}
        for i in range(len(group.get("variables", ()))):
            pool = group[f"variables/pool_{i}"]
            lists |= _lists(_fields(pool), rows[f"{_OFFSETS}{i}"].astype(np.int64), pool["values"])
        plain = [n for n in rows.dtype.names or () if not n.startswith(_OFFSETS)]
        return Objects(rows[plain], lists)

    def _rows(self, name: str, event: int) -> tuple[int, int]:
        offsets = self.file["products"][name]["event_offsets"]
        start, stop = (int(n) for n in offsets[event : event + 2])
        if not 0 <= start <= stop:
            raise FormatError(f"{self.path}: entry {event}: {name}: offsets {start} to {stop}")
        return start, stop


def _fields(pool: Any) -> list[str]:
    """Names of the fields of a pool: a list of YAML, `- name` on each line."""
    return [line.removeprefix("- ").strip() for line in str(pool.attrs["fields"]).splitlines()]


def _lists(fields: list[str], cuts: Array, values: Any) -> dict[str, list[Array]]:
    """Field -> the list of each object. cuts: (N, F + 1), where the F fields of each begin."""
    if len(cuts) == 0:
        return {name: [] for name in fields}
    first = int(cuts[0, 0])
    part = np.asarray(values[first : int(cuts[-1, -1])])
    at = cuts - first
    return {name: [part[o[j] : o[j + 1]] for o in at] for j, name in enumerate(fields)}


def spine_file(file: Any, path: str) -> SpineFile:
    """The file by the version that it names, or that its layout shows."""
    info = file.get("info")
    version = 1 if info is None else int(info.attrs.get("format_version", 1))
    layouts = {1: SpineV1, 2: SpineV2}
    if version not in layouts:
        raise FormatError(f"{path}: SPINE output of format version {version}; 1 and 2 are known")
    return layouts[version](file, path)
