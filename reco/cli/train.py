"""`reco train`."""

from collections.abc import Sequence
from pathlib import Path

from reco import config as configuration
from reco.cli.files import expand


def train_files(
    pipeline: str,
    stage: str,
    files: Sequence[str],
    held_out: Sequence[str],
    folder: Path,
    overrides: Sequence[str],
    schedule: Sequence[str],
) -> None:
    """Train a stage of a pipeline and say where its weights are. Raises RecoError."""
    config = configuration.load(pipeline, overrides)
    training, validation = expand(files), expand(held_out)
    from reco.pipeline import Pipeline
    from reco.train.loop import Schedule
    from reco.train.run import train_stage

    settings: configuration.Tree = {}
    for change in schedule:
        configuration.assign(settings, change)
    chosen = configuration.validate(Schedule, settings, "--schedule")
    pipe = Pipeline(config, str(configuration.find(pipeline)))
    path = train_stage(pipe, stage, training, validation, chosen, folder)
    print(f"weights written to {path}; to use them: --set stages.{stage}.weights={path}")
