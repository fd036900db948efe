"""Speed of the shipped pipeline: latency, throughput, what limits it, large events, start-up.

    python benchmarks/chain.py --events 20

- A stage is timed on every event alone; minimum and median over the events. The latency is their
  sum without reading, writing, and the stages for truth, which a run on data does not have.
- Events/s are those of runs in batches as `reco run` makes them, from reading to writing, after
  start-up: one process with one thread and with all, and one process on each core.
- Large events are simulated ones laid over each other, mirrored at random. The exponent is the
  slope of log time over log voxels.
- The start-up is the time of `reco run --stop 1` as a process of its own, from nothing to its exit:
  first with an empty cache of compiled kernels, as on a machine that never ran it, then again.

Nothing is printed unless every run has reconstructed every event.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reco.data.products import Hits, Voxels
from reco.data.ragged import Ragged
from reco.pipeline import Pipeline, Summary
from reco.pipeline.source import open_source

ROOT = Path(__file__).parents[1]
UNET = "segment"
BESIDE = ("read", "truth_voxels", "labels", "matches", "write")
"""What is not of the latency: files, and the stages for truth."""
REPORTED = 31_500
"""Voxels of the large event whose time is printed by itself."""


@dataclass(frozen=True)
class Job:
    """What is run: a pipeline on the first events of a file."""

    pipeline: str
    file: Path
    events: int | None
    threads: int

    def load(self, batch_size: int | None = None) -> Pipeline:
        batches = [] if batch_size is None else [f"run.batch_size={batch_size}"]
        return Pipeline.load(self.pipeline, [f"run.threads={self.threads}", *batches])


def checked(summary: Summary) -> Summary:
    """Leave without figures where anything failed."""
    if summary.failed or not summary.events:
        reason = summary.failures[0] if summary.failures else "the file has no events"
        sys.exit(f"no figures: {summary.failed} of {summary.events} events failed ({reason})")
    return summary


def per_event(job: Job, folder: Path) -> dict[str, np.ndarray]:
    """Milliseconds of each stage for each event alone, after one event that warms up; of writing,
    the mean in a file that takes one event after the other."""
    pipe = job.load(batch_size=1)
    checked(pipe.process(job.file, folder / "warm.h5", stop=1))
    whole = checked(pipe.process(job.file, folder / "all.h5", stop=job.events))
    times: dict[str, list[float]] = {}
    for i in range(whole.events):
        output = folder / f"{i}.h5"
        summary = checked(pipe.process(job.file, output, start=i, stop=i + 1))
        output.unlink()
        for stage, seconds in summary.stage_seconds.items():
            times.setdefault(stage, []).append(1e3 * seconds)
    times["write"] = [1e3 * whole.stage_seconds["write"] / whole.events] * whole.events
    return {stage: np.array(ms) for stage, ms in times.items()}


def in_batches(job: Job, folder: Path, start: int = 0, stop: int | None = None) -> Summary:
    """A run as the pipeline file has it, after one that warms up."""
    pipe = job.load()
    name = f"{start}_{stop}_{job.threads}"
    checked(pipe.process(job.file, folder / f"first_{name}.h5", stop=1))
    return checked(pipe.process(job.file, folder / f"{name}.h5", start=start, stop=stop))


def in_processes(job: Job, folder: Path, n: int, events: int) -> float:
    """Events/s of n processes with one thread each, that share the events."""
    cuts = np.linspace(0, events, n + 1).astype(int).tolist()
    parts = [(replace(job, threads=1), folder, *cuts[i : i + 2]) for i in range(n)]
    with multiprocessing.get_context("spawn").Pool(n) as pool:
        seconds = max(s.seconds for s in pool.starmap(in_batches, parts, chunksize=1))
    return events / seconds


def overlaid(events: Iterable[Hits], mirror: np.ndarray, n_hits: int) -> Hits:
    """One event of about n_hits hits. mirror: (3,) cm, twice the middle of the detector."""
    rng = np.random.default_rng(0)
    position, value, time_ = [], [], []
    pool, have = list(events), 0
    while have < n_hits:
        hits = pool[int(rng.integers(len(pool)))]
        place = hits.position.values
        place = np.where(rng.random(3) < 0.5, place, mirror - place)
        position.append(place)
        value.append(hits.value.values)
        time_.append(hits.time.values)
        have += len(place)
    columns = (Ragged.one(np.concatenate(rows)[:n_hits]) for rows in (position, value, time_))
    return Hits(*columns, quantity=pool[0].quantity)


def large(job: Job, sizes: Iterable[int]) -> list[tuple[int, float]]:
    """(voxels, seconds) of events of about these numbers of voxels; the better of two runs."""
    pipe = job.load(batch_size=1)
    with open_source(job.file, pipe.config.input) as source:
        pool = [source.read(i, i + 1)[Hits] for i in range(min(len(source), job.events or 50))]
    detector = pipe.detector
    found = []
    for size in sizes:
        hits = overlaid(pool, detector.lower + detector.upper, size)
        times = []
        for _ in range(2):
            began = time.perf_counter()
            event = pipe(hits)
            times.append(time.perf_counter() - began)
        found.append((len(event.products[Voxels].energy.values), min(times)))
    return found


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


def stages_table(times: dict[str, np.ndarray]) -> list[str]:
    chain = sum(ms for stage, ms in times.items() if stage not in BESIDE)
    share = 100 * np.median(times[UNET] / chain)
    rows = {**times, "latency": chain}
    return [
        f"share of the U-Net {share:.0f} %",
        "",
        f"{'ms per event':18s} {'min':>8s} {'median':>8s}",
        *(f"{n:18s} {ms.min():8.1f} {np.median(ms):8.1f}" for n, ms in rows.items()),
    ]


def events_table(found: list[tuple[int, float]]) -> list[str]:
    voxels, seconds = np.array(found).T
    slope = np.polyfit(np.log(voxels), np.log(seconds), 1)[0] if len(found) > 1 else float("nan")
    reported = np.exp(np.interp(np.log(REPORTED), np.log(voxels), np.log(seconds)))
    lines = [f"{v:10,.0f} voxels {s:10.3f} s {1e6 * s / v:8.1f} us/voxel" for v, s in found]
    return ["", *lines, f"exponent {slope:.2f}; {REPORTED:,} voxels {reported:.2f} s"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "data_samples" / "lartpc.h5")
    parser.add_argument("--pipeline", default=str(ROOT / "pipelines" / "lartpc.yaml"))
    parser.add_argument("--events", type=int, help="the first of the file; default all")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--largest", type=int, default=300_000, help="voxels, about; 0: none")
    options = parser.parse_args()
    job = Job(options.pipeline, options.file.resolve(), options.events, options.threads)
    sizes = [n for n in (1000, 3300, 10_000, REPORTED, 100_000) if n < options.largest]
    sizes += [options.largest] * (options.largest > 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = start_up(job, folder)
        times = per_event(job, folder)
        one = in_batches(replace(job, threads=1), folder, stop=job.events)
        run = in_batches(job, folder, stop=job.events)
        shared = in_processes(job, folder, job.threads, run.events)
        found = large(job, sizes)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    lines = [
        f"machine            {processor()}, {os.cpu_count()} cores, load {load}",
        f"file               {job.file.name}, {run.events} events",
        f"voxels per event   {run.rows['voxels'] / run.events:.0f}",
        f"start-up           {begin[0]:.1f} s first ever, {begin[1]:.1f} s after",
        f"events/s           {one.events / one.seconds:.2f} with 1 thread, "
        f"{run.events / run.seconds:.2f} with {job.threads}, "
        f"{shared:.2f} with {job.threads} processes",
        f"peak memory        {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB",
        *stages_table(times),
        *(events_table(found) if found else []),
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
