"""What the stages above make of the events of a file, made once and kept on disk."""

import glob
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from reco.data.bundle import Bundle
from reco.data.classes import Status
from reco.data.product import Product
from reco.data.products import TRUTH, Header, Hits, Outcome, VoxelLabels
from reco.digest import sha256_of
from reco.errors import ConfigError, FormatError, RecoError
from reco.io.store import StoredProducts, Writer, is_product_file
from reco.pipeline import Pipeline
from reco.pipeline.planner import only_for
from reco.pipeline.provenance import check_grid
from reco.pipeline.source import open_source
from reco.stages import find, weights

PACKAGE = Path(__file__).parents[1]
ABOVE = {"batch", "cli", "metrics", "report", "simulate", "train"}
"""Rooms of the package that no product depends on: the pipeline imports none of them."""


@dataclass(frozen=True)
class Cache:
    """stage: that is trained; only stages before it are run. needs: products of an event,
    VoxelLabels among them."""

    pipeline: Pipeline
    stage: str
    needs: tuple[type[Product], ...]
    folder: Path

    def events(self, path: Path) -> Iterator[Bundle]:
        """The events of a file, one by one, without those that are empty or fail.

        Raises FormatError where the file has no truth, RecoError where no event can be used.
        """
        with StoredProducts(self.make(path)) as products:
            whole = Bundle(tuple(products.read(0, len(products), self.needs)))
            good = _good(products)
        labels = whole[VoxelLabels].particle
        _check_use(path, len(good), sum(int((labels[i] >= 0).sum()) for i in good))
        return (whole.at(event) for event in good)

    def make(self, path: Path) -> Path:
        """The file of the products: the output of an earlier run that has them all, or one that is
        made unless it is there; then those of the same events for the same stage that something
        has changed since are removed. Raises as `events` does."""
        if self._has_all(path):
            return path
        place = hashlib.sha256(f"{path.resolve()} {self.stage}".encode()).hexdigest()[:8]
        name = f"{path.stem}-{place}"
        stored = self.folder / f"{name}-{self._key(path)}.h5"
        if not stored.exists():
            self._write(path, stored)
            for old in self.folder.glob(f"{glob.escape(name)}-*.h5"):
                if old != stored:
                    old.unlink(missing_ok=True)
        return stored

    def _has_all(self, path: Path) -> bool:
        if not _is_output(path):
            return False
        with StoredProducts(path) as products:
            check_grid(path, products.provenance, self.pipeline.detector)
            return set(self.needs) <= set(products.products)

    def _write(self, path: Path, stored: Path) -> None:
        self._check_truth(path)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecoError(f"{self.folder}: cannot be made ({error.strerror})") from None
        events = labelled = 0
        products = self.pipeline.products(path, self.needs, stored=_is_output(path))
        with Writer(stored, {}, internal=True) as out:
            for bundle in products:
                out.write(bundle)
                events += len(bundle)
                labelled += int((bundle[VoxelLabels].particle.values >= 0).sum())
            _check_use(path, events, labelled)

    def _check_truth(self, path: Path) -> None:
        with open_source(path, self.pipeline.config.input, stored=_is_output(path)) as source:
            given = source.kinds
        try:
            only_for(self.pipeline.plan(given), self.needs, given)
        except ConfigError as error:
            missing = ", ".join(kind.__name__ for kind in TRUTH if kind not in given)
            if not missing:
                raise FormatError(f"{path}: {error}") from error
            raise FormatError(
                f"{path}: has no truth to learn from ({missing}); train on files of "
                "`reco simulate`, or on others of which `reco inspect` shows truth"
            ) from error

    def _key(self, path: Path) -> str:
        """Of all that the products depend on: the file, the stages before and their weights, the
        detector and its maps, the code."""
        config, detector = self.pipeline.config, self.pipeline.detector
        steps = self.pipeline.plan((Header, Hits, *TRUTH), until=self.stage).steps
        before = {step.name for step in steps} - {self.stage}
        options = {key: o for key, o in config.stages.items() if find(key).name in before}
        facts = {
            "file": [path.resolve(), path.stat().st_mtime_ns, path.stat().st_size],
            "needs": [kind.__name__ for kind in self.needs],
            "detector": detector,
            "maps": detector.map_digests,
            "input": config.input,
            "stages": options,
            "weights": [
                sha256_of(weights.find(o["weights"]))
                for o in options.values()
                if o.get("weights") is not None
            ],
            "code": code_hash(PACKAGE),
        }
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]


@cache  # what runs was read once too
def code_hash(package: Path) -> str:
    """SHA-256 of the modules of a package, but for those above the pipeline."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.parts[0] not in ABOVE:
            digest.update(f"{name.as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _is_output(path: Path) -> bool:
    """Whether it was written by `reco run --until`, and holds products instead of hits."""
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return is_product_file(file) and "hits" not in file


def _good(products: StoredProducts) -> list[int]:
    """Events of a file that are neither empty nor failed; its own files hold no others."""
    if Outcome not in products.products:
        return list(range(len(products)))
    (outcome,) = products.read(0, len(products), [Outcome])
    assert isinstance(outcome, Outcome)
    return [int(i) for i in np.flatnonzero(outcome.status == Status.OK)]


def _check_use(path: Path, events: int, labelled: int) -> None:
    if events == 0:
        raise RecoError(
            f"{path}: no event can be learnt from, all are empty or fail; "
            f"`reco run PIPELINE {path} --until labels` says why"
        )
    if labelled == 0:
        raise RecoError(
            f"{path}: no voxel of its {events} events has a label: the true deposits are not "
            "where the hits are; check the detector and input.length_unit"
        )
