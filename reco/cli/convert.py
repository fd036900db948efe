"""`reco convert`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from reco.cli.console import progress
from reco.convert import convert


def convert_file(
    path: Path, output: Path, format: str | None, tables: Sequence[str], overwrite: bool
) -> None:
    """Convert a file and say what was written and what was not. Raises RecoError."""
    with progress("convert") as report:
        done = convert(
            path, output, format=format, tables=tables, overwrite=overwrite, progress=report
        )
    print(f"{done.events} events written to {done.path} as {done.format}: {', '.join(done.tables)}")
    if done.left_out:
        print(
            f"note: {done.path}: left out: {', '.join(done.left_out)}{_way_out(done.format)}",
            file=sys.stderr,
        )


def _way_out(format: str) -> str:
    return {
        "ttree": " (a TTree holds no text in lists; --format rntuple does)",
        "csv": " (large; ask for them with --table, or take parquet)",
    }.get(format, "")
