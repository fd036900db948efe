"""Reads a broken file as a run does, and says what came of it."""

import re
from pathlib import Path

import numpy as np

import reco
from reco.cli.inspect import inspect_file
from reco.config import check
from reco.data.classes import Status
from reco.data.products import Outcome
from reco.data.ragged import Ragged
from reco.errors import RecoError
from reco.event import Event
from reco.io.inspect import inspect_lines
from reco.io.recognise import open_input
from reco.io.tables import StoredTables
from reco.pipeline import Pipeline
from tests.faults.corpus import STORED, Sample

READ = 3
"""Events read of each file."""
GOOD = ("whole", "error", "partial", "changed")
"""whole: as the file was. error: one message that names the file. partial: some events as they
were, a message for each of the others. changed: other numbers, which no checksum gives away."""
STAGES = {"voxelize": {}, "truth_voxels": {}, "labels": {}}
FOREIGN = re.compile(r"^\w+: (\w+(Error|Exception|Warning)|error|Stop\w+)\b")
"""An event's message that begins with the name of an exception, and so is not for a user."""

Known = dict[int, list[np.ndarray]]
"""Entry -> the columns of its products."""


class Judge:
    """What reading one sample, whole or broken, comes to."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        options = {"stages": STAGES, "run": {"device": "cpu", "threads": 1}}
        config = check(options).model_copy(update={"input": sample.branches})
        self.pipeline = Pipeline(config)
        self.whole = self._output(sample.path) if sample.name == STORED else self._events()

    def _events(self) -> Known:
        events = list(self.pipeline.run(self.sample.path, stop=READ))
        assert all(event.status is not Status.FAILED for event in events), events[0].message
        return {event.entry: columns_of(event) for event in events}

    def __call__(self, path: Path, *, truncated: bool) -> tuple[str, str]:
        """(outcome, message): one of GOOD, or `memory`, `unnamed`, `uncaught` or `prefix`."""
        try:
            said, read = self._read(path)
        except RecoError as error:
            said, read = [str(error)], {}
        except MemoryError:
            return "memory", "MemoryError"
        except Exception as error:
            return "uncaught", f"{type(error).__name__}: {error}"
        return self._weigh(path, said, read, truncated)

    def _read(self, path: Path) -> tuple[list[str], Known]:
        if self.sample.name == STORED:
            return [], self._output(path)
        with open_input(path, self.sample.branches) as reader:
            inspect_lines(reader.describe())
        events = list(self.pipeline.run(path, stop=READ))
        failed = [event for event in events if event.status is Status.FAILED]
        good = [event for event in events if event.status is not Status.FAILED]
        return [e.message for e in failed], {e.entry: columns_of(e) for e in good}

    def _weigh(self, path: Path, said: list[str], read: Known, truncated: bool) -> tuple[str, str]:
        for message in said:
            if "MemoryError" in message or "Unable to allocate" in message:
                return "memory", message
            if FOREIGN.match(message):
                return "uncaught", message
            if message.startswith("read: ") and str(path) not in message:
                return "unnamed", message
        differ = [n for n, event in read.items() if not same(event, self.whole.get(n, []))]
        if truncated and differ:
            return "prefix", f"entries {differ} differ"
        if differ:
            return "changed", ""
        if said:
            return ("partial" if read else "error"), said[0]
        return ("whole" if len(read) == len(self.whole) else "changed"), ""

    def _output(self, path: Path) -> Known:
        """An output of reco, as all that reads one sees it."""
        inspect_file(str(path), None, ())
        with reco.open(path) as file:
            tables = [getattr(file, name) for name in file.tables]
        known = [np.array([len(table)]) for table in tables]
        with StoredTables(path) as stored:
            for batch in stored.batches(stored.names, 2):
                known += [v for rows in batch.tables.values() for v in rows.columns.values()]
        return {0: known}


def columns_of(event: Event) -> list[np.ndarray]:
    """All numbers of an event but its status."""
    products = [product for product in event.products if not isinstance(product, Outcome)]
    columns = [data for product in products for _, data in product.items()]
    return [data.values if isinstance(data, Ragged) else data for data in columns]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in zip(a, b, strict=True)
    )
