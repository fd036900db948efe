"""`reco submit`, `reco status`, `reco merge`, and `reco run --shard`."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from reco import config as configuration
from reco.batch import engine, site
from reco.batch.manifest import Failure, Ledger, ledger
from reco.batch.merge import merge
from reco.batch.plan import WorkItem
from reco.batch.run import Engine, Request, carry_out, plan
from reco.batch.worker import Job
from reco.cli.console import fail, progress
from reco.cli.files import check_free, inputs
from reco.errors import RecoError

SOME_FAILED = 3
INTERRUPTED = 130
PART = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,8})")
MOST_LISTED = 20
TRIES = 2
"""Of an item, in a process that has no other worker to give it to."""


def request_of(
    pipeline: str,
    overrides: Sequence[str],
    names: Sequence[str],
    output: Path | None,
    size: int | None = None,
    again: bool = False,
    limit: float | None = None,
) -> Request:
    """Raises RecoError where they do not make sense."""
    config = configuration.load(pipeline, overrides)
    if output is None or output.is_file():
        raise RecoError("shards need a folder: -o FOLDER")
    if not names:
        raise RecoError("give at least one INPUT")
    return Request(config, inputs(names), output, size, again, limit=limit)


def part_of(text: str) -> tuple[int, int]:
    """`3/64` -> (3, 64). Raises RecoError."""
    found = PART.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise RecoError(f"--shard {text}: write it as K/N, with K from 1 to N, such as 3/64")
    return int(found[1]), int(found[2])


def submit_files(request: Request, name: str, number: int | None, tries: int, dry_run: bool) -> int:
    """Run on the workers of a site; the exit code."""
    chosen = site.with_workers(site.load(name), number)
    if dry_run:
        _show_plan(request, chosen)
        return 0
    for package in ("distributed", "dask_jobqueue"):
        # where it is missing, that is told before a folder is made; not imported, as dask_jobqueue
        # takes Ctrl-C for itself
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    def on_site(job: Job, items: Sequence[WorkItem]) -> Iterable[list[engine.Result]]:
        if items:
            with engine.workers(chosen, Path(job.folder), tries) as client:
                yield from engine.on_workers(client, engine.attempt, job, items, tries)

    return _run(request, on_site)


def run_part(
    pipeline: str,
    overrides: Sequence[str],
    names: Sequence[str],
    output: Path | None,
    part: str,
    others: Mapping[str, object],
) -> int:
    """Run one part in this process; the exit code. others: options that do not go with it."""
    given = [option for option, value in others.items() if value]
    if given:
        raise RecoError(f"--shard does not go with {', '.join(given)}")
    request = replace(request_of(pipeline, overrides, names, output), part=part_of(part))
    return _run(request, partial(engine.here, tries=TRIES))


def _run(request: Request, on: Engine) -> int:
    try:
        with progress("submit") as report:

            def show(done: int, total: int, failures: Sequence[Failure]) -> None:
                report(done, total)
                for failure in failures:
                    fail(f"set aside: {failure.item}: {failure.message}")

            book = carry_out(request, on, show)
    except KeyboardInterrupt:
        fail(f"interrupted; the same command goes on with {request.output}")
        return INTERRUPTED
    print("\n".join(lines(request.output, book)))
    return code(book)


def _show_plan(request: Request, chosen: site.Site) -> None:
    todo = plan(request)
    events = sum(item.stop - item.start for item in todo.items)
    print(f"{len(todo.items)} items to do, {events} events, of {len(todo.book.files)} files")
    print("".join(f"{line}\n" for line in _first(_unreadable(todo.book))), end="")
    if isinstance(chosen, site.Local):
        print(f"{len(site.environments(chosen))} processes on this machine")
    elif isinstance(chosen, site.Dask):
        print(f"the workers of {chosen.address}")
    else:
        print(
            f"{chosen.jobs} jobs, each:\n\n{engine.job_script(chosen, request.folder.absolute())}"
        )


def status_of(folder: Path) -> int:
    """Print what is recorded; the exit code."""
    book = ledger(folder)
    if book.recipe is None:
        raise RecoError(f"{folder}: holds no manifest; `reco submit` makes one")
    print("\n".join(lines(folder, book)))
    return code(book)


def code(book: Ledger) -> int:
    bad = any(shard.failed for _, shard in book.shards.values())
    unreadable = any(file.problem for file in book.files.values())
    return SOME_FAILED if bad or unreadable or book.aside else 0


def lines(folder: Path, book: Ledger) -> list[str]:
    """A table of what is done, what failed, and what was set aside."""
    book = book.whole()
    items = list(book.items())
    done = [book.shards[item][1] for item in items if item in book.shards]
    seconds = sum(shard.seconds for shard in done)
    events = sum(file.events for file in book.files.values())
    about = {"folder": str(folder), "files": str(len(book.files))}
    rows = {
        "items": f"{len(done)} of {len(items)} done",
        "events": f"{sum(shard.events for shard in done)} of {events}",
        "empty": str(sum(shard.empty for shard in done)),
        "failed": str(sum(shard.failed for shard in done)),
        "worker time": f"{seconds:.0f} s, {seconds / max(len(done), 1):.1f} s per item",
        "size": f"{sum(shard.bytes for shard in done) / 1e6:.1f} MB",
        "set aside": f"{len(book.aside)} items",
    }
    told = about | rows if items else about | {"items": "none, as no file holds events"}
    aside = [f"set aside: {f.item}: {f.tries} tries: {f.message}" for f in book.aside.values()]
    return [*(f"{k:<12}{v}" for k, v in told.items()), *_first([*_unreadable(book), *aside])]


def _unreadable(book: Ledger) -> list[str]:
    return [f"unreadable: {f.path}: {f.problem}" for f in book.files.values() if f.problem]


def _first(bad: list[str]) -> list[str]:
    more = [f"and {len(bad) - MOST_LISTED} more"] if len(bad) > MOST_LISTED else []
    return [*bad[:MOST_LISTED], *more]


def merge_folder(folder: Path, output: Path, part: bool, overwrite: bool) -> None:
    """Merge all shards and say so. Raises RecoError."""
    check_free(output, overwrite)
    with progress("merge") as report:
        done = merge(folder, output, partial=part, progress=report)
    print(f"{done.events} events written to {done.path}")
    if done.missing:
        print(f"note: {done.missing} items are missing", file=sys.stderr)
    if done.unreadable:
        print(f"note: {done.unreadable} inputs could not be read", file=sys.stderr)
