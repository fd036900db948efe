"""Resident memory over many events."""

import resource
from pathlib import Path

import numpy as np

from reco.pipeline import Pipeline


def resident() -> int:
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def growth(pipeline: Pipeline, source: Path, events: int) -> float:
    """Relative growth of resident memory, over at least so many events read again and again.

    It is the mean of the last quarter of all looks over that of the second quarter.
    """
    seen: list[int] = []
    done = 0
    while done < events:
        for _ in pipeline.run(source):
            done += 1
        seen.append(resident())
    looks = np.array_split(np.array(seen, float), 4)
    return float(looks[3].mean() / looks[1].mean() - 1)
