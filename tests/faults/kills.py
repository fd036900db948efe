"""Runs that are killed at a random moment, and what is found afterwards."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import h5py
import numpy as np

from reco.batch.manifest import SHARDS, ledger
from reco.batch.merge import merge
from reco.batch.plan import WorkItem
from reco.cli.app import app
from reco.digest import sha256_of
from tests.batch.conftest import pipeline

KILLED = -signal.SIGKILL
LONGEST = 900
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


def command(*words: object) -> None:
    """`reco WORDS`, without a word."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        assert not app([*map(str, words)], prog_name="reco", standalone_mode=False)


def tables(path: Path) -> dict[str, bytes]:
    """The bytes of every column of an output."""
    columns: dict[str, bytes] = {}

    def add(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            columns[name] = f"{node.dtype}{node.shape}".encode() + node[()].tobytes()

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return columns


def kill_often(
    action: Callable[[], object], look: Callable[[bool], None], kills: int
) -> dict[str, int]:
    """Begin an action so often and kill it at a random moment. Counts of what was found.

    look: is called after each with whether it came to its end, and raises what is wrong.
    """
    began, rng = time.monotonic(), np.random.default_rng(kills)
    assert in_child(action) == 0
    took = time.monotonic() - began
    look(True)
    found = {"killed before the end": 0, "complete": 0}
    for _ in range(kills):
        status = in_child(action, kill_after=float(rng.uniform(0, 1.2 * took)))
        assert status in (0, KILLED)
        found["killed before the end" if status else "complete"] += 1
        look(status == 0)
    assert in_child(action) == 0
    look(True)
    return found


def kill_runs(source: Path, folder: Path, kills: int) -> dict[str, int]:
    """`reco run`: no output is left that is not whole, and at the end nothing else."""
    chain, output, wanted_path = pipeline(folder), folder / "out.h5", folder / "wanted.h5"
    known = {chain.name, source.name, wanted_path.name}
    assert in_child(lambda: command("run", chain, source, "-o", wanted_path)) == 0
    wanted = tables(wanted_path)

    def look(complete: bool) -> None:
        if complete or output.exists():
            assert tables(output) == wanted
            output.unlink()
        left = {path.name for path in folder.iterdir()} - known
        assert not (complete and left), f"left behind: {left}"

    return kill_often(lambda: command("run", chain, source, "-o", output), look, kills)


def kill_submitters(source: Path, folder: Path, kills: int) -> dict[str, int]:
    """`reco submit`, gone on with each time: what is recorded is whole and never lost, and at the
    end there is every event once, with the bits of `reco run`."""
    chain, output, wanted_path = pipeline(folder), folder / "shards", folder / "wanted_too.h5"
    assert in_child(lambda: command("run", chain, source, "-o", wanted_path)) == 0
    wanted, recorded = tables(wanted_path), set[WorkItem]()

    def look(complete: bool) -> None:
        shards = ledger(output).shards
        assert recorded <= shards.keys()
        for place, shard in shards.values():
            assert sha256_of(place / shard.name) == shard.sha256
        recorded.update(shards)
        if complete:
            names = {shard.name for _, shard in shards.values()}
            found = (output / SHARDS).glob("*/*")
            assert {path.relative_to(output).as_posix() for path in found} == names
            merge(output, folder / "merged.h5")
            assert tables(folder / "merged.h5") == wanted
            shutil.rmtree(output)
            recorded.clear()

    words = ("submit", chain, source, "-o", output, "--events", 5, "-j", 1)
    return kill_often(lambda: command(*words), look, kills)
