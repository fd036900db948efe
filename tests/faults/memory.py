"""Resident memory over many events, and runs that may not have more.

`python -m tests.faults.memory SOURCE OUTPUT BYTES` runs the whole chain with so many bytes of room
beside those it has after its first events.
"""

import ctypes
import gc
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


HEAP = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class _Heap(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [(name, ctypes.c_size_t) for name in HEAP.split()]


def held() -> int:
    """Bytes that malloc has given out and not got back."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Heap
    heap = mallinfo()
    return int(heap.uordblks + heap.hblkhd)


@dataclass(frozen=True)
class Growth:
    """events: read. before, after: mean bytes in memory over the second quarter and the last.

    slope, error: of a straight line through what malloc holds in all but the first quarter, bytes
    per event. What is resident goes up and down by a megabyte, and would tell of a day only after
    hours.
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
        day = f"{DAY * self.slope / 1e6:+.1f} +- {DAY * self.error / 1e6:.1f} MB"
        return (
            f"{self.events} events: {self.before / 1e6:.1f} MB in the second quarter, "
            f"{self.after / 1e6:.1f} MB in the last: {self.relative:+.2%}; held by malloc "
            f"{self.slope:+.1f} +- {self.error:.1f} bytes per event, {day} in {DAY} events"
        )


def growth(pipeline: Pipeline, source: Path, events: int) -> Growth:
    """Over at least so many events, read again and again."""
    seen: list[tuple[int, int]] = []
    done = 0
    while done < events:
        for _ in pipeline.run(source):
            done += 1
        gc.collect()
        seen.append((resident(), held()))
    levels, heap = np.array(seen, float).T
    quarters = np.array_split(levels, 4)
    settled = heap[len(quarters[0]) :]
    line = linregress(np.arange(len(settled)) * done / len(seen), settled)
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
