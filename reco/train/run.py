"""`reco train`: from files with truth to a weight file, for any stage with a network."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from reco.data.bundle import Bundle
from reco.data.product import Product
from reco.digest import sha256_of
from reco.errors import ConfigError, FormatError, RecoError
from reco.pipeline import Pipeline
from reco.stages import weights
from reco.stages.learned import LearnedStage
from reco.train import backbone, estimates, interactions, particles
from reco.train.cache import Cache
from reco.train.loop import Schedule, Task, train


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained. needs: products of each event, upstream predictions and truth.

    sample: (stage, event) -> what is learnt of the event, None for nothing. task: (stage, samples
    for training, samples for validation) -> Task.
    """

    needs: tuple[type[Product], ...]
    sample: Callable[[Any, Bundle], Any]
    task: Callable[[Any, Sequence[Any], Sequence[Any]], Task]


RECIPES: Mapping[str, Recipe] = {
    "segment": Recipe(backbone.NEEDS, backbone.learnt, backbone.task),
    "particles": Recipe(particles.NEEDS, particles.sample_of, particles.ParticlesTask),
    "interactions": Recipe(
        interactions.NEEDS, interactions.sample_of, interactions.InteractionsTask
    ),
    "estimates": Recipe(estimates.NEEDS, estimates.learnt, estimates.task),
}
"""By name of the stage."""


def train_stage(
    pipeline: Pipeline,
    name: str,
    files: Sequence[Path],
    held_out: Sequence[Path],
    schedule: Schedule,
    folder: Path,
    start_from: str | None = None,
) -> Path:
    """Train one stage of a pipeline; returns the weight file, `folder`/NAME.safetensors.

    files, held_out: inputs with truth, for training and for validation. What the stages above
    make of them is kept in `folder`/cache, and made once; events that are empty or fail are left
    out. start_from: weights to go on from, a file or the name of shipped ones, in place of random
    ones; their own record goes into that of the new ones. Checkpoints and curves are in
    `folder`/NAME, where an interrupted run goes on from its last checkpoint. Raises ConfigError
    for a stage without a network, RecoError where a file has no truth, where its
    labels cannot be used, or where both sets share one.
    """
    recipe = _recipe(name)
    sources = {"files": [_facts(p) for p in files], "held_out": [_facts(p) for p in held_out]}
    _check_apart(sources)
    torch.manual_seed(schedule.seed)
    stage = pipeline.fresh_stage(name, start_from)
    if not isinstance(stage, LearnedStage):
        raise ConfigError(f"stage {name!r} has no network to train")
    cache = Cache(pipeline, name, recipe.needs, folder / "cache")
    samples, validation = (_samples(recipe, stage, cache, paths) for paths in (files, held_out))
    task = recipe.task(stage, samples, validation)
    record = train(
        task,
        schedule,
        folder / name,
        device=pipeline.device.type,
        processes=int(os.environ.get("WORLD_SIZE", "1")),  # set by torchrun
    )
    training = {
        **vars(record),
        "seconds": round(record.seconds),
        "events": len(task),
        "schedule": asdict(schedule),
        **sources,
        "started_from": _lineage(start_from, name),
    }
    return _write(stage, folder / f"{name}.safetensors", training)


def _samples(
    recipe: Recipe, stage: LearnedStage, cache: Cache, paths: Sequence[Path]
) -> Sequence[Any]:
    events = (event for path in paths for event in cache.events(path))
    samples = [s for s in (recipe.sample(stage, event) for event in events) if s is not None]
    if not samples:
        names = ", ".join(path.name for path in paths)
        raise RecoError(f"{stage.name}: no event of {names} holds anything to learn from")
    return samples


def _write(stage: LearnedStage, path: Path, training: Mapping[str, object]) -> Path:
    if int(os.environ.get("RANK", "0")) == 0:
        model = stage.model.model_dump()
        weights.write(path, stage.module, stage.name, model, training, half=True)
    return path


def prepare(pipeline: Pipeline, name: str, files: Sequence[Path], folder: Path) -> None:
    """Make what the stages above make of the files, so that processes which share a training find
    it. Raises as `train_stage` does."""
    cache = Cache(pipeline, name, _recipe(name).needs, folder / "cache")
    for path in files:
        cache.make(path)


def _lineage(start_from: str | None, name: str) -> dict[str, object] | None:
    if start_from is None:
        return None
    before = weights.read(start_from, name)
    return {"sha256": before.sha256, "training": before.training}


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise ConfigError(f"stage {name!r} cannot be trained; {', '.join(RECIPES)} can")
    return RECIPES[name]


def _check_apart(sources: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
    """A copy under another name is the same file."""
    names = {facts["sha256"]: facts["name"] for facts in sources["files"]}
    if not names or not sources["held_out"]:
        raise RecoError("training needs files to learn from, and others to validate on")
    for facts in sources["held_out"]:
        if facts["sha256"] in names:
            raise RecoError(
                f"{facts['name']}: is both for training and for validation (as "
                f"{names[facts['sha256']]}); hold out events that the training never sees"
            )


def _facts(path: Path) -> dict[str, object]:
    try:
        return {
            "name": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None
