"""Killed runs, full disks, inputs that vanish, events that do not fit, NaN, memory."""

import ast
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import reco
from reco import config
from reco.data.classes import Status
from reco.data.products import Semantics, Voxels
from reco.errors import RecoError
from reco.io.recognise import open_input
from reco.ops.partition import log_odds
from reco.pipeline import Pipeline
from reco.stages import weights
from tests.faults.kills import in_child, kill_runs, kill_submitters, tables
from tests.io.files import write_tree
from tests.stages_for_tests import Classify
from tests.test_pipeline import OWN, pipeline, write_hits

PACKAGE = Path(reco.__file__).parent
NOBODY = 65534
SAMPLE = Path(__file__).parents[2] / "data_samples" / "lartpc.h5"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_hits(tmp_path / "hits.h5", [[1.0 + i % 7, 2.0] for i in range(60)])


def refused(action: Any, message: str) -> None:
    with pytest.raises(RecoError, match=message):
        action()


def test_killed_at_random_moments(source: Path, tmp_path: Path) -> None:
    found = kill_runs(source, tmp_path, kills=8)
    assert sum(found.values()) == 8


@pytest.mark.slow
def test_submitters_that_are_killed_at_random_moments(source: Path, tmp_path: Path) -> None:
    found = kill_submitters(source, tmp_path, kills=3)
    assert sum(found.values()) == 3


def test_what_a_killed_run_left_is_in_no_ones_way(source: Path, tmp_path: Path) -> None:
    for name in (".out.h5.1.part", f".out.h5.{os.getpid()}.part", ".out.h5.lock"):
        (tmp_path / name).write_bytes(b"half of it")
    pipeline().process(source, tmp_path / "out.h5")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hits.h5", "out.h5"]


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 1000, 20_000])
def test_a_full_disk(source: Path, tmp_path: Path, room: int) -> None:
    """A limit on the size of a file: libhdf5 sees the same error as on a full disk."""

    pipe = pipeline(1)

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        refused(lambda: pipe.process(source, tmp_path / "out.h5"), "out.h5: ")

    assert in_child(run) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["hits.h5"]


@pytest.mark.slow
def test_a_folder_that_may_not_be_written(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)

    pipe = pipeline()

    def run() -> None:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        refused(lambda: pipe.process(source, folder / "a.h5"), "a.h5: cannot write here")

    assert in_child(run) == 0


@pytest.mark.slow
def test_a_folder_that_may_not_be_listed_suggests_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o311)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)

    def run() -> None:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        refused(lambda: open_input(folder / "x.root"), "x.root: no such file$")

    assert in_child(run) == 0


def test_an_output_is_on_the_disk_before_it_has_its_name(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut could leave the name without the bytes."""
    output, seen, sync = tmp_path / "out.h5", list[tuple[int, bool]](), os.fsync

    def spy(handle: int) -> None:
        seen.append((os.fstat(handle).st_ino, output.exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    pipeline().process(source, output)
    # the bytes, then the name
    assert seen == [(output.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_a_device_is_no_output(source: Path) -> None:
    refused(lambda: pipeline().process(source, "/dev/full", overwrite=True), "a device or a pipe")


@pytest.mark.slow
@pytest.mark.parametrize("cut", [0, 3000, 9000])
@pytest.mark.parametrize("kind", ["hdf5", "root"])
def test_an_input_that_is_cut_while_it_is_read(tmp_path: Path, kind: str, cut: int) -> None:
    counts, path = [40] * 60, tmp_path / "in"
    if kind == "hdf5":
        write_hits(path, [[1.0] * n for n in counts])
    else:
        import awkward as ak

        flat = np.ones(sum(counts), np.float32)
        write_tree(path, {n: ak.unflatten(flat, counts) for n in ("x", "y", "z", "charge")})

    def cut_it(done: int, total: int) -> None:
        os.truncate(path, cut)

    summary = pipeline(1).process(path, tmp_path / "out.h5", progress=cut_it)
    assert summary.events == 60
    assert all(str(path) in cause.message for cause in summary.failures)


def test_an_input_that_is_removed_while_it_is_read(source: Path, tmp_path: Path) -> None:
    def remove(done: int, total: int) -> None:
        source.unlink(missing_ok=True)

    summary = pipeline(1).process(source, tmp_path / "out.h5", progress=remove)
    assert (summary.events, summary.failed) == (60, 0)


class Large(Classify):
    """Fits into no memory but that of the CPU, and into that only up to 28 MeV."""

    name = "classify"

    def __call__(self, voxels: Voxels) -> Semantics:
        if self.context.device.type != "cpu" or (voxels.energy.values == 29).any():
            raise torch.OutOfMemoryError("tried to allocate 200 GiB")
        return super().__call__(voxels)


class Broken(Classify):
    """An energy of 21 has an infinite feature, one of 23 a feature that is NaN."""

    name = "classify"

    def __call__(self, voxels: Voxels) -> Semantics:
        made = super().__call__(voxels)
        energy = voxels.energy.values
        made.features.values[energy == 21] = np.inf
        made.features.values[energy == 23] = np.nan
        return made


def with_stage(stage: type[Classify]) -> Pipeline:
    grid, _, brightest = OWN
    own = {grid: {}, f"{__name__}:{stage.__name__}": {}, brightest: {}}
    return Pipeline(config.check({"stages": own, "run": {"batch_size": 3, "device": "cpu"}}))


def test_an_event_too_large_for_the_device_goes_to_the_cpu(tmp_path: Path) -> None:
    values = [[1.0], [2.0], [29.0], [3.0]]
    path, pipe = write_hits(tmp_path / "hits.h5", values), with_stage(Large)
    pipe.device = torch.device("meta")
    events = list(pipe.run(path))
    ok, failed = Status.OK, Status.FAILED
    assert [event.status for event in events] == [ok, ok, failed, ok]
    why = "does not fit into memory (OutOfMemoryError: tried to allocate 200 GiB)"
    assert events[2].message == f"classify: {why}"
    wanted = list(pipeline().run(path))
    assert events[3].voxels.energy.tolist() == wanted[3].voxels.energy.tolist()


def test_nan_is_marked_and_never_written(tmp_path: Path) -> None:
    path = write_hits(tmp_path / "hits.h5", [[1.0], [21.0], [2.0], [23.0]])
    summary = with_stage(Broken).process(path, tmp_path / "out.h5", until="classify")
    why = "classify: made NaN or infinite numbers of voxels.features"
    assert [(c.message, c.entries) for c in summary.failures] == [(why, (1, 3))]
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.isfinite(file["voxels/features"][()]).all()
        assert file["events/status"][()].tolist() == [0, 2, 0, 2]


@pytest.mark.parametrize("stage", ["segment", "particles", "interactions", "estimates"])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, stage: str) -> None:
    with safe_open(weights.find(stage), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    name = next(key for key, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[-1] = torch.nan
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    refused(lambda: weights.read(str(tmp_path / "bad.safetensors"), stage), f"NaN .* '{name}'")


def test_scores_that_are_no_numbers_group_nothing() -> None:
    sizes = np.array([3, 4])
    refused(lambda: log_odds(np.array([0.5, np.nan]), sizes, sizes), "made NaN of the scores")


def test_the_order_of_files_and_the_batch_change_no_bit(tmp_path: Path) -> None:
    paths = [write_hits(tmp_path / f"{i}.h5", [[i + 1.0, 2.0]] * 5) for i in range(3)]
    for size in (1, 2, 100):
        for i in (2, 0, 1):
            out = tmp_path / f"{i}_{size}.out"
            pipeline(size).process(paths[i], out)
            assert tables(out) == tables(tmp_path / f"{i}_1.out")


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels of x86")
def test_the_kernels_of_openblas_change_no_bit(tmp_path: Path) -> None:
    for kernel in ("Haswell", "Prescott"):
        run = [sys.executable, "-m", "reco.cli", "run", "lartpc", str(SAMPLE), "--stop", "6", "-o"]
        subprocess.run(
            [*run, str(tmp_path / kernel)],
            env=os.environ | {"OPENBLAS_CORETYPE": kernel},
            check=True,
        )
    assert tables(tmp_path / "Haswell") == tables(tmp_path / "Prescott")


@pytest.mark.slow
def test_memory_is_flat(source: Path, tmp_path: Path) -> None:
    from tests.faults.memory import growth

    assert growth(pipeline(3), source, events=1800).relative < 0.05


def modules() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]


CLOCKS = {"time.time", "time.time_ns"}
FORBIDDEN = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads"}


def test_no_clock_that_jumps_and_nothing_that_runs_text() -> None:
    """Times are measured by clocks that only go on; nothing that is read is ever executed."""
    for path, tree in modules():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        called = {ast.unparse(call.func) for call in calls}
        assert not called & (CLOCKS | FORBIDDEN), path
        for call in calls:
            arguments = {k.arg: ast.unparse(k.value) for k in call.keywords}
            assert arguments.get("shell", "False") == "False", path
            if ast.unparse(call.func) == "torch.load":
                assert arguments["weights_only"] == "True", path
            if ast.unparse(call.func) == "yaml.load":
                assert ast.unparse(call.args[1]) == "_Loader", path
