"""`python -m tests.faults.worker JOB`: breaks files and reads them, in children that may die.

The parent loads everything once; each child is forked from it with a bound on its memory and on
its time, takes a few hundred cases, and is followed by another when it dies.
"""

import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tests.faults.corpus import Sample, samples
from tests.faults.judge import GOOD, Judge
from tests.faults.memory import limit
from tests.faults.mutate import KINDS, Whole, mutate

MEMORY = 3 << 30
"""Bytes of address space that reading one small file may add: uproot believes the size that a key
states, up to 2 GiB, until its bytes say otherwise; none of it is touched before."""
SECONDS = 20
"""Of the processor that one file may take before it counts as a hang."""
SLEEP = 1200
"""Seconds without a word after which a child counts as hanging asleep."""
CASES = 200
"""Cases of one child."""


@dataclass(frozen=True)
class Job:
    """first, stop: numbers of the cases. only: part of a sample's name. keep: folder for the files
    of bad cases."""

    first: int
    stop: int
    seed: int
    only: str = ""
    keep: str = ""


@dataclass(frozen=True)
class Verdict:
    """What came of one case."""

    case: int
    sample: str
    kind: str
    outcome: str
    message: str


class Breaker:
    """The cases of a job: number -> sample, kind of mutation and seed."""

    def __init__(self, job: Job, chosen: list[Sample], folder: Path) -> None:
        self.job, self.samples = job, chosen
        self.path = folder / "broken"
        self.judges = [Judge(sample) for sample in chosen]
        self.wholes = [Whole.of(sample.path) for sample in chosen]

    def names(self, case: int) -> tuple[int, str]:
        turn, sample = divmod(case, len(self.samples))
        return sample, list(KINDS)[turn % len(KINDS)]

    def write(self, case: int) -> None:
        sample, kind = self.names(case)
        rng = np.random.default_rng([self.job.seed, case])
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(mutate(self.wholes[sample], kind, rng))

    def judge(self, case: int) -> Verdict:
        sample, kind = self.names(case)
        self.write(case)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        outcome, message = self.judges[sample](self.path, truncated=kind == "truncation")
        signal.setitimer(signal.ITIMER_PROF, 0)
        return self.verdict(case, outcome, message)

    def verdict(self, case: int, outcome: str, message: str) -> Verdict:
        sample, kind = self.names(case)
        if outcome not in GOOD and self.job.keep:
            shutil.copy(self.path, Path(self.job.keep) / f"{case}_{outcome}")
        return Verdict(case, self.samples[sample].name, kind, outcome, message[:300])


def child(breaker: Breaker, first: int, stop: int, pipe: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    limit(MEMORY)
    for case in range(first, stop):
        line = json.dumps(asdict(breaker.judge(case))) + "\n"
        os.write(pipe, line.encode())


def cases(breaker: Breaker, first: int, stop: int) -> int:
    """Run some cases in a child; prints the verdicts and gives the case to go on from."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            child(breaker, first, stop, writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    done, rest = first, b""
    while select.select([reading], [], [], SLEEP)[0]:
        part = os.read(reading, 1 << 16)
        if not part:
            break
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            report(line.decode())
        done += len(lines)
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if done == stop:
        return stop
    hung = status in (-signal.SIGPROF, -signal.SIGKILL)
    died = breaker.verdict(done, "hang" if hung else "crash", f"status {status}")
    report(json.dumps(asdict(died)))
    return done + 1


def report(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        chosen = [s for s in samples(Path(folder)) if job.only in s.name]
        breaker = Breaker(job, chosen, Path(folder))
        case = job.first
        while case < job.stop:
            case = cases(breaker, case, min(case + CASES, job.stop))


if __name__ == "__main__":
    main()
