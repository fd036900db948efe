"""Small files written for the tests, and what the tests ask of readers."""

from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import uproot

from reco.data.product import Product
from reco.data.products import Hits
from reco.data.ragged import Array, Ragged

COUNTS = (5, 0, 1, 2, 40)


def jagged(counts: tuple[int, ...], seed: int = 1) -> dict[str, ak.Array]:
    """x, y, z in -100..100 cm, a charge and a time."""
    rng = np.random.default_rng(seed)
    total = sum(counts)
    flat = {axis: rng.uniform(-100, 100, total) for axis in "xyz"}
    flat |= {"charge": rng.uniform(0, 50, total), "t": rng.uniform(0, 1000, total)}
    return {n: ak.unflatten(v.astype(np.float32), np.array(counts)) for n, v in flat.items()}


def write_tree(path: Path, columns: dict[str, Any], name: str = "hits") -> Path:
    with uproot.recreate(path) as file:
        kinds = {
            n: v.type.content if isinstance(v, ak.Array) else v.dtype for n, v in columns.items()
        }
        tree = file.mktree(name, kinds)
        tree.extend(columns)
    return path


def write_ntuple(path: Path, columns: dict[str, Any]) -> Path:
    with uproot.recreate(path) as file:
        file.mkrntuple("hits", columns)
    return path


def write_groups(path: Path, columns: dict[str, Any], group: str = "hits") -> Path:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[f"{group}/{name}"] = values
    return path


def write_rows(path: Path, columns: dict[str, Array], name: str = "hits") -> Path:
    rows = np.empty(len(next(iter(columns.values()))), [(n, v.dtype) for n, v in columns.items()])
    for column, values in columns.items():
        rows[column] = values
    with h5py.File(path, "w") as file:
        file[name] = rows
    return path


def product(products: tuple[Product, ...], kind: type[Product]) -> Any:
    return next(p for p in products if type(p) is kind)


def hits(products: tuple[Product, ...]) -> Hits:
    return product(products, Hits)


def same(a: tuple[Product, ...], b: tuple[Product, ...]) -> bool:
    """Whether two reads gave the same products with the same numbers."""
    pairs = zip(a, b, strict=True)
    return all(type(p) is type(q) and _same_product(p, q) for p, q in pairs)


def _same_product(a: Product, b: Product) -> bool:
    return all(
        np.array_equal(_values(x), _values(y), equal_nan=_values(x).dtype.kind == "f")
        and (not isinstance(x, Ragged) or np.array_equal(x.offsets, y.offsets))
        for (_, x), (_, y) in zip(a.items(), b.items(), strict=True)
    )


def _values(column: Any) -> Array:
    return column.values if isinstance(column, Ragged) else column
