"""Ways to break a file, each a matter of the bytes and of a seed."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import uproot

from reco.data.ragged import Array

Block = tuple[int, int]
"""First byte, and bytes, of a basket (ROOT) or chunk (HDF5)."""
HOSTILE = (0, 1, -1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1)
"""What a length becomes."""
END = 20_000
"""Bytes at the end where ROOT keeps its keys, and HDF5 often its tables."""
HEAD = 3_000


@dataclass(frozen=True)
class Whole:
    """A file to break. data: (B,) uint8. free: (F,) positions outside the blocks."""

    data: Array
    blocks: tuple[Block, ...]
    free: Array

    @classmethod
    def of(cls, path: Path) -> "Whole":
        data = np.frombuffer(path.read_bytes(), np.uint8)
        blocks = tuple(block for block in blocks_of(path) if block[0] + block[1] <= len(data))
        taken = np.zeros(len(data), bool)
        for first, size in blocks:
            taken[first : first + size] = True
        return cls(data, blocks, np.flatnonzero(~taken))


def blocks_of(path: Path) -> list[Block]:
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            nodes: list[Any] = []
            file.visititems(lambda _, node: nodes.append(node))
            datasets = [node.id for node in nodes if isinstance(node, h5py.Dataset)]
            return list(chain.from_iterable(map(_chunks, datasets)))
    with uproot.open(path) as file:
        trees = file.values(filter_classname="TTree")
        branches = chain.from_iterable(tree.itervalues() for tree in trees)
        return list(chain.from_iterable(map(_baskets, branches)))


def _chunks(dataset: Any) -> list[Block]:
    if dataset.get_create_plist().get_layout() == h5py.h5d.CHUNKED:
        infos = [dataset.get_chunk_info(i) for i in range(dataset.get_num_chunks())]
        return [(info.byte_offset, info.size) for info in infos]
    offset = dataset.get_offset()
    return [] if offset is None else [(offset, dataset.get_storage_size())]


def _baskets(branch: Any) -> list[Block]:
    keys = [branch.basket_key(i) for i in range(branch.num_baskets)]
    return [(int(key.fSeekKey), int(key.fNbytes)) for key in keys]


def mutate(whole: Whole, kind: str, rng: np.random.Generator) -> bytes:
    """One of KINDS."""
    return KINDS[kind](whole, rng).tobytes()


def _places(whole: Whole, rng: np.random.Generator, count: int) -> Array:
    """Anywhere, or outside the blocks, or in the head, or at the end."""
    size = len(whole.data)
    match rng.integers(4):
        case 0:
            return rng.integers(0, size, count)
        case 1 if len(whole.free):
            return rng.choice(whole.free, count)
        case 2:
            return rng.integers(0, min(HEAD, size), count)
        case _:
            return rng.integers(max(size - END, 0), size, count)


def _bits(whole: Whole, rng: np.random.Generator) -> Array:
    data = whole.data.copy()
    at = _places(whole, rng, int(rng.integers(1, 5)))
    data[at] ^= (1 << rng.integers(0, 8, len(at))).astype(np.uint8)
    return data


def _bytes(whole: Whole, rng: np.random.Generator) -> Array:
    data = whole.data.copy()
    at = _places(whole, rng, int(rng.integers(1, 12)))
    data[at] ^= rng.integers(1, 256, len(at)).astype(np.uint8)
    return data


def _truncation(whole: Whole, rng: np.random.Generator) -> Array:
    return whole.data[: _places(whole, rng, 1)[0]]


def _splice(whole: Whole, rng: np.random.Generator) -> Array:
    """A basket, or any piece, over another."""
    data = whole.data.copy()
    if len(whole.blocks) > 1 and rng.random() < 0.7:
        i, j = rng.choice(len(whole.blocks), 2, replace=False)
        (source, size), (target, room) = whole.blocks[i], whole.blocks[j]
        size = min(size, room)
    else:
        size = int(rng.integers(1, max(len(data) // 8, 2)))
        source, target = rng.integers(0, len(data) - size + 1, 2)
    data[target : target + size] = whole.data[source : source + size]
    return data


def _length(whole: Whole, rng: np.random.Generator) -> Array:
    """A number that is a length, or could be one, becomes another."""
    data = whole.data.copy()
    width = int(rng.choice([2, 4, 8]))
    at = int(min(_places(whole, rng, 1)[0], max(len(data) - width, 0)))
    order = "little" if rng.random() < 0.5 else "big"
    old = int.from_bytes(data[at : at + width].tobytes(), order)
    near = (old + 1, old - 1, old * 2, old * 256, old // 2)
    new = int(rng.choice(HOSTILE)) if rng.random() < 0.5 else near[rng.integers(len(near))]
    raw = (new % 256**width).to_bytes(width, order)
    data[at : at + width] = np.frombuffer(raw, np.uint8)[: len(data) - at]
    return data


def _shift(whole: Whole, rng: np.random.Generator) -> Array:
    """Bytes are lost or come in, and all that follows stands elsewhere."""
    at, size = int(_places(whole, rng, 1)[0]), int(rng.integers(1, 65))
    rest = at if rng.random() < 0.5 else min(at + size, len(whole.data))
    new = rng.integers(0, 256, size if rest == at else 0).astype(np.uint8)
    return np.concatenate([whole.data[:at], new, whole.data[rest:]])


KINDS: dict[str, Callable[[Whole, np.random.Generator], Array]] = {
    "bits": _bits,
    "bytes": _bytes,
    "truncation": _truncation,
    "splice": _splice,
    "length": _length,
    "shift": _shift,
}
