"""The training loop: one for every stage.

All randomness of step s comes from (seed, s), so that a resumed run repeats nothing and skips
nothing: the step number is the whole state of the sampler.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import Field
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from reco.errors import RecoError
from reco.io.whole import Whole
from reco.pipeline.lock import locked

CHECKPOINT = "last.ckpt"


class Task(Protocol):
    """What is trained: a stage's module, its data, its loss and its figures of merit."""

    @property
    def module(self) -> nn.Module: ...

    def __len__(self) -> int:
        """Number of training events."""
        ...

    def loss(self, events: Sequence[int], rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Terms of the loss of a batch, by name; their sum is minimised."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures of merit on the validation events; the module is in evaluation mode."""
        ...

    def finish(self) -> dict[str, float]:
        """What is fitted once, after training, with the averaged weights in the module."""
        ...


S = TypeVar("S")


class SampleTask(Generic[S]):
    """What tasks have in common that hold their events in memory, as samples of type S.

    samples, held_out: for training and for validation.
    """

    def __init__(self, module: nn.Module, samples: Sequence[S], held_out: Sequence[S]) -> None:
        self.module = module
        self.samples, self.held_out = samples, held_out

    def __len__(self) -> int:
        return len(self.samples)

    def finish(self) -> dict[str, float]:
        """See Task; nothing is fitted."""
        return {}


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    steps, batch_size: updates, and events per update. learning_rate: peak, reached after
    warmup steps, then half a cosine to zero. clip: largest norm of the gradient. average: decay of
    the moving average of the weights that is validated and shipped. validate_every,
    save_every: in steps. seed: of everything random. precision: bf16-mixed is for GPUs.
    """

    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    warmup: Annotated[int, Field(ge=0)] = 100
    clip: Annotated[float, Field(gt=0)] = 5.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.998
    validate_every: Annotated[int, Field(ge=1)] = 500
    save_every: Annotated[int, Field(ge=1)] = 100
    seed: Annotated[int, Field(ge=0)] = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


STATE = {"schedule", "module", "optimizer", "average", "step", "record", "torch_rng"}
"""What a checkpoint holds."""


@dataclass
class Record:
    """What a training run can say of itself; it goes into the metadata of the weights."""

    events_seen: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    fitted: dict[str, float] = field(default_factory=dict)


def train(
    task: Task, schedule: Schedule, folder: Path, *, device: str = "auto", processes: int = 1
) -> Record:
    """Train to the end of the schedule, from the last checkpoint in `folder` if there is one.

    Leaves in `folder`: last.ckpt (weights, average, optimiser, record), metrics.csv, TensorBoard
    events. processes: share of a batch each, started by torchrun; on a CPU, one per core trains
    faster than one with many threads. On return task.module holds the averaged weights, in
    evaluation mode.

    Raises RecoError when there are no events, the loss is not a number, the folder cannot be
    written, another training writes there, or its checkpoint is damaged or of another one.
    """
    if len(task) == 0:
        raise RecoError("training: not one event to learn from; give files with truth")
    if schedule.batch_size < processes:
        raise RecoError(f"batch_size {schedule.batch_size}: fewer than {processes} processes share")
    _make(folder)
    fabric = Fabric(
        accelerator=device,
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        precision=schedule.precision,
    )
    fabric.launch()
    torch.manual_seed(schedule.seed)
    with locked(folder / CHECKPOINT) if fabric.is_global_zero else nullcontext():
        run = _Run(task, schedule, folder, fabric)
        run.resume()
        run.to_the_end()
        with torch.inference_mode():
            run.record.fitted = task.finish()
        return run.record


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecoError(f"{folder}: cannot be made ({error.strerror}); -o FOLDER") from None


class _Saved(Whole):
    def close(self) -> None:
        """Whoever writes it closes it."""


class _Run:
    def __init__(self, task: Task, schedule: Schedule, folder: Path, fabric: Fabric) -> None:
        self.task, self.schedule, self.folder, self.fabric = task, schedule, folder, fabric
        self.record = Record()
        self.step = 0
        self.optimizer = torch.optim.AdamW(
            task.module.parameters(),
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
        )
        fabric.to_device(task.module)
        self.average = _copy_of(task.module.state_dict())

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = self._stored()
        if state["schedule"] != asdict(self.schedule):
            raise RecoError(
                f"{self.checkpoint}: was made with another schedule ({state['schedule']}); "
                "repeat it, or choose another folder"
            )
        try:
            self.task.module.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError):
            raise RecoError(
                f"{self.checkpoint}: is of another network; choose another folder"
            ) from None
        for name, value in self.average.items():
            value.copy_(state["average"][name])
        self.step = state["step"]
        self.record = Record(**state["record"])
        torch.set_rng_state(state["torch_rng"])

    def _stored(self) -> dict[str, Any]:
        """The checkpoint, with all that `save` puts into it."""
        state: Any = None
        # a damaged file raises whatever its first wrong byte leads to
        with suppress(Exception):
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        if isinstance(state, dict) and state.keys() >= STATE:
            return state
        raise RecoError(
            f"{self.checkpoint}: not a checkpoint of a training, or damaged; remove it to start "
            "again, or choose another folder"
        )

    def save(self) -> None:
        state = {
            "schedule": asdict(self.schedule),
            "module": self.task.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "record": asdict(self.record),
            "torch_rng": torch.get_rng_state(),
        }
        try:
            with _Saved(self.checkpoint) as new:
                torch.save(state, new.temporary)
        except (OSError, RuntimeError) as error:
            raise RecoError(f"{self.checkpoint}: cannot be saved ({error})") from None

    def to_the_end(self) -> None:
        schedule = self.schedule
        with SummaryWriter(str(self.folder)) as board, _progress() as progress:
            bar = progress.add_task("training", total=schedule.steps, completed=self.step, loss="")
            while self.step < schedule.steps:
                terms = self.update()
                if not self.fabric.is_global_zero:
                    continue
                progress.update(bar, advance=1, loss=f"loss {sum(terms.values()):.3f}")
                last = self.step == schedule.steps
                if self.step % schedule.validate_every == 0 or last:
                    self.report(board, terms)
                if self.step % schedule.save_every == 0 or last:
                    self.save()
        self.task.module.load_state_dict(self.average)
        self.task.module.eval()

    def update(self) -> dict[str, float]:
        began = perf_counter()
        schedule, module = self.schedule, self.task.module
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(schedule, self.step)
        module.train()
        events = sample(len(self.task), schedule, self.step)
        mine = events[self.fabric.global_rank :: self.fabric.world_size]
        with self.fabric.autocast():
            rng = np.random.default_rng([schedule.seed, 1, self.step, self.fabric.global_rank])
            terms = self.task.loss(mine, rng)
        total = torch.stack(list(terms.values())).sum()
        self._check("loss", total, mine)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        self._share_gradients()
        norm = nn.utils.clip_grad_norm_(module.parameters(), schedule.clip)
        self._check("norm of the gradient", norm, mine)
        self.optimizer.step()
        self._update_average()
        self.step += 1
        self.record.events_seen += len(events)
        self.record.seconds += perf_counter() - began
        return {name: float(term.detach()) for name, term in terms.items()}

    def _check(self, what: str, value: torch.Tensor, events: Sequence[int]) -> None:
        """Before the weights change, so that no checkpoint ever holds what is not a number."""
        if torch.isfinite(value):
            return
        kept = f"the last checkpoint, {self.checkpoint}, is whole"
        raise RecoError(
            f"step {self.step}: the {what} is {float(value)} for events {list(events)}; "
            f"{kept if self.checkpoint.exists() else 'there is no checkpoint yet'}. "
            "Lower learning_rate, or look at these events"
        )

    def _share_gradients(self) -> None:
        """Mean over the processes, in one message."""
        if self.fabric.world_size == 1:
            return
        gradients = [_gradient(p) for p in self.task.module.parameters() if p.requires_grad]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.fabric.world_size
        sizes = [g.numel() for g in gradients]
        parts = torch.split(flat, sizes)
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _update_average(self) -> None:
        # The decay grows from zero, so that the average forgets the random start.
        decay = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        for name, value in self.task.module.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def report(self, board: SummaryWriter, terms: Mapping[str, float]) -> None:
        figures = {**{f"loss_{name}": value for name, value in terms.items()}, **self.validate()}
        row = {"step": float(self.step), "events": float(self.record.events_seen), **figures}
        self.record.curve.append(row)
        for name, value in figures.items():
            board.add_scalar(name, value, self.step)
        try:
            with (self.folder / "metrics.csv").open("w", newline="") as file:
                table = csv.DictWriter(file, list(row))
                table.writeheader()
                table.writerows(self.record.curve)
        except OSError as error:
            raise RecoError(f"{self.folder}: cannot be written ({error.strerror})") from None

    def validate(self) -> dict[str, float]:
        module = self.task.module
        current = _copy_of(module.state_dict())
        module.load_state_dict(self.average)
        module.eval()
        with torch.inference_mode():
            figures = self.task.validate()
        module.load_state_dict(current)
        return figures


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    """That of a process whose events did not ask for the parameter is zero."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def learning_rate(schedule: Schedule, step: int) -> float:
    """Linear rise over the warm-up, then half a cosine to zero."""
    rise = min(1.0, (step + 1) / max(schedule.warmup, 1))
    fall = 0.5 * (1 + math.cos(math.pi * min(step / schedule.steps, 1.0)))
    return schedule.learning_rate * rise * fall


def sample(n_events: int, schedule: Schedule, step: int) -> list[int]:
    """Events of a step: every event once per epoch, in an order of that epoch's own."""
    first = step * schedule.batch_size
    chosen = []
    for position in range(first, first + schedule.batch_size):
        epoch, place = divmod(position, n_events)
        chosen.append(int(_order(n_events, schedule.seed, epoch)[place]))
    return chosen


def _order(n_events: int, seed: int, epoch: int) -> Any:
    return np.random.default_rng([seed, 2, epoch]).permutation(n_events)


def _copy_of(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
