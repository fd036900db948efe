"""What an output tells of how it was made."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import reco
from reco.config import PipelineConfig
from reco.detector import Detector
from reco.errors import ConfigError
from reco.io.remote import is_url
from reco.pipeline.source import Source
from reco.stages.base import Stage

PACKAGES = ("torch", "numpy", "numba", "awkward", "h5py", "uproot")
WHOLE = 256 * 2**20
"""Bytes up to which a file is hashed in full; of a larger one, its first and last MiB."""
_MIB = 2**20


def provenance(
    config: PipelineConfig,
    detector: Detector,
    stages: Mapping[str, Stage],
    source: Source,
    events: range,
) -> dict[str, Any]:
    """JSON-able facts: configuration as resolved, versions, weights, input, time.

    stages: those that ran, by name; a stage that has weights says so by `weights_sha256`.
    """
    resolved = config.model_dump(mode="json")
    resolved["stages"] = {n: stage.options.model_dump(mode="json") for n, stage in stages.items()}
    return {
        "pipeline": resolved,
        "detector": asdict(detector),
        "stages": list(stages),
        # with those of the stages that `--from` does not repeat
        "weights": {**source.provenance.get("weights", {}), **_weights(stages)},
        "device": sorted({str(stage.context.device) for stage in stages.values()}),
        "precision": sorted({str(stage.context.precision) for stage in stages.values()}),
        "versions": versions(),
        "commit": commit(),
        "input": fingerprint(source.path) | {"format": source.format},
        "input_provenance": source.provenance,
        "events": [events.start, events.stop],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def check_grid(path: str | Path, facts: Mapping[str, Any], detector: Detector) -> None:
    """Raises ConfigError where stored products, by their provenance, lie on another grid."""
    made, wanted = facts.get("detector"), json.loads(json.dumps(asdict(detector)))
    if made and _grid(made) != _grid(wanted):
        raise ConfigError(
            f"{path}: its products lie on the grid of the detector {made['name']!r}, which is not "
            f"that of {detector.name!r}; set the one they were made with (--set detector=...), or "
            "start from the hits"
        )


def _grid(detector: Mapping[str, Any]) -> list[Any]:
    corners = [(volume["lower"], volume["upper"]) for volume in detector["volumes"]]
    return [detector["voxel_size"], corners]


def _weights(stages: Mapping[str, Stage]) -> dict[str, str]:
    found = {name: getattr(stage, "weights_sha256", None) for name, stage in stages.items()}
    return {name: sha256 for name, sha256 in found.items() if sha256}


def versions() -> dict[str, str]:
    """Of Python and the packages that a result may depend on."""
    found = {"reco": reco.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


@cache
def commit() -> str | None:
    """Git commit of the checkout that runs, with `-dirty` where it was changed; else None."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    ask = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def fingerprint(path: str | Path) -> dict[str, Any]:
    """Path, size in bytes, SHA-256 of a file, and what of it was hashed (of a URL nothing)."""
    if is_url(path):
        return {"path": str(path), "size": None, "sha256": None, "hashed": "nothing"}
    path = Path(path)
    size = path.stat().st_size
    whole = size <= WHOLE
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if whole:
            while block := file.read(_MIB):
                digest.update(block)
        else:
            digest.update(file.read(_MIB))
            file.seek(size - _MIB)
            digest.update(file.read(_MIB))
    hashed = "all" if whole else "first and last MiB"
    return {"path": str(path), "size": size, "sha256": digest.hexdigest(), "hashed": hashed}
