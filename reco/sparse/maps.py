"""Which input voxel feeds which output voxel: kernel maps, built once per event batch.

Offsets are numbered with z fastest. A submanifold 3^3 map has offset
k = 9 (dx + 1) + 3 (dy + 1) + (dz + 1), and the input voxel is the output voxel + (dx, dy, dz);
a 2^3 stride-2 map has k = 4 (x & 1) + 2 (y & 1) + (z & 1) of the fine voxel.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange

from reco.errors import InputError
from reco.sparse.tensor import Keys, check_coordinates, lexicographic_order, pack

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Derived = TypeVar("Derived")

CHUNK = 2048
"""Voxels whose neighbours one thread looks up in one go."""


class Pairs(NamedTuple):
    """Existing (source, target) pairs, sorted by tile of targets, then by offset.

    sources, targets: (P,) int32. starts: (tiles * K + 1,) int64, where group t * K + k begins.
    """

    sources: Int32
    targets: Int32
    starts: Int64


class Runs(NamedTuple):
    """Entries of up to three pairs in a row: offsets k, k + 1, .. of one target, whose sources are
    one behind the other. A target's entries in the order of the groups are its pairs in order.

    sources (of the first pair), targets (within the tile): int32. starts: (tiles, groups + 1)
    int64, where the groups of a tile begin. offsets, lengths: (groups,) int64, the same for all.
    """

    sources: Int32
    targets: Int32
    starts: Int64
    offsets: Int64
    lengths: Int64


class Places(NamedTuple):
    """Where the rows of a map lie: (inputs, 4) and (outputs, 4) int32, each in its own voxels."""

    inputs: Int32
    outputs: Int32


@dataclass(frozen=True)
class KernelMap:
    """Input rows of every output row.

    table: (K, outputs) int32; table[k, i] is the input row at offset k of output i, or -1.
    inputs: number of input rows. symmetric: offset K - 1 - k is offset k read backwards, as in a
    submanifold map, so that reversing the offsets exchanges inputs and outputs.
    places: for engines that find the pairs themselves; widens: the outputs are the finer voxels.
    """

    table: Int32
    inputs: int
    symmetric: bool = False
    places: Places | None = None
    widens: bool = False

    @property
    def offsets(self) -> int:
        """Number of kernel offsets K."""
        return int(self.table.shape[0])

    @property
    def outputs(self) -> int:
        """Number of output rows."""
        return int(self.table.shape[1])

    @cached_property
    def pair_count(self) -> int:
        """Existing pairs over all offsets."""
        return int(np.count_nonzero(self.table >= 0))

    @cached_property
    def by_offset(self) -> Pairs:
        """All pairs, sorted by offset."""
        return self.tiled(max(self.outputs, 1))

    @cached_property
    def _derived(self) -> dict[Hashable, Any]:
        return {}

    def derived(self, build: Callable[["KernelMap", Any], Derived], argument: Hashable) -> Derived:
        """build(self, argument), made once: what a backend needs of the map, as on a device."""
        key = (build, argument)
        if key not in self._derived:
            self._derived[key] = build(self, argument)
        return self._derived[key]

    def tiled(self, rows: int) -> Pairs:
        """All pairs, sorted by tile of `rows` targets, then by offset, then by target."""
        return self.derived(_pairs_by_tile, rows)

    def runs(self, rows: int) -> Runs:
        """All pairs, by tile of `rows` targets, as entries of as many as lie in a row."""
        return self.derived(_runs_by_tile, rows)

    @cached_property
    def transposed(self) -> "KernelMap":
        """The map with inputs and outputs exchanged; offset k stays offset k."""
        if self.symmetric:
            return KernelMap(np.ascontiguousarray(self.table[::-1]), self.outputs, symmetric=True)
        places = Places(*self.places[::-1]) if self.places else None
        table = _transpose(self.table, self.inputs)
        return KernelMap(table, self.outputs, places=places, widens=not self.widens)

    @cached_property
    def pointwise(self) -> "KernelMap":
        """The map of one offset from each output row to itself: a matrix product of all rows."""
        rows = np.arange(self.outputs, dtype=np.int32)
        return KernelMap(rows[None], self.outputs, symmetric=True)


@dataclass(frozen=True)
class Pyramid:
    """All voxels and kernel maps of a U-Net, finest level first.

    coordinates: per level (N_l, 4) int32, lexicographically sorted, in units of that level.
    same: per level, the submanifold 3^3 map. down: the 2^3 stride-2 map from level l to l + 1.
    """

    coordinates: tuple[Int32, ...]
    same: tuple[KernelMap, ...]
    down: tuple[KernelMap, ...]

    @property
    def levels(self) -> int:
        """Number of levels, the finest included."""
        return len(self.same)

    def sizes(self) -> tuple[int, ...]:
        """Voxels per level."""
        return tuple(len(c) for c in self.coordinates)


def build_pyramid(coordinates: torch.Tensor | Int32, levels: int) -> Pyramid:
    """Kernel maps of `levels` levels over sorted, unique voxels.

    coordinates: (N, 4) int32 [batch, x, y, z] in lexicographic order (SparseTensor.sorted).
    Coarse voxels are floor(x / 2), at absolute positions, so that an event is divided in the
    same way whatever else is in the batch.

    Raises InputError for a wrong shape or dtype, for unsorted voxels, and for duplicates.
    """
    if levels < 1:
        raise InputError(f"levels: {levels}, expected at least 1")
    voxels = _as_array(coordinates)
    _check_order(voxels, pack(voxels))
    all_voxels, same, down = [voxels], [_same(voxels)], []
    for _ in range(levels - 1):
        voxels, step = _downsample(voxels)
        down.append(step)
        all_voxels.append(voxels)
        same.append(_same(voxels))
    return Pyramid(tuple(all_voxels), tuple(same), tuple(down))


def submanifold_map(coordinates: torch.Tensor | Int32, size: int = 3) -> KernelMap:
    """The size^3 map (size odd) of sorted, unique voxels (N, 4) int32 onto themselves.

    Raises InputError for a wrong shape or dtype, for unsorted voxels, and for duplicates.
    """
    if size < 1 or size % 2 == 0:
        raise InputError(f"size: {size}, expected an odd number of voxels: 1, 3, 5")
    voxels = _as_array(coordinates)
    _check_order(voxels, pack(voxels))
    return _same(voxels, size // 2)


def strided_map(coordinates: torch.Tensor | Int32) -> tuple[Int32, KernelMap]:
    """Voxels of half the resolution, sorted, and the 2^3 stride-2 map onto them.

    coordinates: (N, 4) int32, sorted and unique. Raises InputError where they are not.
    """
    voxels = _as_array(coordinates)
    _check_order(voxels, pack(voxels))
    return _downsample(voxels)


def _same(voxels: Int32, radius: int = 1) -> KernelMap:
    table = _merge_neighbours(voxels, *pack(voxels, radius), radius)
    return KernelMap(table, len(voxels), symmetric=True, places=Places(voxels, voxels))


def _downsample(voxels: Int32) -> tuple[Int32, KernelMap]:
    parents = voxels >> np.array([0, 1, 1, 1], np.int32)
    coarse, table = _group(voxels, parents, lexicographic_order(parents))
    return coarse, KernelMap(table, len(voxels), places=Places(voxels, coarse))


def _pairs_by_tile(kernel_map: KernelMap, rows: int) -> Pairs:
    return Pairs(*_collect_pairs(kernel_map.table, rows))


_KINDS = {
    1: ((0, 1),),
    2: ((0, 2), (0, 1), (1, 1)),
    3: ((0, 3), (0, 2), (1, 2), (0, 1), (1, 1), (2, 1)),
}
"""First offset and length of the runs along z, by the size of the kernel."""


def _runs_by_tile(kernel_map: KernelMap, rows: int) -> Runs:
    size = round(kernel_map.offsets ** (1 / 3))
    span = size if size**3 == kernel_map.offsets and size <= 3 else 1
    kinds = np.array(_KINDS[span], np.int64)
    columns = np.arange(0, kernel_map.offsets, span)
    offsets = (columns[:, None] + kinds[:, 0]).ravel()
    lengths = np.tile(kinds[:, 1], len(columns))
    table = kernel_map.table
    first = np.arange(0, kernel_map.outputs, rows)
    counts = np.add.reduceat(np.count_nonzero(table >= 0, axis=0), first) if len(first) else first
    sources, targets = np.empty((2, counts.sum()), np.int32)
    starts = np.empty((len(first), len(offsets) + 1), np.int64)
    _collect_runs(table, rows, kinds, np.cumsum(counts) - counts, sources, targets, starts)
    return Runs(sources, targets, starts, offsets, lengths)


def _as_array(coordinates: Any) -> Int32:
    check_coordinates(coordinates)
    if isinstance(coordinates, torch.Tensor):
        coordinates = coordinates.cpu().numpy()
    return np.ascontiguousarray(coordinates)


def _check_order(voxels: Int32, keys: Keys) -> None:
    row = _first_disorder(voxels, keys.values)
    if row < 0:
        return
    if np.array_equal(voxels[row], voxels[row - 1]):
        raise InputError(
            f"coordinates: voxel {voxels[row].tolist()} appears twice (rows {row - 1} and {row}); "
            "merge voxels before building kernel maps"
        )
    raise InputError(
        f"coordinates: row {row} is out of order; sort by batch, x, y, z (SparseTensor.sorted)"
    )


@njit(cache=True)
def _first_disorder(voxels, keys):  # type: ignore[no-untyped-def]
    for i in range(1, len(keys)):
        step = np.int64(voxels[i, 0]) - np.int64(voxels[i - 1, 0])
        if step < 0 or (step == 0 and keys[i] <= keys[i - 1]):
            return i
    return -1


@njit(cache=True)
def _group(voxels, parents, order):  # type: ignore[no-untyped-def]
    """Unique parents, and the table of their children by octant."""
    n = len(order)
    index = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        a, b = order[i], order[max(i - 1, 0)]
        same = parents[a, 0] == parents[b, 0] and parents[a, 1] == parents[b, 1]
        same = same and parents[a, 2] == parents[b, 2] and parents[a, 3] == parents[b, 3]
        count += i == 0 or not same
        index[i] = count - 1
    coarse = np.empty((count, 4), np.int32)
    table = np.full((8, count), -1, np.int32)
    for i in range(n):
        child = order[i]
        octant = 4 * (voxels[child, 1] & 1) + 2 * (voxels[child, 2] & 1) + (voxels[child, 3] & 1)
        for column in range(4):
            coarse[index[i], column] = parents[child, column]
        table[octant, index[i]] = child
    return coarse, table


@njit(cache=True, parallel=True)
def _merge_neighbours(voxels, keys, step_x, step_y, radius):  # type: ignore[no-untyped-def]
    """Two-pointer merges along z: each column of half the kernel is found in sweeps over CHUNKs."""
    n = len(keys)
    size = 2 * radius + 1
    table = np.empty((size**3, n), np.int32)
    for k in prange(size**3):
        here = k == size**3 // 2
        for i in range(n):
            table[k, i] = i if here else -1
    chunks = (n + CHUNK - 1) // CHUNK
    for task in prange((size * size // 2 + (radius > 0)) * chunks):
        column, begin = np.int64(task) // chunks, np.int64(task) % chunks * CHUNK
        shift = (column // size - radius) * step_x + (column % size - radius) * step_y - radius
        half = column == size * size // 2
        _sweep(voxels, keys, shift, radius, size * column, half, begin, table)
    return table


@njit(cache=True)
def _sweep(voxels, keys, shift, radius, offset, half, begin, table):  # type: ignore[no-untyped-def]
    """The neighbours of a CHUNK of voxels in a column, and the same ones seen from there."""
    kernel, n = table.shape
    width = radius - 1 if half else 2 * radius
    j = _first_from(voxels, keys, voxels[begin, 0], keys[begin] + shift)
    for i in range(begin, min(n, begin + CHUNK)):
        batch, low = voxels[i, 0], keys[i] + shift
        while voxels[j, 0] < batch or (voxels[j, 0] == batch and keys[j] < low):
            j += 1
        q = j
        while q < n and voxels[q, 0] == batch and keys[q] <= low + width:
            k = offset + keys[q] - low
            table[k, i] = q
            table[kernel - 1 - k, q] = i
            q += 1


@njit(cache=True)
def _first_from(voxels, keys, batch, key):  # type: ignore[no-untyped-def]
    """The first voxel that does not come before this batch and key."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if voxels[middle, 0] < batch or (voxels[middle, 0] == batch and keys[middle] < key):
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, parallel=True)
def _collect_pairs(table, rows):  # type: ignore[no-untyped-def]
    offsets, n = table.shape
    tiles = (n + rows - 1) // rows
    starts = np.zeros(tiles * offsets + 1, np.int64)
    for tile in prange(tiles):
        for k in range(offsets):
            count = 0
            for i in range(tile * rows, min(n, (tile + 1) * rows)):
                count += table[k, i] >= 0
            starts[tile * offsets + k + 1] = count
    starts = np.cumsum(starts)
    sources = np.empty(starts[-1], np.int32)
    targets = np.empty(starts[-1], np.int32)
    for tile in prange(tiles):
        # each row is written and the next one writes over it if there is none: a branch on what
        # exists would be foreseen wrongly most of the time
        found = np.empty((2, rows + 1), np.int32)
        for k in range(offsets):
            count = 0
            for i in range(tile * rows, min(n, (tile + 1) * rows)):
                found[0, count] = table[k, i]
                found[1, count] = i
                count += table[k, i] >= 0
            p = starts[tile * offsets + k]
            for j in range(count):
                sources[p + j] = found[0, j]
                targets[p + j] = found[1, j]
    return sources, targets, starts


@njit(cache=True)
def _runs_of_tile(table, first, stop, kinds, p, sources, targets, starts):  # type: ignore[no-untyped-def]
    """The runs of rows first to stop, from entry p on."""
    groups, span = len(kinds), kinds[0, 1]
    found = np.empty((groups, stop - first + 1), np.int32)
    filled = np.zeros(groups, np.int64)
    for g in range(len(starts) - 1):
        kind, column = g % groups, g // groups * span
        if kind == 0:
            _classify(table[column : column + span, first:stop], found, filled)
            _split(kinds, found, filled)
        starts[g] = p
        k = column + kinds[kind, 0]
        for j in range(filled[kind]):
            sources[p] = table[k, first + found[kind, j]]
            targets[p] = found[kind, j]
            p += 1
    starts[-1] = p


@njit(cache=True)
def _collect_runs(table, rows, kinds, begin, sources, targets, starts):  # type: ignore[no-untyped-def]
    # in two threads it would be done in half of a millisecond less, and compiled in a second more
    for tile in range(len(begin)):
        first, stop = tile * rows, min((tile + 1) * rows, table.shape[1])
        _runs_of_tile(table, first, stop, kinds, begin[tile], sources, targets, starts[tile])


@njit(cache=True)
def _classify(table, found, filled):  # type: ignore[no-untyped-def]
    """Rows of each kind of run, as in _KINDS."""
    # each row is written and the next one writes over it if there is none: a branch on what
    # exists would be foreseen wrongly most of the time
    span, n = table.shape
    a = b = c = d = e = f = 0
    if span == 3:
        for i in range(n):
            x, y, z = table[0, i], table[1, i], table[2, i]
            xy, yz = (x >= 0) & (y == x + 1), (y >= 0) & (z == y + 1)
            last = yz & (x < 0)  # else the pair of x, alone, would come after the run
            found[0, a] = found[1, b] = found[2, c] = i
            found[3, d] = found[4, e] = found[5, f] = i
            a += xy & yz
            b += xy & (not yz)
            c += last
            d += (x >= 0) & (not xy)
            e += (y >= 0) & (not xy) & (not last)
            f += (z >= 0) & (not (xy & yz)) & (not last)
    elif span == 2:
        for i in range(n):
            x, y = table[0, i], table[1, i]
            xy = (x >= 0) & (y == x + 1)
            found[0, a] = found[1, b] = found[2, c] = i
            a += xy
            b += (not xy) & (x >= 0)
            c += (not xy) & (y >= 0)
    else:
        for i in range(n):
            found[0, a] = i
            a += table[0, i] >= 0
    counts = (a, b, c, d, e, f)
    for kind in range(len(filled)):
        filled[kind] = counts[kind]


@njit(cache=True)
def _split(kinds, found, filled):  # type: ignore[no-untyped-def]
    """Runs that do not fill a block of rows become single pairs."""
    groups, span = len(kinds), kinds[0, 1]
    for kind in range(groups - span):
        whole = filled[kind] - filled[kind] % 8
        for j in range(whole, filled[kind]):
            for k in range(kinds[kind, 0], kinds[kind, 0] + kinds[kind, 1]):
                single = groups - span + k
                found[single, filled[single]] = found[kind, j]
                filled[single] += 1
        filled[kind] = whole


@njit(cache=True)
def _transpose(table, inputs):  # type: ignore[no-untyped-def]
    offsets, n = table.shape
    result = np.full((offsets, inputs), -1, np.int32)
    for k in range(offsets):
        for i in range(n):
            if table[k, i] >= 0:
                result[k, table[k, i]] = i
    return result
