"""`reco evaluate`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from rich.console import Console

from reco.cli.console import progress
from reco.data.classes import Status
from reco.data.product import EVENTS, Column, Product
from reco.data.ragged import Array, Ragged
from reco.errors import RecoError
from reco.io.store import PRODUCTS, StoredProducts
from reco.metrics.evaluate import Evaluation
from reco.metrics.tables import Settings, Tables

EVENTS_PER_READ = 64
WIDTH = 110
"""Characters of a line where there is no terminal to ask."""


def evaluate_file(path: Path, json: Path | None, baselines: bool) -> None:
    """Print the report of an output, and write it as JSON where asked to."""
    with StoredProducts(path) as stored:
        n_events, facts = len(stored), stored.provenance
    voxel_size = facts.get("detector", {}).get("voxel_size")
    if voxel_size is None:
        raise RecoError(f"{path}: not the output of `reco run` (it names no detector)")
    evaluation = Evaluation(Settings(voxel_size=voxel_size, baselines=baselines))
    with h5py.File(path, "r") as file, progress("evaluate") as report:
        if "truth_particles" not in file:
            raise RecoError(f"{path}: holds no truth to compare with")
        for tables in read_tables(file, n_events):
            evaluation.update(tables)
            report(evaluation.events, n_events)
        failed = int((file[EVENTS]["status"][:] == Status.FAILED).sum())
    result = evaluation.report()
    console = Console()
    result.print(console if console.is_terminal else Console(width=WIDTH))
    if failed:
        print(f"note: {failed} events failed and count in no figure", file=sys.stderr)
    if json is not None:
        _write(json, result.to_json())


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise RecoError(f"{path}: cannot be written ({error.strerror})") from None


def read_tables(file: h5py.File, n_events: int) -> Iterator[Tables]:
    """The products of an output in chunks; internal columns that it lacks are zeros."""
    kinds = [kind for kind in PRODUCTS if _is_public(file, kind)]
    for start in range(0, n_events, EVENTS_PER_READ):
        events = slice(start, min(start + EVENTS_PER_READ, n_events))
        yield Tables.of(_read(file, kind, events) for kind in kinds)


def _is_public(file: h5py.File, kind: type[Product]) -> bool:
    needed = [spec for spec in kind.columns().values() if not spec.internal]
    return all(f"{spec.table}/{part}" in file for spec in needed for part in spec.parts)


def _read(file: h5py.File, kind: type[Product], events: slice) -> Product:
    return kind(**{name: _column(file, spec, events) for name, spec in kind.columns().items()})


def _column(file: h5py.File, spec: Column, events: slice) -> Array | Ragged:
    group = file[spec.table]
    if spec.table == EVENTS:
        return np.asarray(group[spec.name][events])
    offsets = group["offsets"][events.start : events.stop + 1]
    rows = slice(int(offsets[0]), int(offsets[-1]))
    if spec.parts[0] not in group:
        shape = (rows.stop - rows.start, *(max(n, 0) for n in spec.shape))
        return Ragged(np.zeros(shape, spec.dtype), offsets - offsets[0])
    parts = [group[part][rows] for part in spec.parts]
    values = parts[0] if len(parts) == 1 else np.stack(parts, axis=-1)
    return Ragged(values, offsets - offsets[0])
