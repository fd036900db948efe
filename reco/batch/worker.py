"""What a worker does: one item in, one shard out."""

import faulthandler
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

from reco.batch.manifest import SHARDS, Shard
from reco.batch.plan import Recipe, WorkItem
from reco.batch.staging import has_changed, here
from reco.config import PipelineConfig, check
from reco.digest import sha256_of
from reco.errors import RecoError
from reco.io.remote import is_url
from reco.io.store import StoredProducts
from reco.pipeline import Pipeline

SHARED_FACTS = ("weights", "versions", "commit", "device")


@dataclass(frozen=True)
class Job:
    """What all items have in common.

    config: JSON of the pipeline. folder: absolute, of the manifest. limit: seconds after which a
    worker that still has the same item ends itself; None: never.
    """

    config: str
    recipe: Recipe
    folder: str
    limit: float | None = None

    @classmethod
    def of(cls, config: PipelineConfig, folder: Path, limit: float | None = None) -> "Job":
        return cls(config.model_dump_json(), Recipe.of(config), str(folder.absolute()), limit)


def run_item(job: Job, item: WorkItem) -> Shard:
    """Reconstruct one item into a shard of its own name, so that two workers that were given the
    same item do not touch each other's. Raises what goes wrong."""
    began = perf_counter()
    with _limited(job.limit):
        pipe = _pipeline(job.config, job.recipe)
        folder = Path(job.folder)
        path = folder / SHARDS / _name(item)
        path.parent.mkdir(exist_ok=True)
        source = here(item.path, item.identity)
        summary = pipe.process(source, path, start=item.start, stop=item.stop)
        with StoredProducts(path) as stored:
            facts = stored.provenance
        _check_input(item, facts["input"])
    return Shard(
        item=item,
        name=path.relative_to(folder).as_posix(),
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        empty=summary.empty,
        failed=summary.failed,
        seconds=perf_counter() - began,
        facts=json.dumps({key: facts[key] for key in SHARED_FACTS}, sort_keys=True),
    )


@lru_cache(maxsize=1)
def _pipeline(content: str, recipe: Recipe) -> Pipeline:
    config = check(json.loads(content))
    different = Recipe.of(config).differs(recipe)
    if different:
        raise RecoError(f"this worker has other {different} than the machine that submitted")
    return Pipeline(config)


def _name(item: WorkItem) -> str:
    stem = re.sub(r"[^\w.-]", "_", Path(item.path).stem)[:80]
    return f"{stem}-{item.identity[:12]}/{item.start}-{item.stop}-{uuid4().hex[:12]}.h5"


def _check_input(item: WorkItem, found: dict[str, Any]) -> None:
    if not is_url(item.path) and found["sha256"] != item.identity:
        raise has_changed(item.path)


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """End the process after so long: a kernel that hangs never looks at a signal."""
    if seconds is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)  # of the process itself
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
