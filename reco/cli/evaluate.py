"""`reco evaluate`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from reco.cli.console import progress
from reco.data.bundle import Bundle
from reco.data.classes import Status
from reco.data.products import Outcome, TruthParticles
from reco.errors import RecoError
from reco.io.store import StoredProducts
from reco.metrics.evaluate import Evaluation
from reco.metrics.headlines import summary
from reco.metrics.report import Report
from reco.metrics.tables import Settings, Tables
from reco.output import Output

EVENTS_PER_READ = 64
WIDTH = 130
"""Characters of a line where there is no terminal to ask."""


def evaluate_file(
    path: Path, json: Path | None, page: Path | None, baselines: bool, whole: bool
) -> None:
    """Print the figures that count, or all; write them as JSON, and as a page, where asked to."""
    with StoredProducts(path, partial=True) as stored, progress("evaluate") as report:
        if TruthParticles not in stored.products and Outcome in stored.products:
            raise RecoError(f"{path}: holds no truth to compare with")
        evaluation = Evaluation(_settings(path, stored, baselines))
        failed = 0
        for start in range(0, len(stored), EVENTS_PER_READ):
            chunk = Bundle(tuple(stored.read(start, min(start + EVENTS_PER_READ, len(stored)))))
            failed += int((chunk[Outcome].status == Status.FAILED).sum())
            evaluation.update(Tables.of(chunk))
            report(evaluation.events, len(stored))
        facts = _facts(path, stored.provenance)
    result = evaluation.report()
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    if whole:
        result.print(console)
    else:
        console.print(summary(result))
        print(f"the figures that count, of {len(result.rows)}; --all prints every one")
    if failed:
        print(f"note: {failed} events failed and count in no figure", file=sys.stderr)
    if json is not None:
        result.write_json(json)
    if page is not None:
        print(f"report in {_write_page(result, facts, path, page)}")


def _settings(path: Path, stored: StoredProducts, baselines: bool) -> Settings:
    detector = stored.provenance.get("detector", {})
    voxel_size = detector.get("voxel_size")
    if voxel_size is None or Outcome not in stored.products:
        raise RecoError(f"{path}: not the output of `reco run` (it names no detector)")
    lower, upper = (
        tuple(map(best, zip(*(volume[corner] for volume in detector["volumes"]), strict=True)))
        for corner, best in (("lower", min), ("upper", max))
    )
    return Settings(voxel_size=voxel_size, baselines=baselines, lower=lower, upper=upper)


def _facts(path: Path, provenance: Mapping[str, Any]) -> dict[str, str]:
    """What the figures hold for."""
    versions, source = provenance.get("versions", {}), provenance.get("input", {})
    facts = {
        "output": path.name,
        "input": f"{source.get('path', 'unknown')}, SHA-256 {source.get('sha256', 'unknown')}",
        "made by": f"reco {versions.get('reco', '?')}, commit {provenance.get('commit', '?')}",
        "detector": str(provenance.get("detector", {}).get("name", "?")),
        "simulated": str(_first(provenance).get("simulated", "no")),
    }
    weights = provenance.get("weights", {})
    return facts | {f"weights of {name}": str(sha) for name, sha in weights.items()}


def _first(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the file that all began with, however many runs went `--from` one to the next."""
    while before := provenance.get("input_provenance"):
        provenance = before
    return provenance


def _write_page(result: Report, facts: Mapping[str, str], path: Path, folder: Path) -> Path:
    try:
        from reco.report import write_report
    except ModuleNotFoundError:
        raise RecoError(
            "matplotlib is not installed; for --report: pip install 'lartpc-reco[view]'"
        ) from None
    with Output(path) as events:
        scenes = (events[score.event].scene for score in result.worst)
        return write_report(result, facts, scenes, folder)
