"""`reco train`."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from reco import config as configuration
from reco.cli.files import expand
from reco.schema import validate


def train_files(
    pipeline: str,
    stage: str,
    files: Sequence[str],
    held_out: Sequence[str],
    folder: Path,
    overrides: Sequence[str],
    schedule: Sequence[str],
    start_from: str | None,
    processes: int,
) -> None:
    """Train a stage of a pipeline and say where its weights are. Raises RecoError."""
    config = configuration.load(pipeline, overrides)
    training, validation = expand(files), expand(held_out)
    from reco.pipeline import Pipeline
    from reco.train.loop import Schedule
    from reco.train.run import prepare, train_stage

    settings: configuration.Tree = {}
    for change in schedule:
        configuration.assign(settings, change)
    chosen = validate(Schedule, settings, "--schedule")
    pipe = Pipeline(config, str(configuration.find(pipeline)))
    if processes > 1 and "LOCAL_RANK" not in os.environ:
        prepare(pipe, stage, [*training, *validation], folder)
        _in_processes(processes)
        return
    try:
        path = train_stage(pipe, stage, training, validation, chosen, folder, start_from)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(folder, stage)) from None
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"weights written to {path}; to use them: --set stages.{stage}.weights={path}")


def _kept(folder: Path, stage: str) -> str:
    checkpoint = folder / stage / "last.ckpt"
    if checkpoint.exists():
        return f"{checkpoint} is the last checkpoint; the same command goes on from it"
    cache = folder / "cache"
    kept = f"; events that were prepared are kept in {cache}" if cache.exists() else ""
    return f"there is no checkpoint yet (`--schedule save_every=20` makes them more often){kept}"


def _in_processes(n: int) -> None:
    """Repeat this command in n processes of torchrun.

    Raises SystemExit with the exit code of the training where it is not 0.
    """
    threads = str(max(1, (os.cpu_count() or 1) // n))
    limits = {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, f"--nproc-per-node={n}", "-m", "reco.cli", *sys.argv[1:]]
    done = subprocess.run(command, env={**os.environ, **limits}, check=False)
    if done.returncode:
        raise SystemExit(1)
