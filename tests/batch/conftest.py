"""Small inputs, a pipeline without networks, and the command line as a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from reco.pipeline import Pipeline
from tests.conftest import ROOT
from tests.test_cli import hits_file

GRID = "tests.stages_for_tests:Grid: {threshold: 0.1}"
SLOW = "tests.batch.stages:Slow"


def pipeline(folder: Path, *, stage: str = "tests.stages_for_tests:Classify: {}") -> Path:
    """A pipeline file; of two hits an event makes two voxels, of which one is a point."""
    stages = [GRID, stage, "tests.stages_for_tests:Brightest: {}"]
    path = folder / "chain.yaml"
    path.write_text("\n  ".join(["stages:", *stages]) + "\nrun: {batch_size: 2}\n")
    return path


def energies(n_events: int, seed: int) -> list[list[float]]:
    random = np.random.default_rng(seed)
    return [random.uniform(0.2, 9, random.integers(0, 5)).tolist() for _ in range(n_events)]


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Two files, of 11 and of 6 events; some are empty."""
    return [
        hits_file(tmp_path / f"{name}.h5", *energies(n, n)) for name, n in (("a", 11), ("b", 6))
    ]


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return pipeline(tmp_path)


def in_one_process(chain: Path, inputs: list[Path], folder: Path) -> dict[str, Any]:
    """All columns as `reco run` writes them, the files one after the other."""
    folder.mkdir(exist_ok=True)
    parts = []
    for path in inputs:
        output = folder / f"{path.stem}_run.h5"
        Pipeline.load(chain).process(path, output, overwrite=True)
        parts.append(columns(output))
    return {name: _joined(name, [part[name] for part in parts]) for name in parts[0]}


def _joined(name: str, parts: list[Any]) -> Any:
    if not name.endswith("offsets"):
        return np.concatenate(parts)
    whole = parts[0]
    for part in parts[1:]:
        whole = np.concatenate([whole, part[1:] + whole[-1]])
    return whole


def columns(path: Path) -> dict[str, Any]:
    """Every dataset of a file, with its name."""
    with h5py.File(path) as file:
        return {f"{t}/{c}": file[t][c][()] for t in file for c in file[t]}


def same_bits(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[k].dtype == wanted[k].dtype and found[k].tobytes() == wanted[k].tobytes()
        for k in wanted
    )


def begin(*words: object, **environment: str) -> "subprocess.Popen[str]":
    """`reco ...` in a process group of its own, on one thread."""
    settings = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "reco.cli", *map(str, words)],
        env=os.environ | settings | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 600) -> None:
    """Give up, and fail, after so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes put here are ended with the test."""
    begun: list[subprocess.Popen[str]] = []
    yield begun
    for process in begun:
        process.kill()
        process.wait()
