"""What there is to do: input files cut into work items."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import reco
from reco.batch.staging import identity_of, patiently
from reco.config import PipelineConfig
from reco.detector import Detector
from reco.digest import sha256_of
from reco.errors import RecoError
from reco.io.branches import Branches
from reco.io.recognise import open_input
from reco.io.remote import is_url
from reco.pipeline.provenance import fingerprint
from reco.stages import weights

EVENTS_PER_ITEM = 1000
READERS = 8
"""Files that are looked at together; most of the time goes into waiting for the disk."""


@dataclass(frozen=True)
class WorkItem:
    """Events start to stop - 1 of one file; they become one shard.

    identity: SHA-256 of the file as `fingerprint` gives it; of a URL, what the server says of it.
    """

    path: str
    identity: str
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.path}, events {self.start} to {self.stop}"


@dataclass(frozen=True)
class InputFile:
    """stamp: size and time of change, to tell without reading that a file is the same ("" for a
    URL). problem: why it cannot be used, "" if it can. turn: how often it was found changed; of two
    manifests, the one with the later turn knows the file as it is."""

    path: str
    identity: str
    stamp: str
    events: int
    problem: str = ""
    turn: int = 0

    def items(self, size: int) -> Iterator[WorkItem]:
        for start in range(0, self.events, size):
            yield WorkItem(self.path, self.identity, start, min(start + size, self.events))


@dataclass(frozen=True)
class Recipe:
    """What a result depends on, besides its input: shards of one folder have the same.

    configuration: SHA-256 of the pipeline without `run`, and of the detector with the content of
    its maps. weights: JSON of their SHA-256 by stage. version: of reco.
    """

    configuration: str
    weights: str
    version: str

    @classmethod
    def of(cls, config: PipelineConfig) -> "Recipe":
        content = config.model_dump(mode="json", exclude={"run", "detector"})
        detector = Detector.load(config.detector)
        content["detector"] = asdict(detector) | detector.map_digests
        for stage in content["stages"].values():
            stage.pop("weights", None)
        return cls(_sha256(content), json.dumps(_weights(config)), reco.__version__)

    def differs(self, other: "Recipe") -> str:
        """Names what is not the same; "" if all is."""
        mine, others = asdict(self), asdict(other)
        return ", ".join(name for name in mine if mine[name] != others[name])


def anywhere(config: PipelineConfig) -> PipelineConfig:
    """The same configuration with absolute paths, for a worker in another folder."""
    stages = {name: _absolute(options) for name, options in config.stages.items()}
    detector = config.detector
    if Path(detector).is_file():
        detector = os.path.abspath(detector)
    return config.model_copy(update={"stages": stages, "detector": detector})


def _absolute(options: dict[str, Any]) -> dict[str, Any]:
    name = options.get("weights")
    return options | {"weights": str(weights.find(name).absolute())} if name else options


def _weights(config: PipelineConfig) -> dict[str, str]:
    named = {stage: options.get("weights") for stage, options in sorted(config.stages.items())}
    return {s: sha256_of(weights.find(str(name))) for s, name in named.items() if name}


def look_at(
    paths: Iterable[str | Path], branches: Branches, known: Mapping[str, InputFile]
) -> list[InputFile]:
    """Identity and number of events of every file; what cannot be read says why in `problem`.

    known: by path, what was found before: a local file that has not changed is not read again.
    """
    names = [str(p) if is_url(p) else os.path.abspath(p) for p in paths]
    with ThreadPoolExecutor(READERS) as pool:
        looked = pool.map(partial(_look, branches=branches, known=known), names)
        return [_in_turn(file, known.get(file.path, file)) for file in looked]


def _in_turn(file: InputFile, before: InputFile) -> InputFile:
    return replace(file, turn=before.turn + (file.identity != before.identity))


def _look(path: str, branches: Branches, known: Mapping[str, InputFile]) -> InputFile:
    stamp = ""
    try:
        if is_url(path):
            identity = patiently(lambda: identity_of(path))
            return InputFile(path, identity, stamp, patiently(lambda: _count(path, branches)))
        stamp = _stamp(path)
        before = known.get(path)
        if before and before.stamp == stamp and not before.problem:
            return before
        identity = str(fingerprint(path)["sha256"])
        return InputFile(path, identity, stamp, _count(path, branches))
    except (RecoError, OSError) as error:
        return InputFile(path, "", stamp, 0, without_path(error, path))


def without_path(error: Exception, path: str) -> str:
    """What it says, in one line, where the path is told already."""
    text = str(error)
    if isinstance(error, OSError) and error.filename == path:
        text = str(error.strerror)
    return " ".join(text.removeprefix(f"{path}: ").split())


def _count(path: str, branches: Branches) -> int:
    with open_input(path, branches) as reader:
        return len(reader)


def _stamp(path: str) -> str:
    status = os.stat(path)
    return f"{status.st_size}-{status.st_mtime_ns}"


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
