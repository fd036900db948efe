"""Resident memory over many events, and runs that may not have more.

`python -m tests.faults.memory SOURCE OUTPUT BYTES` runs the whole chain with so many bytes of room
beside those it has after its first events.
"""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import linregress

from reco.pipeline import Pipeline
from tests.conftest import ROOT

SAMPLE = ROOT / "data_samples" / "lartpc.h5"
DAY = 1_000_000
"""Events of a day, at twelve a second."""


def limit(room: int) -> None:
    """Refuse this process more than so many bytes of addresses beside those it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))


def resident() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass(frozen=True)
class Growth:
    """events: read. before, after: mean bytes in memory over the second quarter and the last.

    slope, error: bytes per event, of a straight line through all but the first quarter.
    """

    events: int
    before: float
    after: float
    slope: float
    error: float

    @property
    def relative(self) -> float:
        return self.after / self.before - 1

    def __str__(self) -> str:
        day = f"{DAY * self.slope / 1e6:+.0f} +- {DAY * self.error / 1e6:.0f} MB"
        return (
            f"{self.events} events: {self.before / 1e6:.1f} MB in the second quarter, "
            f"{self.after / 1e6:.1f} MB in the last: {self.relative:+.2%}; {self.slope:+.0f} +- "
            f"{self.error:.0f} bytes per event, which would be {day} for {DAY} events"
        )


def growth(pipeline: Pipeline, source: Path, events: int) -> Growth:
    """Of resident memory, over at least so many events, read again and again."""
    seen: list[int] = []
    done = 0
    while done < events:
        for _ in pipeline.run(source):
            done += 1
        seen.append(resident())
    levels = np.array(seen, float)
    quarters = np.array_split(levels, 4)
    settled = levels[len(quarters[0]) :]
    line = linregress(np.arange(len(settled)) * done / len(levels), settled)
    means = float(quarters[1].mean()), float(quarters[3].mean())
    return Growth(done, *means, float(line.slope), float(line.stderr))


def main() -> None:
    source, output, room = sys.argv[1:]
    chain = Pipeline.load("lartpc", ["run.device=cpu", "run.threads=1", "run.batch_size=4"])
    chain.process(SAMPLE, output, stop=2)
    limit(int(room))
    chain.process(source, output, overwrite=True)


if __name__ == "__main__":
    main()
