"""Hits with their truth as a flat ROOT tree, as FlatRootReader reads it.

One entry per event: `run`, `subrun`, `event`; `x`, `y`, `z`, `t` and `charge` or `energy` of the
hits; and `<table>_<column>` for each column of a product of truth, such as `truth_particles_pid`.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from reco.data.product import Product
from reco.data.products import Header, Hits, Quantity
from reco.data.ragged import Ragged
from reco.errors import RecoError
from reco.io.flat_root import OPTIONAL, TABLES
from reco.io.whole import Whole

TREE = "hits"
VALUE = {Quantity.ENERGY: "energy", Quantity.CHARGE: "charge"}


def new_root_file(output: Whole, facts: Mapping[str, Any]) -> Any:
    """An open file at the temporary name of an output, with the JSON string `provenance`."""
    try:
        file = uproot.recreate(output.temporary)
        file["provenance"] = json.dumps(dict(facts), default=str)
    except OSError as error:
        raise output.refused(error) from None
    return file


class RootWriter(Whole):
    """Appends batches of events to a new ROOT file; it appears when the block ends well.

    path: the final name. provenance: JSON-able facts, stored as the string `provenance`.
    Raises RecoError when the file cannot be written.
    """

    def __init__(self, path: str | Path, provenance: Mapping[str, Any]) -> None:
        super().__init__(path)
        self._file = new_root_file(self, provenance)
        self._tree: Any = None

    def write(self, products: Iterable[Product]) -> None:
        """Append the events of one batch: Header, Hits, and products of truth or none."""
        batch: dict[str, ak.Array] = {}
        for product in products:
            batch |= branches_of(product)
        try:
            if self._tree is None:
                kinds = {name: rows.type.content for name, rows in batch.items()}
                self._tree = self._file.mktree(TREE, kinds, field_name=_name)
            self._tree.extend(batch)
        except OSError as error:
            raise RecoError(f"{self.path}: writing failed ({error.strerror})") from None

    def finish(self) -> None:
        if self._tree is None:
            self.write([Header.empty(0), Hits.empty(0)])

    def close(self) -> None:
        self._file.close()


def _name(table: str, column: str) -> str:
    return column if table in ("", TREE) else f"{table}_{column}"


def branches_of(product: Product) -> dict[str, ak.Array]:
    """Branch (or table of branches) -> an entry per event. Raises RecoError for other products."""
    if isinstance(product, Header):
        return {
            name: ak.Array(np.asarray(getattr(product, name)))
            for name in ("run", "subrun", "event")
        }
    if isinstance(product, Hits):
        return {TREE: _zip(_hit_columns(product))}
    if type(product) in TABLES:
        spec = product.columns()
        columns = {
            part: rows
            for f, data in product.items()
            if isinstance(data, Ragged) and spec[f.name].name not in OPTIONAL
            for part, rows in _parts(spec[f.name].parts, data).items()
        }
        return {next(iter(spec.values())).table: _zip(columns)}
    raise RecoError(f"{type(product).__name__} has no place in a ROOT file of hits")


def _hit_columns(hits: Hits) -> dict[str, Ragged]:
    kinds = np.unique(hits.quantity)
    if len(kinds) > 1:
        raise RecoError("the hits of a file must all have a charge, or all an energy")
    value = VALUE[Quantity(int(kinds[0]))] if len(kinds) else VALUE[Quantity.ENERGY]
    return _parts(["x", "y", "z"], hits.position) | {value: hits.value, "t": hits.time}


def _parts(names: list[str], data: Ragged) -> dict[str, Ragged]:
    if len(names) == 1:
        return {names[0]: data}
    return {name: data.like(data.values[:, i]) for i, name in enumerate(names)}


def _zip(columns: dict[str, Ragged]) -> ak.Array:
    first = next(iter(columns.values()))
    record = ak.contents.RecordArray(
        [ak.contents.NumpyArray(np.ascontiguousarray(rows.values)) for rows in columns.values()],
        list(columns),
    )
    offsets = ak.index.Index64(first.offsets)
    return ak.Array(ak.contents.ListOffsetArray(offsets, record))
