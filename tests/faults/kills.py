"""Runs that are killed at a random moment, and what is found afterwards."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from reco.pipeline import Pipeline

KILLED = -signal.SIGKILL
LONGEST = 300
"""Seconds after which a child is ended: a fork of a process with threads may wait for ever."""


def in_child(action: Callable[[], object], *, kill_after: float | None = None) -> int:
    """Carry out an action in a forked child; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        signal.alarm(LONGEST)
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tables(path: Path) -> dict[str, bytes]:
    """The bytes of every column of an output."""
    columns: dict[str, bytes] = {}

    def add(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            columns[name] = f"{node.dtype}{node.shape}".encode() + node[()].tobytes()

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return columns


def kill_often(pipeline: Pipeline, source: Path, folder: Path, kills: int) -> dict[str, int]:
    """Kill a run at random moments, go on after each. Counts of what was found.

    Raises AssertionError where a run leaves a broken output, or the next one is not as the first.
    """
    wanted_path, output = folder / "wanted.h5", folder / "out.h5"
    began = time.monotonic()
    assert in_child(lambda: pipeline.process(source, wanted_path)) == 0
    took = time.monotonic() - began
    wanted, rng = tables(wanted_path), np.random.default_rng(kills)
    found = {"killed before the end": 0, "complete": 0}
    for _ in range(kills):
        status = in_child(
            lambda: pipeline.process(source, output, overwrite=True),
            kill_after=float(rng.uniform(0, 1.2 * took)),
        )
        assert status in (0, KILLED)
        found["killed before the end" if status else "complete"] += 1
        if output.exists():
            assert tables(output) == wanted
            output.unlink()
    assert in_child(lambda: pipeline.process(source, output)) == 0
    assert tables(output) == wanted
    left = {path.name for path in folder.iterdir()} - {source.name, wanted_path.name, output.name}
    assert not left, f"left behind: {left}"
    return found
