"""What commands print: results on standard output, progress and errors on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 10.0


class Report(Protocol):
    """Called with the events done and the events in all."""

    def __call__(self, done: int, total: int) -> None: ...


def fail(message: str) -> None:
    """Print an error, plain: paths and brackets stay as they are."""
    print(f"error: {message}", file=sys.stderr)


def tell_first_run() -> None:
    """Say what the first run waits for, where the kernels have not been compiled yet."""
    from reco.ops.graph import closest_members

    folder = Path(closest_members.stats.cache_path)
    if not any(folder.glob("graph.closest_members-*.nbi")):
        print("the first run compiles the kernels: about 18 s, once", file=sys.stderr)


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """A bar with events/s on a terminal; a line every ten seconds elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    with _bar() as bar:
        task = bar.add_task(what, total=None, rate="")

        def report(done: int, total: int) -> None:
            elapsed = bar.tasks[task].elapsed or 1e-9
            bar.update(task, completed=done, total=total, rate=f"{done / elapsed:.1f} events/s")

        yield report


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class _Lines:
    def __init__(self, what: str) -> None:
        self.what = what
        self.began = self.printed = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self.printed < SECONDS_BETWEEN_LINES:
            return
        self.printed = now
        rate = done / max(now - self.began, 1e-9)
        print(f"{self.what}: {done}/{total} events, {rate:.1f} events/s", file=sys.stderr)
