"""A file of reco in the formats of others: ROOT, Parquet, CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reco.data.product import EVENTS
from reco.errors import RecoError
from reco.io.export import TableWriter
from reco.io.export_csv import CsvTables
from reco.io.export_parquet import ParquetTables
from reco.io.export_root import RootTables
from reco.io.tables import StoredTables
from reco.io.whole import check_replaceable
from reco.suggest import unknown

FORMATS = ("ttree", "rntuple", "parquet", "csv")
BY_NAME = {".root": "ttree", ".parquet": "parquet", ".csv": "csv"}
"""Ending of the output -> format, where none is asked for."""
LARGE = ("voxels", "truth_voxels", "hits", "truth_deposits")
"""Tables that are not written as CSV unless they are asked for."""
EVENTS_PER_BATCH = 256


@dataclass(frozen=True)
class Conversion:
    """What was done. tables: those written. left_out: tables, and fields as table.column, that
    the format cannot hold or that were not asked for by name where they are large."""

    path: Path
    format: str
    events: int
    tables: tuple[str, ...]
    left_out: tuple[str, ...]


def convert(
    path: str | Path,
    output: str | Path,
    *,
    format: str | None = None,
    tables: Sequence[str] = (),
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write the tables of a file of reco to another format.

    format: ttree, rntuple, parquet or csv; None: what the name of the output ends in. tables:
    those to write, and `events` always; none: all (csv: all small ones). progress: called with
    the events done and in all. Raises RecoError when a format or table is not known, the output
    exists (unless overwrite) or cannot be written; nothing is left half-written.
    """
    output = Path(output)
    chosen = format_of(output, format)
    _check_free(output, Path(path), overwrite)
    with StoredTables(path) as stored:
        names = _names(stored, tables, chosen)
        with _writer(output, chosen, stored) as writer:
            done = 0
            for batch in stored.batches(names, EVENTS_PER_BATCH):
                writer.write(batch)
                done += len(batch.entry)
                if progress is not None:
                    progress(done, len(stored))
        lost = [name for name in stored.names if name not in names and not tables]
        left_out = (*lost, *writer.left_out)
        return Conversion(output, chosen, len(stored), tuple(names), left_out)


def format_of(output: Path, wanted: str | None) -> str:
    """One of FORMATS. Raises RecoError where neither the name nor the wish tells which."""
    if wanted is not None:
        if wanted not in FORMATS:
            raise RecoError(unknown(f"no format {wanted!r}", wanted, FORMATS))
        return wanted
    if output.suffix not in BY_NAME:
        raise RecoError(
            f"{output}: its name does not tell the format; end it in {', '.join(BY_NAME)}, "
            f"or say --format {'|'.join(FORMATS)}"
        )
    return BY_NAME[output.suffix]


def _names(stored: StoredTables, wanted: Sequence[str], chosen: str) -> list[str]:
    for name in wanted:
        if name not in stored.names:
            raise RecoError(
                unknown(f"{stored.path}: no table {name!r}", name, stored.names, "it has")
            )
    if wanted:
        return [name for name in stored.names if name in wanted or name == EVENTS]
    return [name for name in stored.names if chosen != "csv" or name not in LARGE]


def _writer(output: Path, chosen: str, stored: StoredTables) -> TableWriter:
    columns = {
        table: {name: {"unit": unit, "doc": doc} for name, (unit, doc) in about.items()}
        for table, about in stored.about.items()
    }
    facts: dict[str, Any] = {"provenance": stored.provenance, "columns": columns}
    if chosen == "parquet":
        return ParquetTables(output, facts, stored.about)
    if chosen == "csv":
        return CsvTables(output, facts)
    return RootTables(output, facts, ntuple=chosen == "rntuple")


def _check_free(output: Path, path: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if path.exists() and output.samefile(path):
        raise RecoError(f"{output}: is the input itself; choose another output with -o")
    if not overwrite:
        raise RecoError(f"{output}: exists; add --overwrite or choose another output with -o")
    check_replaceable(output)
