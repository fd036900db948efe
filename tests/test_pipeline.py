import errno
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import reco
from reco import config
from reco.data.bundle import Bundle
from reco.data.classes import Status
from reco.data.product import Product
from reco.data.products import (
    Header,
    Hits,
    Outcome,
    Points,
    Semantics,
    TruthDeposits,
    TruthVoxels,
    VoxelLabels,
    Voxels,
)
from reco.data.ragged import Ragged, offsets_of
from reco.detector import SHARED, Detector
from reco.errors import ConfigError, InputError, RecoError
from reco.io.store import StoredProducts, Writer
from reco.pipeline import Pipeline
from reco.pipeline.executor import Executor
from reco.pipeline.join import join
from reco.pipeline.lock import locked
from reco.pipeline.planner import plan
from reco.stages.base import Context
from tests.stages_for_tests import WIDTH, Brightest, Classify, Grid, Labels, SecondGrid

STAGES = {"grid": Grid, "classify": Classify, "brightest": Brightest}
GRID = "tests.stages_for_tests:Grid"
OWN = {f"tests.stages_for_tests:{s.__name__}": {} for s in STAGES.values()}


def pipeline(batch_size: int = 3, **more: object) -> Pipeline:
    return Pipeline(config.check({"stages": OWN, "run": {"batch_size": batch_size}, **more}))


def write_hits(path: Path, values: list[list[float]]) -> Path:
    rng = np.random.default_rng(5)
    offsets = offsets_of([len(v) for v in values])
    n = int(offsets[-1])
    number = np.arange(len(values))
    with Writer(path, {"seed": 5}) as out:
        out.write(
            [
                Header(run=number * 0 + 7, subrun=number * 0, event=number * 10, entry=number),
                Hits(
                    position=Ragged(rng.uniform(-50, 50, (n, 3)), offsets),
                    value=Ragged(np.array([v for event in values for v in event]), offsets),
                    time=Ragged(np.zeros(n), offsets),
                    quantity=number * 0,
                ),
            ]
        )
    return path


@pytest.fixture
def hits_file(tmp_path):
    """Event 1 fails in the first stage, 4 in the second; 2 has no hit, 5 none above threshold."""
    values = [[1, 2, 3], [5, 13], [], [4], [17, 1], [0.1], [2, 2], [8, 0.2, 9, 1]]
    return write_hits(tmp_path / "hits.h5", values)


def assert_equal(a: Product, b: Product) -> None:
    for (f, x), (_, y) in zip(a.items(), b.items(), strict=True):
        if isinstance(x, Ragged):
            np.testing.assert_array_equal(x.values, y.values, err_msg=f.name)
            np.testing.assert_array_equal(x.offsets, y.offsets, err_msg=f.name)
        else:
            np.testing.assert_array_equal(x, y, err_msg=f.name)


def read_all(path: Path) -> dict[type[Product], Product]:
    with StoredProducts(path) as stored:
        return {type(p): p for p in stored.read(0, len(stored))}


# ---- planner


def test_order_follows_the_products_not_the_file():
    backwards = dict(reversed(STAGES.items()))
    steps = plan(backwards, [Header, Hits]).steps
    assert [s.name for s in steps] == ["grid", "classify", "brightest"]
    assert steps[2].inputs == (Voxels, Semantics)
    assert steps[2].output is Points


def test_missing_producer_is_named():
    with pytest.raises(ConfigError) as error:
        plan({"grid": Grid, "brightest": Brightest}, [Header, Hits])
    assert str(error.value) == (
        "stage 'brightest' needs Semantics, which neither the input nor an earlier stage makes; "
        "Semantics is made by 'segment': add it under `stages`, or use `base: lartpc`. "
        "Produced so far: Header (input), Hits (input), Voxels (grid)."
    )


def test_the_root_of_the_trouble_is_named_and_not_what_waits_for_it():
    with pytest.raises(ConfigError, match="stage 'classify' needs Voxels"):
        plan({"brightest": Brightest, "classify": Classify}, [Header, Hits])


def test_second_producer_is_named():
    with pytest.raises(ConfigError, match=r"'second_grid' makes Voxels, which stage 'grid' makes"):
        plan({"grid": Grid, "second_grid": SecondGrid}, [Header, Hits])


def test_optional_stage_is_left_out_without_its_inputs():
    stages = {"truth": Labels, **STAGES}
    assert plan(stages, [Header, Hits]).left_out == ("truth",)
    planned = plan(stages, [Header, Hits, TruthDeposits])
    assert planned.left_out == ()
    assert [s.name for s in planned.steps] == ["grid", "truth", "classify", "brightest"]


def test_stages_whose_product_is_stored_are_skipped():
    planned = plan(STAGES, [Header, Voxels, Semantics])
    assert planned.stored == ("grid", "classify")
    assert [s.name for s in planned.steps] == ["brightest"]


def test_until_stops_early_and_suggests():
    assert [s.name for s in plan(STAGES, [Hits], "classify").steps] == ["grid", "classify"]
    with pytest.raises(ConfigError, match="did you mean 'classify'"):
        plan(STAGES, [Hits], "clasify")
    with pytest.raises(ConfigError, match="does not have what this stage needs"):
        plan({"truth": Labels, **STAGES}, [Hits], "truth")


# ---- executor


def test_bad_events_stop_no_others(hits_file):
    events = list(pipeline().run(hits_file))
    ok, empty, failed = Status.OK, Status.EMPTY, Status.FAILED
    assert [e.status for e in events] == [ok, failed, empty, ok, failed, empty, ok, ok]
    assert events[1].message == "grid: a hit of 13 MeV, which nobody wants"
    assert events[2].message == "no hits"
    assert events[5].message == "no voxel above threshold (1 hits, 0 of them outside the detector)"
    where = r"\(.*stages_for_tests\.py:\d+\)"
    assert re.fullmatch(f"classify: ZeroDivisionError: 17 {where}", events[4].message)
    assert [e.event for e in events] == [0, 10, 20, 30, 40, 50, 60, 70]
    assert [len(e.voxels) for e in events] == [3, 0, 0, 1, 0, 0, 2, 3]
    assert [len(e.points) for e in events] == [1, 0, 0, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 100])
def test_batch_size_changes_nothing(hits_file, tmp_path, batch_size):
    expected = tmp_path / "reference.h5"
    internal = {"output": {"internal": True}}
    pipeline(4, **internal).process(hits_file, expected)
    summary = pipeline(batch_size, **internal).process(hits_file, tmp_path / "out.h5")
    assert (summary.events, summary.reconstructed, summary.empty, summary.failed) == (8, 4, 2, 2)
    assert summary.rows["voxels"] == 9
    assert [(c.events, c.entries) for c in summary.failures] == [(1, (1,)), (1, (4,))]
    a, b = read_all(expected), read_all(tmp_path / "out.h5")
    assert a.keys() == b.keys() == {Header, Voxels, Semantics, Points, Outcome}
    for kind in a:
        assert_equal(a[kind], b[kind])
    assert a[Semantics].features.values.shape == (9, WIDTH)


def test_features_keep_their_width_when_the_first_events_fail(tmp_path):
    source = write_hits(tmp_path / "hits.h5", [[13], [13], [13], [1, 2]])
    pipeline(1).process(source, tmp_path / "out.h5", until="classify")
    features = read_all(tmp_path / "out.h5")[Semantics].features
    assert features.values.shape == (2, WIDTH)
    np.testing.assert_array_equal(features.counts, [0, 0, 0, 2])


def test_torch_has_one_thread_while_stages_run():
    seen = []

    class Watch(Brightest):
        def __call__(self, voxels: Voxels, semantics: Semantics) -> Points:
            seen.append(torch.get_num_threads())
            return Points.empty(len(voxels))

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    steps = plan({"watch": Watch}, [Voxels, Semantics]).steps
    stage = Watch(Watch.Options(), Context(Detector.load("generic"), torch.device("cpu")))
    Executor(steps, {"watch": stage}, 1).run_one(Bundle((Voxels.empty(), Semantics.empty())))
    assert (seen, torch.get_num_threads()) == ([1], 2)
    torch.set_num_threads(before)


def test_join_adapts_free_widths():
    like = Ragged.one(np.zeros(2)).like
    two = Classify.__call__(None, _voxels(2))
    joined = join([Semantics.empty(2), two, Semantics.empty(1)])
    assert joined.features.values.shape == (2, WIDTH)
    np.testing.assert_array_equal(joined.features.counts, [0, 0, 2, 0])
    assert len(like(np.zeros(2))) == 1


def _voxels(n: int) -> Voxels:
    rows = Ragged.one(np.ones(n))
    xyz = rows.like(np.ones((n, 3)))
    return Voxels(index=xyz, position=xyz, energy=rows, n_hits=[n], n_hits_outside=[0])


def test_all_events_fail(tmp_path):
    source = write_hits(tmp_path / "hits.h5", [[13]] * 5)
    summary = pipeline().process(source, tmp_path / "out.h5")
    assert (summary.events, summary.failed) == (5, 5)
    assert len(reco.open(tmp_path / "out.h5")) == 5


def test_no_events(tmp_path):
    source = write_hits(tmp_path / "hits.h5", [[1.0]])
    summary = pipeline().process(source, tmp_path / "out.h5", start=0, stop=0)
    assert summary.events == 0


def test_strict_raises_the_first_failure(hits_file):
    with pytest.raises(InputError, match="which nobody wants"):
        list(pipeline().run(hits_file, strict=True))


def test_range_of_events(hits_file):
    assert [e.entry for e in pipeline().run(hits_file, start=2, stop=7)] == [2, 3, 4, 5, 6]
    with pytest.raises(RecoError, match="the file has 8"):
        list(pipeline().run(hits_file, start=8))


# ---- files


def test_going_on_from_stored_products(hits_file, tmp_path):
    whole, part, rest = (tmp_path / f"{name}.h5" for name in ("whole", "part", "rest"))
    pipeline(output={"internal": True}).process(hits_file, whole)
    pipeline().process(hits_file, part, until="classify")
    summary = pipeline(2).process(part, rest, stored=True)
    assert "grid" not in summary.stage_seconds
    assert summary.failed == 2
    a, b = read_all(whole), read_all(rest)
    for kind in (Header, Points, Outcome):
        assert_equal(a[kind], b[kind])


def test_stored_products_that_do_not_suffice(hits_file, tmp_path):
    pipeline().process(hits_file, tmp_path / "a.h5")
    with pytest.raises(ConfigError, match=r"output\.internal=true"):
        pipeline().process(tmp_path / "a.h5", tmp_path / "b.h5", stored=True)


def test_stored_products_on_another_grid_are_refused(hits_file, tmp_path):
    pipeline().process(hits_file, tmp_path / "a.h5", until="classify")
    content = yaml.safe_load((SHARED / "generic.yaml").read_text())
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(content | {"voxel_size": 0.4}))
    other = pipeline(detector=str(mine))
    with pytest.raises(ConfigError, match=r"a\.h5: its products lie on the grid of the detector"):
        other.process(tmp_path / "a.h5", tmp_path / "b.h5", stored=True)
    dead = {"lower": [0, 0, 0], "upper": [9, 9, 9]}
    mine.write_text(yaml.safe_dump(content | {"dead": [dead], "lifetime": 3000}))
    pipeline(detector=str(mine)).process(tmp_path / "a.h5", tmp_path / "b.h5", stored=True)


def test_provenance_tells_how_it_was_made(hits_file, tmp_path):
    import hashlib

    pipeline().process(hits_file, tmp_path / "out.h5")
    facts = reco.open(tmp_path / "out.h5").provenance
    assert facts["input"]["sha256"] == hashlib.sha256(hits_file.read_bytes()).hexdigest()
    assert facts["input_provenance"] == {"seed": 5}
    assert facts["pipeline"]["stages"]["grid"] == {"threshold": 0.5}
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["detector"]["name"] == "generic"
    assert facts["events"] == [0, 8]


def test_an_output_is_not_lost(hits_file, tmp_path):
    out = tmp_path / "out.h5"
    pipeline().process(hits_file, out)
    before = out.read_bytes()
    with pytest.raises(RecoError, match="--overwrite"):
        pipeline().process(hits_file, out)
    with pytest.raises(RecoError, match="is the input itself"):
        pipeline().process(hits_file, hits_file, overwrite=True)
    assert out.read_bytes() == before
    pipeline().process(hits_file, out, overwrite=True)


def test_second_run_on_the_same_output_is_refused(hits_file, tmp_path):
    out = tmp_path / "out.h5"
    with (
        locked(out),
        pytest.raises(RecoError, match=r"another run \(process \d+ on .*\) is writing it"),
    ):
        pipeline().process(hits_file, out)
    pipeline().process(hits_file, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hits.h5", "out.h5"]


def test_a_lock_is_no_link(hits_file, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("all of it")
    (tmp_path / ".out.h5.lock").symlink_to(precious)
    with pytest.raises(RecoError, match=r"\.out\.h5\.lock: is a link where a lock must be"):
        pipeline().process(hits_file, tmp_path / "out.h5")
    assert precious.read_text() == "all of it"


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def flock(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)  # no such file system at hand
    told = pytest.warns(UserWarning, match=r"out\.h5: no locks here .*no other run")
    with told, locked(tmp_path / "out.h5"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(hits_file, tmp_path):
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline().process(hits_file, tmp_path / "out.h5", progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["hits.h5"]


# ---- arrays


def test_arrays_in_event_out():
    event = pipeline()(np.ones((3, 3)), np.array([1.0, 0.2, 3.0]), quantity="energy")
    assert event.status is Status.OK
    assert event.voxels.energy.tolist() == [1.0, 3.0]
    assert set(event.tables) == {"hits", "voxels", "points"}
    with pytest.raises(AttributeError, match="it has: hits, voxels, points"):
        _ = event.particles
    assert "2 voxels" in repr(event)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_smallest_arrays(n):
    event = pipeline()(np.ones((n, 3)), np.ones(n), quantity="energy")
    assert len(event.voxels) == n
    assert event.status is (Status.OK if n else Status.EMPTY)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (np.ones((2, 2)), np.ones(2), r"position must have shape \(N, 3\), not \(2, 2\)"),
        (np.ones((2, 3)), np.ones(3), r"value must have shape \(2,\), not \(3,\)"),
        (np.full((2, 3), np.nan), np.ones(2), "position holds NaN"),
        (np.ones((2, 3)), -np.ones(2), "value holds negative"),
        (np.ones((2, 3)), None, "give the value"),
        (np.ones((2, 3)), np.ones(2), r"quantity='energy' \(MeV\) or quantity='charge'"),
    ],
)
def test_arrays_that_do_not_fit(position, value, message):
    with pytest.raises(InputError, match=message):
        pipeline()(position, value)


# ---- options


def test_options_are_checked_before_anything_runs():
    with pytest.raises(ConfigError, match=r"stages\..*Grid\.treshold: unknown key; did you mean"):
        Pipeline(config.check({"stages": {GRID: {"treshold": 1}}}))
    with pytest.raises(ConfigError, match=r"Grid\.threshold: input should be greater"):
        Pipeline(config.check({"stages": {GRID: {"threshold": -1}}}))
    with pytest.raises(ConfigError, match="cannot be imported"):
        Pipeline(config.check({"stages": {"nothing.there:Stage": {}}}))
    with pytest.raises(ConfigError, match="not a subclass"):
        Pipeline(config.check({"stages": {"pathlib:Path": {}}}))


def test_import_loads_neither_torch_nor_numpy():
    code = "import sys, reco; print([m for m in ('torch', 'numpy', 'awkward') if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_labels_exist_where_truth_does(tmp_path):
    pipe = Pipeline(config.check({"stages": {"tests.stages_for_tests:Labels": {}, **OWN}}))
    source = write_hits(tmp_path / "a.h5", [[1, 2]])
    (event,) = pipe.run(source)
    assert VoxelLabels not in event.products


def test_stopping_early_keeps_what_truth_there_is(tmp_path):
    pipe = Pipeline.load("lartpc")
    sample = Path(__file__).parents[1] / "data_samples" / "lartpc.h5"
    pipe.process(sample, tmp_path / "a.h5", stop=2, until="voxelize")
    with StoredProducts(tmp_path / "a.h5") as stored:
        assert {Voxels, TruthVoxels, VoxelLabels} <= set(stored.products)


def test_a_precision_that_the_processor_lacks_is_refused(hits_file, monkeypatch):
    monkeypatch.setattr("reco.stages.base.HAS_BFLOAT16", False)
    with pytest.raises(ConfigError, match=r"run\.precision: bf16 asked for, but cpu lacks it"):
        next(pipeline(run={"precision": "bf16", "device": "cpu"}).run(hits_file))
