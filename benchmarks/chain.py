"""Speed of the shipped pipeline: latency, throughput, what limits it, large events, start-up.

    python benchmarks/chain.py --events 20
    python benchmarks/chain.py --million

- A stage is timed on every event alone, the better of two times; median over the events. The
  latency is their sum without reading, writing, and the stages for truth, which a run on data does
  not have.
- Events/s are those of runs in batches as `reco run` makes them, from reading to writing, after
  start-up: one process with one thread and with all, and one process on each core.
- Events of a given size are simulated ones laid over each other, mirrored at random; the best of
  three times, with one thread and with all. The exponent is the
  slope of log time over log voxels.
- The start-up is the time of `reco run --stop 1` as a process of its own, from nothing to its exit:
  first with an empty cache of compiled kernels, as on a machine that never ran it, then again.
- With --million, instead of all that: one event of some million voxels, once, its time and memory;
  the events that are laid over each other are moved too, anywhere in the detector.

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
REPORTED = (3300, 31_500)
"""Voxels of the events whose times are printed by themselves."""
MILLION = 1_020_000
"""Hits that make a million voxels."""


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
    """Milliseconds of each stage for each event alone, the better of two; of writing, the mean in
    a file that takes one event after the other."""
    pipe = job.load(batch_size=1)
    checked(pipe.process(job.file, folder / "warm.h5", stop=1, overwrite=True))
    whole = checked(pipe.process(job.file, folder / "all.h5", stop=job.events, overwrite=True))
    times: dict[str, list[float]] = {}
    for i in range(whole.events):
        output = folder / f"{i}.h5"
        runs = [checked(pipe.process(job.file, output, start=i, stop=i + 1, overwrite=True))]
        runs += [checked(pipe.process(job.file, output, start=i, stop=i + 1, overwrite=True))]
        output.unlink()
        for stage in runs[0].stage_seconds:
            best = min(run.stage_seconds[stage] for run in runs)
            times.setdefault(stage, []).append(1e3 * best)
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


def overlaid(
    events: Iterable[Hits], lower: np.ndarray, upper: np.ndarray, n_hits: int, move: bool
) -> Hits:
    """One event of about n_hits hits. lower, upper: (3,) cm, of the detector."""
    rng = np.random.default_rng(0)
    position, value, time_ = [], [], []
    pool, have = list(events), 0
    while have < n_hits:
        hits = pool[int(rng.integers(len(pool)))]
        place = hits.position.values
        place = np.where(rng.random(3) < 0.5, place, lower + upper - place)
        if move:
            place = place + rng.uniform(lower - place.min(axis=0), upper - place.max(axis=0))
        position.append(place)
        value.append(hits.value.values)
        time_.append(hits.time.values)
        have += len(place)
    columns = (Ragged.one(np.concatenate(rows)[:n_hits]) for rows in (position, value, time_))
    return Hits(*columns, quantity=pool[0].quantity)


def large(
    job: Job, sizes: Iterable[int], runs: int = 3, move: bool = False
) -> list[tuple[int, float]]:
    """(voxels, seconds) of events of about these numbers of voxels; the best of the runs."""
    pipe = job.load(batch_size=1)
    with open_source(job.file, pipe.config.input) as source:
        pool = [source.read(i, i + 1)[Hits] for i in range(min(len(source), job.events or 50))]
    detector = pipe.detector
    found = []
    for size in sizes:
        hits = overlaid(pool, detector.lower, detector.upper, size, move)
        times = []
        for _ in range(runs):
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


def chain(times: dict[str, np.ndarray]) -> np.ndarray:
    """Latency of each event."""
    return np.asarray(sum(ms for stage, ms in times.items() if stage not in BESIDE))


def stages_table(times: dict[int, dict[str, np.ndarray]]) -> list[str]:
    """times: by number of threads."""
    columns = [{**found, "latency": chain(found)} for found in times.values()]
    share = [100 * np.median(found[UNET] / chain(found)) for found in times.values()]
    head = "".join(f"{f'{n} thread' + 's' * (n > 1):>12s}" for n in times)
    return [
        "",
        f"{'ms per event, median':22s}{head}",
        *(f"{n:22s}{''.join(f'{np.median(c[n]):12.1f}' for c in columns)}" for n in columns[0]),
        f"{'share of the U-Net, %':22s}{''.join(f'{percent:12.0f}' for percent in share)}",
    ]


def events_table(found: dict[int, list[tuple[int, float]]]) -> list[str]:
    """found: by number of threads."""
    voxels = np.array([n for n, _ in next(iter(found.values()))])
    seconds = {n: np.array([s for _, s in rows]) for n, rows in found.items()}
    lines = [
        f"{v:10,d} voxels{''.join(f'{1e3 * s[i]:10.1f} ms' for s in seconds.values())}"
        for i, v in enumerate(voxels)
    ]
    for n, s in seconds.items():
        slope = np.polyfit(np.log(voxels), np.log(s), 1)[0] if len(s) > 1 else float("nan")
        asked = [v for v in REPORTED if v <= voxels.max()]
        at = 1e3 * np.exp(np.interp(np.log(asked), np.log(voxels), np.log(s)))
        times = [f"; {v:,} voxels {t:.0f} ms" for v, t in zip(asked, at, strict=True)]
        lines.append(f"with {n} thread{'s' * (n > 1)}: exponent {slope:.2f}{''.join(times)}")
    return ["", *lines]


def peak() -> float:
    """Most memory that the process has had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "data_samples" / "lartpc.h5")
    parser.add_argument("--pipeline", default=str(ROOT / "pipelines" / "lartpc.yaml"))
    parser.add_argument("--events", type=int, help="the first of the file; default all")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--largest", type=int, default=300_000, help="voxels, about; 0: none")
    parser.add_argument("--million", action="store_true", help="one event of so many alone")
    options = parser.parse_args()
    job = Job(options.pipeline, options.file.resolve(), options.events, options.threads)
    if options.million:
        ((voxels, seconds),) = large(job, [MILLION], runs=1, move=True)
        print(f"{voxels:,d} voxels in one event: {seconds:.1f} s, peak memory {peak():.0f} MiB")
        return
    sizes = [n for n in (1000, 3300, 10_000, 31_500, 100_000) if n < options.largest]
    both = [replace(job, threads=n) for n in sorted({1, options.threads})]
    sizes += [options.largest] * (options.largest > 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = start_up(job, folder)
        times = {one.threads: per_event(one, folder) for one in both}
        one = in_batches(replace(job, threads=1), folder, stop=job.events)
        run = in_batches(job, folder, stop=job.events)
        shared = in_processes(job, folder, job.threads, run.events)
        found = {one.threads: large(one, sizes) for one in both} if sizes else {}
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    lines = [
        f"machine            {processor()}, {os.cpu_count()} cores, load {load}",
        f"file               {job.file.name}, {run.events} events",
        f"voxels per event   {run.rows['voxels'] / run.events:.0f}",
        f"start-up           {begin[0]:.1f} s first ever, {begin[1]:.1f} s after",
        f"events/s           {one.events / one.seconds:.2f} with 1 thread, "
        f"{run.events / run.seconds:.2f} with {job.threads}, "
        f"{shared:.2f} with {job.threads} processes",
        f"peak memory        {peak():.0f} MiB",
        *stages_table(times),
        *(events_table(found) if found else []),
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
