"""All shards into one file, table by table: the file that one process would have written."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from reco.batch.manifest import Ledger, Shard, ledger, path_of
from reco.digest import sha256_of
from reco.errors import RecoError
from reco.io.store import Growing, NewFile
from reco.pipeline.lock import locked

OFFSETS = "offsets"
ROWS = 1 << 16
"""Copied at a time: they stay in the cache of the processor."""

Columns = dict[str, tuple[Growing, str]]
"""By their path in the file, `table/name`, with type and shape of their rows."""


@dataclass(frozen=True)
class Merged:
    """events: in the file. missing: work items that are not. unreadable: inputs without any."""

    path: Path
    events: int
    missing: int
    unreadable: int


def merge(
    folder: Path,
    path: Path,
    *,
    partial: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Merged:
    """Write what is recorded in a folder, in the order of the files and of their events.

    partial: also where items are missing, or inputs that could not be read. Raises RecoError where
    there are such, where a shard is not what was recorded, and where shards differ in how they were
    made or in the type of a column.
    """
    book = ledger(folder)
    chosen = [book.shards[item] for item in book.items() if item in book.shards]
    missing = book.missing()
    unreadable = [file.path for file in book.files.values() if file.problem]
    if not chosen:
        raise RecoError(f"{folder}: nothing to merge; `reco submit` makes shards")
    if missing and not partial:
        raise RecoError(
            f"{folder}: {len(missing)} items are missing, the first is {missing[0]}; "
            "`reco submit` again makes them, --partial leaves them out"
        )
    if unreadable and not partial:
        raise RecoError(
            f"{folder}: {len(unreadable)} inputs could not be read, the first is {unreadable[0]}; "
            "`reco status` says why, --partial leaves them out"
        )
    events = sum(shard.events for _, shard in chosen)
    columns: Columns = {}
    done = 0
    with locked(path), NewFile(path) as out:
        for root, shard in chosen:
            _append(out.file, columns, path_of(root, shard.name), shard)
            out.check()
            done += shard.events
            if progress:
                progress(done, events)
        _check_lengths(out.file)
        first = path_of(chosen[0][0], chosen[0][1].name)
        _describe(out.file, book, first, bool(missing or unreadable))
    return Merged(path, events, len(missing), len(unreadable))


def _append(out: h5py.File, columns: Columns, path: Path, shard: Shard) -> None:
    if not path.is_file() or sha256_of(path) != shard.sha256:
        raise RecoError(
            f"{path}: is not what was recorded (damaged or gone); remove it, `reco submit` again "
            "makes it anew"
        )
    with h5py.File(path, "r") as file:
        for table, group in file.items():
            for name, column in group.items():
                key = f"{table}/{name}"
                if key not in columns:
                    columns[key] = _like(out.require_group(table), name, column), _kind(column)
                rows, kind = columns[key]
                if _kind(column) != kind:
                    raise RecoError(
                        f"{path}: {key} has rows of {_kind(column)}, but of {kind} in the shards "
                        "before: made by another state of reco; make all again, in another folder"
                    )
                _copy(column, rows, sums=name == OFFSETS)


def _kind(column: h5py.Dataset) -> str:
    return f"{column.dtype}{list(column.shape[1:]) or ''}"


def _like(group: h5py.Group, name: str, column: h5py.Dataset) -> Growing:
    made = group.create_dataset(
        name,
        shape=(0, *column.shape[1:]),
        maxshape=column.maxshape,
        dtype=column.dtype,
        chunks=column.chunks,
        compression=column.compression,
    )
    for key, value in column.attrs.items():
        made.attrs[key] = value
    rows = Growing(made)
    if name == OFFSETS:
        rows.append(np.zeros(1, np.int64))
    return rows


def _copy(column: h5py.Dataset, target: Growing, *, sums: bool) -> None:
    if sums:
        target.append_sums(np.diff(column[()]))
        return
    for first in range(0, len(column), ROWS):
        target.append(column[first : first + ROWS])


def _check_lengths(out: h5py.File) -> None:
    """A shard without a column has no rows in its table; all others were added to each column."""
    for table, group in out.items():
        wrong = {len(column) for name, column in group.items() if name != OFFSETS}
        if OFFSETS in group:
            wrong.discard(int(group[OFFSETS][-1]))
        if len(wrong) > (OFFSETS not in group):
            raise RecoError(f"table {table!r}: shards have different columns; were they changed?")


def _describe(out: h5py.File, book: Ledger, first: Path, partial: bool) -> None:
    with h5py.File(first, "r") as file:
        for key, value in file.attrs.items():
            out.attrs[key] = value
    facts: dict[str, Any] = json.loads(out.attrs["provenance"])
    inputs = [
        {"path": f.path, "sha256": f.identity, "events": f.events} for f in book.files.values()
    ]
    shards = {shard.facts for _, shard in book.shards.values()}
    events = sum(file.events for file in book.files.values())
    facts |= {
        "input": inputs[0] if len(inputs) == 1 else {"path": f"{len(inputs)} files"},
        "inputs": inputs,
        "events": [0, events],
        "made_with": [json.loads(shard) for shard in sorted(shards)],
        "partial": partial,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    out.attrs["provenance"] = json.dumps(facts)
