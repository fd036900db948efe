"""The loop: it resumes to the bit, says what is wrong, and leaves whole checkpoints."""

import csv
import math
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from reco.errors import RecoError
from reco.train.loop import Schedule, learning_rate, sample, train

from .toy import SCHEDULE, Line

ROOT = Path(__file__).parents[2]


def state_of(task: Line) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in task.module.state_dict().items()}


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "last.ckpt", weights_only=True)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Breaks(Line):
    """Raises, or answers with a loss of `value`, at one step."""

    def __init__(self, step: int, value: float | None = None) -> None:
        super().__init__()
        self.step, self.value = step, value

    def loss(self, events, rng):
        terms = super().loss(events, rng)
        if len(self.seen) - 1 != self.step:
            return terms
        if self.value is None:
            raise KeyboardInterrupt
        return {"line": terms["line"] * self.value}


@pytest.mark.parametrize("stop", [1, 2, 4, 5])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, stop):
    whole = Line()
    train(whole, SCHEDULE, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(Breaks(stop), SCHEDULE, tmp_path / "halves", device="cpu")
    task = Line()
    torch.rand(7)  # whatever happened to the random state in between
    record = train(task, SCHEDULE, tmp_path / "halves", device="cpu")
    assert len(task.seen) == SCHEDULE.steps - stop // 2 * 2
    assert same(state_of(task), state_of(whole))
    a, b = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "halves")
    assert same(a["module"], b["module"])
    assert torch.equal(a["torch_rng"], b["torch_rng"])
    assert [r["miss"] for r in a["record"]["curve"]] == [r["miss"] for r in record.curve]
    assert record.events_seen == SCHEDULE.steps * SCHEDULE.batch_size


def test_a_finished_training_is_not_repeated(tmp_path):
    first = Line()
    train(first, SCHEDULE, tmp_path, device="cpu")
    again = Line()
    train(again, SCHEDULE, tmp_path, device="cpu")
    assert again.seen == []
    assert same(state_of(first), state_of(again))


def test_what_is_fitted_at_the_end_is_in_the_record(tmp_path):
    task = Line()
    assert train(task, SCHEDULE, tmp_path, device="cpu").fitted == task.finish()


def test_what_is_returned_is_the_average_in_evaluation_mode(tmp_path):
    task = Line()
    train(task, replace(SCHEDULE, average=0.0), tmp_path / "last", device="cpu")
    assert not task.module.training
    assert same(state_of(task), checkpoint(tmp_path / "last")["module"])
    train(task := Line(), SCHEDULE, tmp_path / "mean", device="cpu")
    stored = checkpoint(tmp_path / "mean")
    assert same(state_of(task), stored["average"])
    assert not same(stored["module"], stored["average"])


def test_the_average_by_hand(tmp_path):
    """Of a batch-norm-free line, followed step by step with checkpoints at each."""
    schedule = replace(SCHEDULE, save_every=1, steps=1)
    states = []
    for steps in range(1, 4):
        # a checkpoint of the same schedule, stopped after so many steps
        folder = tmp_path / str(steps)
        task = Breaks(steps)
        with pytest.raises(KeyboardInterrupt):
            train(task, replace(schedule, steps=4), folder, device="cpu")
        states.append(checkpoint(folder))
    average = state_of(Line())["0.weight"]
    for step, state in enumerate(states):
        decay = min(SCHEDULE.average, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * state["module"]["0.weight"]
        torch.testing.assert_close(state["average"]["0.weight"], average)


def test_curves_are_written(tmp_path):
    train(Line(), SCHEDULE, tmp_path, device="cpu")
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["step"]) for r in rows] == [2, 4, 6]
    assert {"events", "loss_line", "miss"} < set(rows[0])
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(tmp_path, value):
    with pytest.raises(RecoError, match=rf"step 3: the loss is {value}.*last\.ckpt, is whole"):
        train(Breaks(3, value), SCHEDULE, tmp_path, device="cpu")
    stored = checkpoint(tmp_path)
    assert stored["step"] == 2
    assert all(torch.isfinite(v).all() for v in stored["module"].values())


def test_a_gradient_that_is_no_number_reaches_no_checkpoint(tmp_path):
    class Steep(Line):
        def loss(self, events, rng):
            terms = super().loss(events, rng)
            if len(self.seen) == 4:  # the root has an infinite slope at zero
                weight = next(self.module.parameters())
                terms["steep"] = (weight - weight.detach()).abs().sum().sqrt()
            return terms

    schedule = replace(SCHEDULE, save_every=1)
    with pytest.raises(RecoError, match="step 3: the norm of the gradient is"):
        train(Steep(), schedule, tmp_path, device="cpu")
    stored = checkpoint(tmp_path)
    assert stored["step"] == 3
    assert all(torch.isfinite(v).all() for v in stored["module"].values())


def test_no_checkpoint_is_promised_where_there_is_none(tmp_path):
    with pytest.raises(RecoError, match="there is no checkpoint yet"):
        train(Breaks(0, math.nan), SCHEDULE, tmp_path, device="cpu")


def test_an_interrupted_save_leaves_the_last_checkpoint_whole(tmp_path):
    """The disk refuses in the middle of the file, as when it is full."""
    with pytest.raises(KeyboardInterrupt):
        train(Breaks(3), SCHEDULE, tmp_path, device="cpu")
    before = (tmp_path / "last.ckpt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(RecoError, match=r"last\.ckpt: cannot be saved"):
            train(Line(), replace(SCHEDULE), tmp_path, device="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    task, whole = Line(), Line()
    train(task, SCHEDULE, tmp_path, device="cpu")
    train(whole, SCHEDULE, tmp_path / "whole", device="cpu")
    assert same(state_of(task), state_of(whole))


def test_half_a_file_of_a_killed_process_is_in_nobodys_way(tmp_path):
    half = tmp_path / ".last.ckpt.123.part"
    half.write_bytes(b"half")
    train(Line(), SCHEDULE, tmp_path, device="cpu")
    assert checkpoint(tmp_path)["step"] == SCHEDULE.steps
    assert not half.exists()


def test_a_second_training_in_the_same_folder_is_refused(tmp_path):
    class Nosy(Line):
        def loss(self, events, rng):
            with pytest.raises(RecoError, match=r"last\.ckpt: another run \(process"):
                train(Line(), SCHEDULE, tmp_path, device="cpu")
            return super().loss(events, rng)

    train(Nosy(), SCHEDULE, tmp_path, device="cpu")
    train(Line(), SCHEDULE, tmp_path, device="cpu")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04N."])
def test_a_damaged_checkpoint(tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(RecoError, match=r"last\.ckpt: not a checkpoint.*remove it"):
        train(Line(), SCHEDULE, tmp_path, device="cpu")


def test_a_truncated_checkpoint(tmp_path):
    train(Line(), SCHEDULE, tmp_path, device="cpu")
    file = tmp_path / "last.ckpt"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(RecoError, match="damaged"):
        train(Line(), SCHEDULE, tmp_path, device="cpu")


def test_a_checkpoint_of_something_else(tmp_path):
    torch.save({"step": 3}, tmp_path / "last.ckpt")
    with pytest.raises(RecoError, match="not a checkpoint"):
        train(Line(), SCHEDULE, tmp_path, device="cpu")


def test_a_checkpoint_of_another_schedule_or_network(tmp_path):
    train(Line(), SCHEDULE, tmp_path, device="cpu")
    with pytest.raises(RecoError, match="another schedule"):
        train(Line(), replace(SCHEDULE, steps=7), tmp_path, device="cpu")
    with pytest.raises(RecoError, match="another network"):
        train(Line(dropout=0), SCHEDULE, tmp_path, device="cpu")


def test_nothing_to_learn_and_nowhere_to_write(tmp_path):
    with pytest.raises(RecoError, match="not one event"):
        train(Line(events=0), SCHEDULE, tmp_path, device="cpu")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecoError, match="cannot be made"):
        train(Line(), SCHEDULE, tmp_path / "file" / "runs", device="cpu")


def test_learning_rate_rises_to_its_peak_and_falls_to_zero():
    schedule = Schedule(steps=1000, warmup=100, learning_rate=2.0)
    rate = [learning_rate(schedule, step) for step in range(1001)]
    rise, fall = np.diff(rate[:99]), np.diff(rate[120:])
    assert (rise > 0).all()
    assert (fall < 0).all()
    assert rate[0] == pytest.approx(2.0 / 100)
    assert max(rate) == pytest.approx(2.0, rel=0.03)
    assert rate[500] == pytest.approx(1.0)
    assert rate[1000] == pytest.approx(0, abs=1e-12)
    assert learning_rate(Schedule(steps=10, warmup=0, learning_rate=2.0), 0) == 2.0


@pytest.mark.parametrize(("events", "batch"), [(10, 4), (10, 10), (3, 8), (1, 2), (7, 3)])
def test_every_event_comes_once_per_epoch(events, batch):
    schedule = Schedule(steps=1, batch_size=batch)
    stream = [e for step in range(3 * events) for e in sample(events, schedule, step)]
    epochs = [stream[i : i + events] for i in range(0, len(stream), events)]
    assert all(sorted(epoch) == list(range(events)) for epoch in epochs)
    if events > 5:
        assert len({tuple(epoch) for epoch in epochs}) > 1
        assert stream[:batch] != sample(events, replace(schedule, seed=2), 0)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch_size": 0}, {"precision": "16-mixed"}, {"learning_rate": -1.0}]
)
def test_a_schedule_that_makes_no_sense(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TypeAdapter(Schedule).validate_python({"steps": 5, **wrong})


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """Each takes half of a batch of four, and the mean of their gradients is that of the whole."""
    for processes in (1, 2):
        subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run"),
                *("--nproc-per-node", str(processes), "--master-port", "29877"),
                *("-m", "tests.train.toy", str(tmp_path / str(processes)), str(processes)),
            ],
            cwd=ROOT,
            check=True,
            timeout=300,
            capture_output=True,
        )
    one, two = checkpoint(tmp_path / "1"), checkpoint(tmp_path / "2")
    for name, value in one["module"].items():
        torch.testing.assert_close(two["module"][name], value, rtol=1e-5, atol=1e-7)
    assert two["record"]["events_seen"] == one["record"]["events_seen"]
