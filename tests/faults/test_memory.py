"""An event that does not fit into memory, in the whole chain."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.data.classes import Status
from reco.data.products import Header, Hits
from reco.data.ragged import Ragged, offsets_of
from reco.io.store import StoredProducts, Writer
from tests.conftest import ROOT
from tests.faults.memory import SAMPLE

ROOM = 150_000_000
"""Enough for events of the sample, and not for a hundred of them in one."""
MIRRORS = np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)])


def source(path: Path, *, giant: bool) -> Path:
    """Two events of the sample; between them, if asked for, all of it at once and mirrored."""
    with StoredProducts(SAMPLE) as stored:
        hits: Hits = stored.read(0, len(stored), [Hits])[0]
    position, value, time = hits.position, hits.value, hits.time
    copies = MIRRORS[:6, None] * position.values
    events = [(position[0], value[0], time[0]), (position[1], value[1], time[1])]
    if giant:
        many = np.tile(value.values, 6), np.tile(time.values, 6)
        events.insert(1, (copies.reshape(-1, 3), *many))
    offsets, number = offsets_of([len(x) for _, x, _ in events]), np.arange(len(events))
    columns = (Ragged(np.concatenate(rows), offsets) for rows in zip(*events, strict=True))
    with Writer(path, {}) as out:
        header = Header(run=number, subrun=number, event=number, entry=number)
        out.write([header, Hits(*columns, quantity=hits.quantity[: len(events)])])
    return path


def run(source: Path, output: Path) -> dict[str, bytes]:
    """The columns of all tables with rows."""
    words = [sys.executable, "-m", "tests.faults.memory", source, output, ROOM]
    done = subprocess.run([*map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    with h5py.File(output) as file:
        tables = {name: group for name, group in file.items() if name != "events"}
        return {
            f"{name}/{column}": rows[()].tobytes()
            for name, group in tables.items()
            for column, rows in group.items()
            if column != "offsets"
        }


@pytest.mark.slow
def test_an_event_that_memory_does_not_hold_is_set_aside(tmp_path: Path) -> None:
    found = run(source(tmp_path / "a.h5", giant=True), tmp_path / "a.out")
    wanted = run(source(tmp_path / "b.h5", giant=False), tmp_path / "b.out")
    assert found == wanted
    with h5py.File(tmp_path / "a.out") as file:
        status, message = file["events/status"][()], file["events/message"][1].decode()
    assert status.tolist() == [Status.OK, Status.FAILED, Status.OK]
    assert ": does not fit into memory (" in message
