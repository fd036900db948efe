"""Many broken files, in processes of their own, and what came of them."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from tests.faults.worker import Verdict

ROOT = Path(__file__).parents[2]
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def mutations(
    count: int, seed: int, *, workers: int = 1, only: str = "", keep: str = ""
) -> list[Verdict]:
    """Break and read so many files; see `tests.faults.worker.Job`."""
    edges = np.linspace(0, count, workers + 1).astype(int).tolist()
    jobs = [
        {"first": a, "stop": b, "seed": seed, "only": only, "keep": keep}
        for a, b in pairwise(edges)
    ]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker", json.dumps(job)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, **THREADS},
            text=True,
        )
        for job in jobs
    ]
    lines = [line for process in running for line in process.communicate()[0].splitlines()]
    return [Verdict(**json.loads(line)) for line in lines]


def table(verdicts: Sequence[Verdict]) -> str:
    """A row per sample, a column per outcome, in Markdown."""
    outcomes = list(dict.fromkeys(v.outcome for v in sorted(verdicts, key=lambda v: v.outcome)))
    rows = [_row("sample", ["tried", *outcomes]), _row("---", ["---:"] * (1 + len(outcomes)))]
    names = dict.fromkeys(v.sample for v in verdicts)
    rows += [_counts(name, [v for v in verdicts if v.sample == name], outcomes) for name in names]
    return "\n".join([*rows, _counts("all", verdicts, outcomes)])


def _counts(name: str, verdicts: Sequence[Verdict], outcomes: Iterable[str]) -> str:
    count = Counter(v.outcome for v in verdicts)
    return _row(name, [str(len(verdicts)), *(str(count[outcome]) for outcome in outcomes)])


def _row(name: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"
