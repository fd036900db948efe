"""What running in pieces costs: two workers against one, and the bookkeeping of many items.

    python benchmarks/batch.py speed                    # events, one worker and then two: minutes
    python benchmarks/batch.py scale --items 100000     # no events: manifest, status, Dask alone

`speed` makes items of the default size, of the sample's 20 events again and again, so that no
worker waits for another at the end. Start-up of the workers is left out: each makes 20 events
before the clock starts.
"""

import argparse
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from reco import config
from reco.batch import engine
from reco.batch.engine import Result, on_workers, workers
from reco.batch.manifest import NAME, SHARDS, Shard, ledger
from reco.batch.merge import merge
from reco.batch.plan import EVENTS_PER_ITEM, WorkItem
from reco.batch.run import Request, carry_out, plan
from reco.batch.site import Local
from reco.batch.worker import Job
from reco.cli.submit import lines
from reco.data.products import Header, Hits
from reco.data.ragged import Ragged
from reco.io.store import StoredProducts, Writer

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data_samples" / "lartpc.h5"
FACTS = '{"weights": {}}'


@dataclasses.dataclass
class Spent:
    """wall, cpu: seconds; cpu is of this process, and does not depend on what else runs."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def timing(self) -> Iterator["Spent"]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield self
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu

    def per(self, n: int) -> str:
        return f"{1e3 * self.wall / n:.2f} ms ({1e3 * self.cpu / n:.2f} ms CPU)"

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.cpu:.1f} s CPU)"


class Clock:
    """Wraps an engine. engine, manifest: what is spent in the one and in the other."""

    def __init__(self, client: object, run: Callable[[Job, WorkItem], Result]) -> None:
        self.client, self.run = client, run
        self.engine, self.manifest = Spent(), Spent()

    def __call__(self, job: Job, items: Sequence[WorkItem]) -> Iterator[list[Result]]:
        results = iter(on_workers(self.client, self.run, job, items, tries=1))
        while True:
            with self.engine.timing():
                batch = next(results, None)
            if batch is None:
                return
            with self.manifest.timing():
                yield batch


def nothing(job: Job, item: WorkItem) -> Shard:
    """An empty shard."""
    name = f"{SHARDS}/{item.start // 1000}/{item.start}.h5"
    path = Path(job.folder, name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return Shard(item, name, "", 0, 0, 0, 0.0, FACTS)


def silent(done: int, total: int, failures: Iterable[object]) -> None:
    pass


def timed(what: Callable[[], object]) -> Spent:
    with Spent().timing() as spent:
        what()
    return spent


def repeated(path: Path, events: int) -> Path:
    """The events of the sample, again and again."""
    with StoredProducts(SAMPLE) as stored, Writer(path, stored.provenance) as out:
        for first in range(0, events, len(stored)):
            out.write(stored.read(0, min(len(stored), events - first)))
    return path


def speed(folder: Path, items: int, size: int) -> None:
    """Events of the sample; merging is of what two workers made."""
    source = repeated(folder / "events.h5", items * size)
    names = [Path(shutil.copy(SAMPLE, folder / f"{i}.h5")) for i in range(2)]
    pipeline = config.load("lartpc")
    rates, book = [], None
    for n in (1, 2):
        request = Request(pipeline, [source], folder / str(n), size)
        warm = dataclasses.replace(request, output=folder / f"warm{n}", paths=names[:n])
        with workers(Local(kind="local", workers=n), folder, tries=1) as client:
            client.wait_for_workers(n)
            carry_out(warm, Clock(client, engine.attempt), silent)
            clock = Clock(client, engine.attempt)
            book = carry_out(request, clock, silent)
        events = sum(shard.events for _, shard in book.shards.values())
        rates.append(events / clock.engine.wall)
        seconds = sum(shard.seconds for _, shard in book.shards.values())
        stored = sum(shard.bytes for _, shard in book.shards.values())
        print(f"{n} workers: {events} events, {rates[-1]:.2f} events/s")
    merging = timed(lambda: merge(folder / "2", folder / "merged.h5"))
    print(f"two over one: {rates[1] / rates[0]:.2f}")
    print(f"manifest: {clock.manifest.per(items)} per item")
    print(f"merge: {merging.per(items)} per shard, {stored / merging.wall / 1e6:.0f} MB/s")
    print(f"both: {100 * (clock.manifest.wall + merging.wall) / seconds:.2f} % of the work")


def scale(folder: Path, items: int) -> None:
    """One event without hits for each item, and nothing done with it."""
    number = np.arange(items)
    none = Ragged(np.zeros(0), np.zeros(items + 1, np.int64))
    position = Ragged(np.zeros((0, 3)), none.offsets)
    hits = Hits(position=position, value=none, time=none, quantity=number * 0)
    with Writer(folder / "empty.h5", {}) as out:
        out.write([Header(run=number, subrun=number, event=number, entry=number), hits])
    request = Request(config.load("lartpc"), [folder / "empty.h5"], folder / "out", 1)
    with workers(Local(kind="local", workers=2), folder, tries=1) as client:
        clock = Clock(client, nothing)
        book = carry_out(request, clock, silent)
    assert len(book.shards) == items
    size = (folder / "out" / NAME).stat().st_size
    print(f"{items} items without events, two workers")
    print(f"Dask: {clock.engine.per(items)} per item")
    print(f"manifest: {clock.manifest.per(items)} per item, {size / 1e6:.0f} MB")
    print(f"status: {timed(lambda: lines(request.output, ledger(request.output)))}")
    print(f"resume: {timed(lambda: plan(request))} until the first item")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "scale"])
    parser.add_argument("--events", type=int, default=EVENTS_PER_ITEM, help="per item of `speed`")
    parser.add_argument("--items", type=int, help="2 of `speed`, 100,000 of `scale`")
    options = parser.parse_args()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}")
    with tempfile.TemporaryDirectory() as name:
        if options.what == "speed":
            speed(Path(name), options.items or 2, options.events)
        else:
            scale(Path(name), options.items or 100_000)


if __name__ == "__main__":
    main()
