"""`reco train` from files to weights, on events drawn by hand, and what it refuses."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reco import config
from reco.data.labels import label, truth_deposits
from reco.data.products import Header, Hits, TruthDeposits
from reco.data.ragged import Ragged
from reco.errors import ConfigError, RecoError
from reco.io.store import Writer
from reco.pipeline import Pipeline
from reco.stages import weights
from reco.train.loop import Schedule
from reco.train.run import RECIPES, train_stage

from ..data.events import Row, event

SCHEDULE = Schedule(steps=2, batch_size=2, warmup=1, validate_every=2, save_every=1)
STAGES = {"voxelize": {}, "truth_voxels": {}, "labels": {}, "segment": {"weights": None}}


def pipeline(**changes: object) -> Pipeline:
    tree = {"stages": STAGES, "run": {"device": "cpu", "threads": 1}} | changes
    return Pipeline(config.check(tree))


def products(number: int, hits_at: float = 0.0, **labels: int) -> list:
    """A muon, its Michel electron, and a proton, from a vertex of the number's own.

    hits_at: moves the hits, cm. labels: of the first deposit, in place of the true ones.
    """
    x = 4.0 * number
    rows = [
        Row(1, 0, 13, "primary", (x, 0, 0), (x + 9, 6, 3)),
        Row(2, 0, 2212, "primary", (x, 0, 0), (x, -4, 2)),
        Row(3, 1, 11, "decay", (x + 9, 6, 3), (x + 9, 12, 3), energy=30.0),
    ]
    tracks, deposits = event(rows)
    truth = label(tracks, deposits)
    true = truth_deposits(deposits, truth)
    columns = dict(vars(true))
    for name, wrong in labels.items():
        values = columns[name].values.copy()
        values[0] = wrong
        columns[name] = Ragged.one(values)
    n = len(deposits)
    hits = Hits(
        position=Ragged.one(true.position.values + np.float32(hits_at)),
        value=true.energy,
        time=Ragged.one(np.zeros(n)),
        quantity=np.zeros(1),
    )
    zero = np.zeros(1)
    header = Header(run=zero, subrun=zero, event=zero + number, entry=zero + number)
    return [header, hits, TruthDeposits(**columns), truth.particles, truth.interactions]


def write(path: Path, numbers: range, keep: int = 5, **changes: float) -> Path:
    with Writer(path, {}) as out:
        for number in numbers:
            out.write(products(number, **changes)[:keep])
    return path


@pytest.fixture
def files(tmp_path) -> tuple[list[Path], list[Path]]:
    train = [write(tmp_path / "a.h5", range(3)), write(tmp_path / "b.h5", range(3, 5))]
    return train, [write(tmp_path / "held.h5", range(5, 6))]


def test_from_files_to_weights_that_a_pipeline_takes(files, tmp_path):
    train, held = files
    folder = tmp_path / "runs"
    path = train_stage(pipeline(), "segment", train, held, SCHEDULE, folder)
    assert path == folder / "segment.safetensors"
    stored = weights.read(str(path), "segment")
    assert stored.training["events"] == 5
    assert stored.training["events_seen"] == 4
    assert [f["name"] for f in stored.training["files"]] == ["a.h5", "b.h5"]
    assert stored.training["schedule"]["steps"] == 2
    assert "macro_f1" in stored.training["curve"][-1]
    assert (folder / "segment" / "last.ckpt").exists()
    stages = STAGES | {"segment": {"weights": str(path)}}
    events = list(pipeline(stages=stages).run(held[0]))
    np.testing.assert_allclose(np.sum(events[0].voxels.semantic_scores, axis=1), 1, atol=1e-3)


def test_the_same_seed_gives_the_same_weights(files, tmp_path):
    train, held = files
    tensors = []
    for name in ("one", "two"):
        torch.rand(5)
        path = train_stage(pipeline(), "segment", train, held, SCHEDULE, tmp_path / name)
        tensors.append(weights.read(str(path), "segment").tensors)
    assert all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())


def test_training_goes_on_from_other_weights_and_says_so(files, tmp_path):
    train, held = files
    first = train_stage(pipeline(), "segment", train, held, SCHEDULE, tmp_path / "one")
    slow = replace(SCHEDULE, steps=1, learning_rate=1e-9, average=0.0)
    path = train_stage(pipeline(), "segment", train, held, slow, tmp_path / "two", str(first))
    before, after = weights.read(str(first), "segment"), weights.read(str(path), "segment")
    parameters = {k: v for k, v in before.tensors.items() if "running" not in k and "num" not in k}
    for name, value in parameters.items():
        torch.testing.assert_close(after.tensors[name], value, atol=1e-6, rtol=1e-5)
    assert after.training["started_from"] == {"sha256": before.sha256, "training": before.training}


def cached(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (folder / "cache").iterdir()}


def test_products_are_made_once_and_again_when_something_changed(files, tmp_path):
    train, held = files
    folder = tmp_path / "runs"

    def go(**changes: object) -> dict[str, int]:
        shutil.rmtree(folder / "segment", ignore_errors=True)
        train_stage(pipeline(**changes), "segment", train, held, replace(SCHEDULE, steps=1), folder)
        return cached(folder)

    first = go()
    assert len(first) == 3
    assert go() == first
    changed = go(stages=STAGES | {"voxelize": {"threshold": 0.01}})
    assert len(changed) == 3
    assert not changed.keys() & first.keys()
    go()
    write(train[0], range(2))
    last = go()
    assert len(last) == 3
    assert len(last.keys() & first.keys()) == 2


def test_a_file_cannot_be_on_both_sides(files, tmp_path):
    train, held = files
    with pytest.raises(RecoError, match=r"a\.h5: is both for training and for validation"):
        train_stage(pipeline(), "segment", train, [*held, train[0]], SCHEDULE, tmp_path / "runs")
    copy = tmp_path / "copy.h5"
    copy.write_bytes(train[1].read_bytes())
    with pytest.raises(RecoError, match=r"copy\.h5: is both .* \(as b\.h5\)"):
        train_stage(pipeline(), "segment", train, [copy], SCHEDULE, tmp_path / "runs")


def test_both_sides_are_needed(files, tmp_path):
    for sides in ((files[0], []), ([], files[1])):
        with pytest.raises(RecoError, match="others to validate on"):
            train_stage(pipeline(), "segment", *sides, SCHEDULE, tmp_path / "runs")


def refused(tmp_path: Path, bad: Path, files: tuple[list[Path], list[Path]]) -> str:
    with pytest.raises(RecoError) as caught:
        train_stage(pipeline(), "segment", [bad], files[1], SCHEDULE, tmp_path / "runs")
    assert not list(tmp_path.glob("runs/cache/*bad*"))
    return str(caught.value)


def test_a_file_without_truth(files, tmp_path):
    message = refused(tmp_path, write(tmp_path / "bad.h5", range(2), keep=2), files)
    assert "bad.h5: has no truth to learn from (TruthDeposits, TruthParticles, " in message
    assert "reco simulate" in message


def test_a_file_that_is_not_there(files, tmp_path):
    assert "nowhere.h5: cannot be read" in refused(tmp_path, tmp_path / "nowhere.h5", files)


@pytest.mark.parametrize("labels", [{"semantic": 7}, {"semantic": -2}, {"particle": 99}])
def test_labels_that_name_no_class_or_particle(files, tmp_path, labels):
    bad = write(tmp_path / "bad.h5", range(2), **labels)
    message = refused(tmp_path, bad, files)
    assert "bad.h5: no event can be learnt from" in message
    assert "--until labels" in message
    (name, value) = next(iter(labels.items()))
    for each in pipeline().run(bad, until="labels"):
        assert f"{name} in truth_deposits must be" in each.message
        assert f"is {value} " in each.message


def test_truth_that_lies_elsewhere(files, tmp_path):
    message = refused(tmp_path, write(tmp_path / "bad.h5", range(2), hits_at=40.0), files)
    assert "no voxel of its 2 events has a label" in message


def test_a_bad_event_is_left_out(files, tmp_path):
    _, held = files
    mixed = tmp_path / "mixed.h5"
    with Writer(mixed, {}) as out:
        out.write(products(0))
        out.write(products(1, semantic=7))
        out.write(products(2))
    path = train_stage(pipeline(), "segment", [mixed], held, SCHEDULE, tmp_path / "runs")
    assert weights.read(str(path), "segment").training["events"] == 2


def test_stages_that_cannot_be_trained(files, tmp_path):
    for name in ("voxelize", "sgement"):
        with pytest.raises(ConfigError, match=f"stage '{name}' cannot be trained; segment"):
            train_stage(pipeline(), name, *files, SCHEDULE, tmp_path / "runs")
    with pytest.raises(ConfigError, match="'particles' is not in the pipeline"):
        train_stage(pipeline(), "particles", *files, SCHEDULE, tmp_path / "runs")


def test_every_shipped_stage_with_weights_has_a_recipe():
    stages = config.load("lartpc").stages
    assert set(RECIPES) == {name for name, options in stages.items() if "weights" in options}
