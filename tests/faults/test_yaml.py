"""Whatever a user writes as YAML is a pipeline, a detector, or a clear error."""

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from reco import config
from reco.batch.plan import Recipe
from reco.detector import Detector
from reco.errors import ConfigError
from reco.pipeline import Pipeline
from tests.faults.documents import DOCUMENTS, HOSTILE

LONGEST = 20_000
"""Characters of a message, which repeats no document in full."""


def judge(text: str, path: Path) -> list[str]:
    """What is said of a document, as a pipeline, of a submission too, and as a detector. Only a
    ConfigError passes."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    said = []
    threads = torch.get_num_threads()
    for load in (Pipeline.load, lambda path: Recipe.of(config.load(path)), Detector.read):
        try:
            load(path)
        except ConfigError as error:
            said.append(str(error))
    torch.set_num_threads(threads)
    assert all(0 < len(message) < LONGEST for message in said)
    return said


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[-30:]))
def test_hostile_documents(tmp_path: Path, text: str) -> None:
    said = judge(text, tmp_path / "a.yaml")
    assert said


def documents(chosen: settings) -> None:
    """Try as many documents as the settings say, as a file and as an override."""
    unhurried = settings(
        chosen, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    with tempfile.TemporaryDirectory() as folder:

        @unhurried
        @given(text=DOCUMENTS)
        def one(text: str) -> None:
            judge(text, Path(folder) / "a.yaml")
            override_of(text)

        one()


@pytest.mark.slow
def test_any_document() -> None:
    documents(settings(max_examples=100))


def override_of(text: str) -> None:
    for override in (text, f"run.batch_size={text}", f"stages.{text}=1"):
        said = ""
        try:
            config.of_overrides([override])
        except ConfigError as error:
            said = str(error)
        assert len(said) < LONGEST
