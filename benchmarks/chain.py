"""Speed of the shipped pipeline, from the file to the output, and of its start-up.

    python benchmarks/chain.py --events 20 --threads 2

Every event passes alone, so that a stage has a time per event: minimum and median over the events
are printed. The rate is that of a run in batches, as `reco run` makes them, after start-up. The
start-up is the time of `reco run --stop 1` as a process of its own, from nothing to its exit: first
with an empty cache of compiled kernels, as on a machine that never ran it, then again. Nothing is
printed unless every run has reconstructed every event.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reco.pipeline import Pipeline, Summary

ROOT = Path(__file__).parents[1]
UNET = "segment"


@dataclass(frozen=True)
class Job:
    """What is run: a pipeline on the first events of a file."""

    pipeline: str
    file: Path
    events: int | None
    threads: int

    def settings(self, batch_size: int | None = None) -> list[str]:
        batches = [] if batch_size is None else [f"run.batch_size={batch_size}"]
        return [f"run.threads={self.threads}", *batches]


def checked(summary: Summary) -> Summary:
    """Leave without figures where anything failed."""
    if summary.failed or not summary.events:
        reason = summary.failures[0].message if summary.failures else "the file has no events"
        sys.exit(f"no figures: {summary.failed} of {summary.events} events failed ({reason})")
    return summary


def per_event(job: Job, folder: Path) -> dict[str, np.ndarray]:
    """Milliseconds of each stage for each event alone, after one event that warms up."""
    pipe = Pipeline.load(job.pipeline, job.settings(batch_size=1))
    checked(pipe.process(job.file, folder / "warm.h5", stop=1))
    n_events = checked(pipe.process(job.file, folder / "all.h5", stop=job.events)).events
    times: dict[str, list[float]] = {}
    for i in range(n_events):
        output = folder / f"{i}.h5"
        summary = checked(pipe.process(job.file, output, start=i, stop=i + 1))
        output.unlink()
        for stage, seconds in summary.stage_seconds.items():
            times.setdefault(stage, []).append(1e3 * seconds)
    return {stage: np.array(ms) for stage, ms in times.items()}


def in_batches(job: Job, folder: Path) -> Summary:
    """A run as the pipeline file has it, after one that warms up."""
    pipe = Pipeline.load(job.pipeline, job.settings())
    checked(pipe.process(job.file, folder / "first.h5", stop=1))
    return checked(pipe.process(job.file, folder / "batches.h5", stop=job.events))


def start_up(job: Job, folder: Path) -> tuple[float, float]:
    """Seconds of a first and of a second `reco run --stop 1`."""
    words = [sys.executable, "-m", "reco.cli", "run", job.pipeline, str(job.file), "--stop", "1"]
    words += ["--threads", str(job.threads), "--overwrite", "-o", str(folder / "one.h5")]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "kernels")}
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True)
        seconds.append(time.perf_counter() - began)
        if done.returncode:
            sys.exit(f"no figures: start-up failed\n{done.stderr}")
    return seconds[0], seconds[1]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def report(job: Job, times: dict[str, np.ndarray], run: Summary, begin: tuple[float, float]) -> str:
    whole = sum(times.values())
    share = 100 * np.median(times[UNET] / whole)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    lines = [
        f"machine            {processor()}, {os.cpu_count()} cores, load {load}",
        f"threads            {job.threads}",
        f"file               {job.file.name}, {run.events} events",
        f"voxels per event   {run.rows['voxels'] / run.events:.0f}",
        f"events/s           {run.events / run.seconds:.2f}",
        f"share of the U-Net {share:.0f} %",
        f"peak memory        {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB",
        f"start-up           {begin[0]:.1f} s first ever, {begin[1]:.1f} s after",
        "",
        f"{'ms per event':18s} {'min':>8s} {'median':>8s}",
    ]
    rows = {**times, "all": whole}
    lines += [f"{n:18s} {ms.min():8.1f} {np.median(ms):8.1f}" for n, ms in rows.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "data_samples" / "lartpc.h5")
    parser.add_argument("--pipeline", default=str(ROOT / "pipelines" / "lartpc.yaml"))
    parser.add_argument("--events", type=int, help="the first of the file; default all")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    job = Job(options.pipeline, options.file.resolve(), options.events, options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = start_up(job, folder)
        run = in_batches(job, folder)
        times = per_event(job, folder)
    print(report(job, times, run, begin))


if __name__ == "__main__":
    main()
