"""The native file: products as flat columns plus offsets in HDF5.

A group per table (`voxels`, `particles`, ...), a dataset per scalar column or per array column,
units and descriptions as attributes, and one `offsets` dataset per table with E + 1 rows. The
`events` group has a row per event and no offsets. It is written under a temporary name and
renamed when it is complete, so a file with the final name is always whole.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from reco.data import products as catalogue
from reco.data.product import EVENTS, Column, Product
from reco.data.ragged import Array, Ragged
from reco.errors import FormatError, RecoError
from reco.io.base import Closing, guard, span
from reco.io.hdf5 import check_length, open_hdf5
from reco.io.whole import Whole

FORMAT = "reco"
VERSION = 1
_ROWS_PER_CHUNK = 16384
_NOISY = {
    "hits": {"value"},
    "voxels": {"energy", "features", "semantic_scores", "y", "z"},
    "truth_voxels": {"energy", "y", "z"},
}
"""Long columns of which packing saves a tenth of the room, or half that of a coordinate, and takes
as long as all else that writing and merging do."""

PRODUCTS: tuple[type[Product], ...] = tuple(
    cls
    for cls in vars(catalogue).values()
    if isinstance(cls, type) and issubclass(cls, Product) and cls is not Product
)
"""Every product there is, in the order of the chain."""


class _Disk(io.FileIO):
    """A file that keeps what went wrong with it to itself until `check`: where libhdf5 learns that
    it cannot write, it cannot close the file either, and crashes the process at its end."""

    failure: OSError | None = None

    def check(self, path: Path) -> None:
        """Raises RecoError, which names the file by its final name."""
        if self.failure is not None:
            raise RecoError(f"{path}: writing failed ({self.failure.strerror})") from None

    def write(self, data: Any) -> int:
        left = memoryview(data)
        while self.failure is None and len(left):
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0


class NewFile(Whole):
    """A new HDF5 file, `file`, that appears when the block ends well. See Whole for errors."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        try:
            self._disk = _Disk(self.temporary, "w+")
        except OSError as error:
            raise self.refused(error) from None
        self.file = h5py.File(self._disk, "w")

    def check(self) -> None:
        """Raises RecoError where the disk refused something that was written."""
        self._disk.check(self.path)

    def finish(self) -> None:
        self.file.close()
        self.check()

    def close(self) -> None:
        self.file.close()
        self._disk.close()


class Writer(NewFile):
    """Appends batches of products to a new file; the file appears when the block ends well.

    path: the final name. provenance: JSON-able facts stored as an attribute. internal: also write
    the columns that only a later stage needs. See Whole for errors.
    """

    def __init__(
        self, path: str | Path, provenance: Mapping[str, Any], *, internal: bool = False
    ) -> None:
        super().__init__(path)
        self.internal = internal
        self.file.attrs["format"] = FORMAT
        self.file.attrs["version"] = VERSION
        self.file.attrs["provenance"] = json.dumps(dict(provenance), default=str)
        self._columns: dict[tuple[str, str], Growing] = {}

    def write(self, products: Iterable[Product]) -> None:
        """Append the events of one batch; all products hold the same events."""
        written: set[tuple[str, str]] = set()
        for product in products:
            for f, data in product.items():
                self._append(product.columns()[f.name], data, written)
        self.check()

    def _append(self, spec: Column, data: Array | Ragged, written: set[tuple[str, str]]) -> None:
        if spec.internal and not self.internal:
            return
        if isinstance(data, Ragged):
            if (spec.table, "offsets") not in written:
                written.add((spec.table, "offsets"))
                self._offsets(spec.table).append_sums(data.counts)
            values = data.values
        else:
            values = data
        if 0 in values.shape[1:]:
            return  # features of no width: an event that failed, or a file without any
        for name, part in _split(spec, values):
            if (spec.table, name) not in written:
                written.add((spec.table, name))
                self._column(spec, name, part).append(part)

    def _offsets(self, table: str) -> "Growing":
        key = table, "offsets"
        if key not in self._columns:
            group = self.file.require_group(table)
            data = group.create_dataset(
                "offsets", data=np.zeros(1, np.int64), maxshape=(None,), chunks=(4096,)
            )
            self._columns[key] = Growing(data)
        return self._columns[key]

    def _column(self, spec: Column, name: str, rows: Array) -> "Growing":
        key = spec.table, name
        if key not in self._columns:
            group = self.file.require_group(spec.table)
            self._columns[key] = Growing(_create(group, name, rows.shape[1:], spec))
        return self._columns[key]


def _split(spec: Column, values: Array) -> list[tuple[str, Array]]:
    if len(spec.parts) == 1:
        return [(spec.name, values)]
    return [(part, values[:, i]) for i, part in enumerate(spec.parts)]


def _create(group: h5py.Group, name: str, shape: tuple[int, ...], spec: Column) -> h5py.Dataset:
    data = group.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        dtype=np.dtype(spec.stored),
        chunks=(512 if spec.table == EVENTS else _ROWS_PER_CHUNK, *shape),
        compression=None if name in _NOISY.get(spec.table, ()) else "lzf",
    )
    data.attrs["unit"] = spec.unit
    data.attrs["doc"] = spec.doc
    return data


class Growing:
    """A dataset that takes rows at its end, by the calls of HDF5 itself: a file has a hundred of
    them, and resizing and slicing through h5py would take longer than the data."""

    def __init__(self, data: h5py.Dataset) -> None:
        self._id = data.id
        self._length = len(data)
        self._total = 0

    def append(self, rows: Array) -> None:
        if len(rows) == 0:
            return
        first = (self._length, *[0] * (rows.ndim - 1))
        self._length += len(rows)
        self._id.set_extent((self._length, *rows.shape[1:]))
        place = self._id.get_space()
        place.select_hyperslab(first, rows.shape)
        self._id.write(h5py.h5s.create_simple(rows.shape), place, np.ascontiguousarray(rows))

    def append_sums(self, counts: Array) -> None:
        """Go on with the running total of these."""
        sums = self._total + np.cumsum(counts, dtype=np.int64)
        self._total = int(sums[-1]) if len(sums) else self._total
        self.append(sums)


def is_product_file(handle: h5py.File) -> bool:
    return bool(handle.attrs.get("format") == FORMAT)


class StoredProducts(Closing):
    """Random access to the products of a native file.

    partial: also give products whose internal columns were not written, with zeros in their place,
    or whose newer columns are not in an older file, with NaN: enough to look at and to evaluate,
    not to go on from. handle: the file, where it is open
    already (a URL). Raises FormatError when the file is not native, truncated, or of a newer
    version.
    """

    def __init__(
        self, path: str | Path, *, partial: bool = False, handle: h5py.File | None = None
    ) -> None:
        self.path = path
        self._partial = partial
        self._file = open_hdf5(str(path)) if handle is None else handle
        with guard(str(path), "file of reco"):
            if not is_product_file(self._file):
                raise FormatError(
                    f"{self.path}: not a file written by reco; `reco run` makes one of hits"
                )
            version = int(self._file.attrs["version"])
            if version > VERSION:
                raise FormatError(f"{self.path}: format version {version}; upgrade reco to read it")
            self.provenance: dict[str, Any] = json.loads(self._file.attrs["provenance"])
            self.products = tuple(cls for cls in PRODUCTS if self._holds(cls))
            self._n_events = self._count_events()

    def __len__(self) -> int:
        return self._n_events

    def _count_events(self) -> int:
        for group in self._file.values():
            for column in group.values():
                check_length(str(self.path), column)
        for group in self._file.values():
            if "offsets" in group:
                return len(group["offsets"]) - 1
        events = self._file.get(EVENTS, {})
        return max((len(column) for column in events.values()), default=0)

    def _holds(self, cls: type[Product]) -> bool:
        wanted = [c for c in cls.columns().values() if not (self._partial and c.internal)]
        lacking = [spec for spec in wanted if not self._has(spec)]
        if self._partial and len(lacking) < len(wanted):
            return all(np.dtype(spec.dtype).kind == "f" for spec in lacking)
        return not lacking

    def _has(self, spec: Column) -> bool:
        table = self._file.get(spec.table, ())
        return all(part in table for part in spec.parts)

    def read(self, start: int, stop: int, only: Sequence[type[Product]] = ()) -> list[Product]:
        """Products of events start..stop (all that the file holds, or those asked for)."""
        missing = [cls.__name__ for cls in only if cls not in self.products]
        if missing:
            raise FormatError(f"{self.path}: holds no {', '.join(missing)}")
        with guard(str(self.path), span(start, stop)):
            return [self._read(cls, start, stop) for cls in (only or self.products)]

    def _read(self, cls: type[Product], start: int, stop: int) -> Product:
        return cls(
            **{name: self._column(spec, start, stop) for name, spec in cls.columns().items()}
        )

    def _column(self, spec: Column, start: int, stop: int) -> Array | Ragged:
        group = self._file[spec.table]
        if spec.table == EVENTS:
            return _join([group[part][start:stop] for part in spec.parts])
        offsets = group["offsets"][start : stop + 1]
        rows = slice(int(offsets[0]), int(offsets[-1]))
        if self._has(spec):
            values = _join([group[part][rows] for part in spec.parts])
        else:
            shape = tuple(max(n, 0) for n in spec.shape)
            filler = 0 if spec.internal else np.nan
            values = np.full((rows.stop - rows.start, *shape), filler, spec.dtype)
        return Ragged(values, offsets - offsets[0])

    def close(self) -> None:
        self._file.close()


def _join(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.stack(parts, axis=-1)
