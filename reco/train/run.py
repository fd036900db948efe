"""`reco train`: from files with truth to a weight file, for any stage with a network."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reco.data.bundle import Bundle
from reco.data.product import Product
from reco.errors import ConfigError, RecoError
from reco.io.store import StoredProducts, Writer
from reco.pipeline import Pipeline
from reco.stages import weights
from reco.stages.learned import LearnedStage
from reco.train import backbone
from reco.train.loop import Schedule, Task, train


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained. needs: products of each event, upstream predictions and truth.

    task: (stage, training events, validation events) -> Task.
    """

    needs: tuple[type[Product], ...]
    task: Callable[[Any, Sequence[Bundle], Sequence[Bundle]], Task]


RECIPES: Mapping[str, Recipe] = {
    "segment": Recipe(backbone.NEEDS, backbone.task),
}
"""By name of the stage."""


def train_stage(
    pipeline: Pipeline,
    name: str,
    files: Sequence[Path],
    held_out: Sequence[Path],
    schedule: Schedule,
    folder: Path,
) -> Path:
    """Train one stage of a pipeline; returns the weight file, `folder`/NAME.safetensors.

    files, held_out: inputs with truth, for training and for validation. What the stages above
    make of them is kept in `folder`/cache, and made once. An interrupted run goes on from its last
    checkpoint. Raises ConfigError for a stage without a network, RecoError where a file has no
    truth or both sets share one.
    """
    recipe = _recipe(name)
    shared = {p.resolve() for p in files} & {p.resolve() for p in held_out}
    if shared:
        raise RecoError(f"{sorted(shared)[0]}: is both for training and for validation")
    stage = pipeline.fresh_stage(name)
    if not isinstance(stage, LearnedStage):
        raise ConfigError(f"stage {name!r} has no network to train")
    events = list(_events(pipeline, recipe, files, folder))
    task = recipe.task(stage, events, list(_events(pipeline, recipe, held_out, folder)))
    record = train(task, schedule, folder, device=pipeline.device.type)
    path = folder / f"{name}.safetensors"
    training = {
        "events": len(events),
        "events_seen": record.events_seen,
        "seconds": round(record.seconds),
        "schedule": asdict(schedule),
        "files": [_facts(p) for p in files],
        "held_out": [_facts(p) for p in held_out],
        "curve": record.curve,
    }
    weights.write(path, stage.module, name, stage.model.model_dump(), training)
    return path


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise ConfigError(f"stage {name!r} cannot be trained; {', '.join(RECIPES)} can")
    return RECIPES[name]


def _events(
    pipeline: Pipeline, recipe: Recipe, files: Sequence[Path], folder: Path
) -> Iterator[Bundle]:
    for path in files:
        whole = _cached(pipeline, recipe, path, folder / "cache")
        for event in range(len(whole)):
            yield whole.at(event)


def _cached(pipeline: Pipeline, recipe: Recipe, path: Path, folder: Path) -> Bundle:
    """What the stages above make of a file, from disk if it was made with the same pipeline."""
    key = hashlib.sha256(
        f"{path.resolve()} {path.stat().st_mtime_ns} {pipeline.config.model_dump_json()}".encode()
    ).hexdigest()[:16]
    stored = folder / f"{path.stem}-{key}.h5"
    if not stored.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with Writer(stored, {}, internal=True) as out:
            for bundle in pipeline.products(path, recipe.needs):
                out.write(bundle)
    with StoredProducts(stored) as products:
        return Bundle(tuple(products.read(0, len(products), recipe.needs)))


def _facts(path: Path) -> dict[str, object]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}
