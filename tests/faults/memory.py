"""Resident memory over many events, and runs that may not have more.

`python -m tests.faults.memory SOURCE OUTPUT BYTES` runs the whole chain with so many bytes of room
beside those it has after its first events.
"""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reco.pipeline import Pipeline
from tests.conftest import ROOT

SAMPLE = ROOT / "data_samples" / "lartpc.h5"


def limit(room: int) -> None:
    """Refuse this process more than so many bytes of addresses beside those it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))


def resident() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass(frozen=True)
class Growth:
    """events: read. before, after: mean bytes in memory over the second quarter and the last."""

    events: int
    before: float
    after: float

    @property
    def relative(self) -> float:
        return self.after / self.before - 1

    def __str__(self) -> str:
        apart = 2 / self.events * (self.after - self.before)
        return (
            f"{self.events} events: {self.before / 1e6:.0f} MB in the second quarter, "
            f"{self.after / 1e6:.0f} MB in the last: {self.relative:+.2%}, {apart:+.0f} per event"
        )


def growth(pipeline: Pipeline, source: Path, events: int) -> Growth:
    """Of resident memory, over at least so many events, read again and again."""
    seen: list[int] = []
    done = 0
    while done < events:
        for _ in pipeline.run(source):
            done += 1
        seen.append(resident())
    quarters = np.array_split(np.array(seen, float), 4)
    return Growth(done, float(quarters[1].mean()), float(quarters[3].mean()))


def main() -> None:
    source, output, room = sys.argv[1:]
    chain = Pipeline.load("lartpc", ["run.device=cpu", "run.threads=1", "run.batch_size=4"])
    chain.process(SAMPLE, output, stop=2)
    limit(int(room))
    chain.process(source, output, overwrite=True)


if __name__ == "__main__":
    main()
