"""From inputs to shards: what is left to do, and doing it."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reco.batch.engine import Result
from reco.batch.manifest import NAME, Failure, Ledger, Manifest, ledger, writing
from reco.batch.plan import EVENTS_PER_ITEM, Recipe, WorkItem, anywhere, look_at
from reco.batch.worker import Job
from reco.config import PipelineConfig
from reco.errors import RecoError

SECONDS_UNRECORDED = 1.0
"""A killed run loses the record of so much: each write waits for the disk."""
Engine = Callable[[Job, Sequence[WorkItem]], Iterable[list[Result]]]
"""Runs items; gives results as they come, and now and then an empty list."""
Report = Callable[[int, int, Sequence[Failure]], None]
"""Called with the events done, the events in all, and what was newly set aside."""


@dataclass(frozen=True)
class Request:
    """config, paths: what to run on what. size: events per item, None: as before, or the default.

    again: also what was set aside before. part: (k, n): only the k-th of n parts, from 1. limit:
    seconds for an item.
    """

    config: PipelineConfig
    paths: Sequence[str | Path]
    output: Path
    size: int | None = None
    again: bool = False
    part: tuple[int, int] = (1, 1)
    limit: float | None = None

    @property
    def folder(self) -> Path:
        """Of the manifest: parts have one each, so that no two of them write the same."""
        k, n = self.part
        return self.output if n == 1 else self.output / f"part-{k:05}-of-{n:05}"


@dataclass(frozen=True)
class Todo:
    """book: what is recorded, and the inputs as they are now. items: what is left."""

    book: Ledger
    items: list[WorkItem]


def plan(request: Request) -> Todo:
    """What `carry_out` would do. Raises RecoError where the folder holds something else."""
    book = _book(request)
    looked = look_at(request.paths, request.config.input, book.files)
    files = book.files | {file.path: file for file in looked}
    return _todo(request, replace(book, files=files, size=_size(request, book)))


def carry_out(request: Request, engine: Engine, report: Report) -> Ledger:
    """Make the shards that are missing; what is recorded at the end.

    Raises RecoError where another process does the same, or the folder was made otherwise.
    """
    with _opened(request) as (manifest, todo):
        events = sum(file.events for file in todo.book.files.values())
        done = events - sum(item.stop - item.start for item in todo.items)
        report(done, events, ())
        job = Job.of(anywhere(request.config), request.folder, request.limit)
        waiting, since = list[Result](), time.monotonic()
        try:
            for results in engine(job, todo.items):
                waiting += results
                if waiting and (not results or time.monotonic() - since > SECONDS_UNRECORDED):
                    manifest.add(waiting)
                    waiting, since = [], time.monotonic()
                done += sum(r.item.stop - r.item.start for r in results)
                report(done, events, [r for r in results if isinstance(r, Failure)])
        finally:
            manifest.add(waiting)
    return ledger(request.output)


@contextmanager
def _opened(request: Request) -> Iterator[tuple[Manifest, Todo]]:
    book = _book(request)
    recipe, size = Recipe.of(request.config), _size(request, book)
    with writing(request.folder, recipe, size) as manifest:
        manifest.plan(look_at(request.paths, request.config.input, book.files))
        manifest.sweep()
        yield manifest, _todo(request, ledger(request.output))


def _book(request: Request) -> Ledger:
    book = ledger(request.output)
    different = book.recipe and Recipe.of(request.config).differs(book.recipe)
    if different:
        raise RecoError(
            f"{request.output}: was made with other {different}; choose another folder with -o"
        )
    if book.size and request.size not in (None, book.size):
        raise RecoError(
            f"{request.output}: was begun with {book.size} events per item; leave --events out or "
            "choose another folder with -o"
        )
    if book.recipe is None and _holds_others(request.output):
        raise RecoError(f"{request.output}: holds other files; choose another folder with -o")
    return book


def _holds_others(output: Path) -> bool:
    """Than what a run leaves that was killed before its first record, or that begins just now."""
    names = [path.name for path in output.iterdir()] if output.exists() else []
    return any(NAME not in name and not name.startswith("part-") for name in names)


def _size(request: Request, book: Ledger) -> int:
    return book.size or request.size or EVENTS_PER_ITEM


def _todo(request: Request, book: Ledger) -> Todo:
    """The same split into parts whatever is done already."""
    k, n = request.part
    book = book.whole()
    left_out = set() if request.again else set(book.aside)
    mine = (item for i, item in enumerate(book.items()) if i % n == k - 1)
    return Todo(book, [i for i in mine if i not in book.shards and i not in left_out])
