"""`reco evaluate`."""

import sys
from pathlib import Path

from rich.console import Console

from reco.cli.console import progress
from reco.data.bundle import Bundle
from reco.data.classes import Status
from reco.data.products import Outcome, TruthParticles
from reco.errors import RecoError
from reco.io.store import StoredProducts
from reco.metrics.evaluate import Evaluation
from reco.metrics.tables import Settings, Tables

EVENTS_PER_READ = 64
WIDTH = 110
"""Characters of a line where there is no terminal to ask."""


def evaluate_file(path: Path, json: Path | None, baselines: bool) -> None:
    """Print the report of an output, and write it as JSON where asked to."""
    with StoredProducts(path, partial=True) as stored, progress("evaluate") as report:
        voxel_size = stored.provenance.get("detector", {}).get("voxel_size")
        if voxel_size is None or Outcome not in stored.products:
            raise RecoError(f"{path}: not the output of `reco run` (it names no detector)")
        if TruthParticles not in stored.products:
            raise RecoError(f"{path}: holds no truth to compare with")
        evaluation = Evaluation(Settings(voxel_size=voxel_size, baselines=baselines))
        failed = 0
        for start in range(0, len(stored), EVENTS_PER_READ):
            chunk = Bundle(tuple(stored.read(start, min(start + EVENTS_PER_READ, len(stored)))))
            failed += int((chunk[Outcome].status == Status.FAILED).sum())
            evaluation.update(Tables.of(chunk))
            report(evaluation.events, len(stored))
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
