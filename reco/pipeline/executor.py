"""Runs the stages over batches of events; one bad event never stops the others."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import extract_tb
from typing import cast

import numpy as np
import torch

from reco.data.bundle import Bundle
from reco.data.classes import Status
from reco.data.product import Product, column_of
from reco.data.products import MESSAGE_LENGTH, Header, Outcome, Voxels
from reco.data.ragged import Array, Ragged
from reco.errors import InputError, RecoError
from reco.pipeline.join import join
from reco.pipeline.planner import Step
from reco.pipeline.source import Source
from reco.stages.base import Stage

READING = "read"
"""The name under which reading stands among the stages, in times and messages."""
_CPU_ALLOCATOR = "DefaultCPUAllocator"
"""In the RuntimeError of torch where the memory of the machine is not enough."""


class StageError(Exception):
    """A stage (or the reader) raised `cause` on a batch."""

    def __init__(self, stage: str, cause: Exception) -> None:
        super().__init__(f"{stage}: {_one_line(cause)}")
        self.cause = cause


@dataclass
class Clock:
    """seconds: spent in each stage so far, by name, in the order of running."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, and name it in whatever it raises."""
        start = time.perf_counter()
        try:
            yield
        except Exception as error:
            raise StageError(name, error) from error
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Failure:
    """An event without products. header: its numbers. message: why, one line."""

    header: Header
    message: str


@dataclass(frozen=True)
class Executor:
    """A plan with its stages built.

    steps, stages: of equal length. batch_size: events that pass together. strict: raise the first
    failure instead of noting it. spare: makes the same stages on the CPU, for events that the
    memory of the device does not hold; None: there is no other device.
    """

    steps: Sequence[Step]
    stages: Mapping[str, Stage]
    batch_size: int
    strict: bool = False
    spare: Callable[[], Mapping[str, Stage]] | None = None
    clock: Clock = field(default_factory=Clock)

    def run(self, source: Source, start: int, stop: int) -> Iterator[Bundle]:
        """Events start to stop - 1 in batches; every batch holds the same types of products.

        Each has a Header and an Outcome; a failed event has no rows in any table.
        """
        kinds = self._kinds(source)
        for first in range(start, stop, self.batch_size):
            yield self._batch(source, first, min(first + self.batch_size, stop), kinds)

    def run_one(self, bundle: Bundle) -> Bundle:
        """Reconstruct products in memory; raises what went wrong, with the name of the stage."""
        try:
            return self.reconstruct(bundle)
        except StageError as error:
            raise _strict(error) from error.cause

    def _kinds(self, source: Source) -> tuple[type[Product], ...]:
        made = (step.output for step in self.steps)
        return (*(kind for kind in source.kinds if kind is not Outcome), *made)

    def _batch(
        self, source: Source, start: int, stop: int, kinds: Sequence[type[Product]]
    ) -> Bundle:
        try:
            return self.reconstruct(self._read(source, start, stop))
        except StageError as error:
            if self.strict:
                raise _strict(error) from error.cause
        return _assemble([self._alone(source, entry) for entry in range(start, stop)], kinds)

    def _read(self, source: Source, start: int, stop: int) -> Bundle:
        with self.clock.stage(READING):
            return source.read(start, stop)

    def _alone(self, source: Source, entry: int) -> Bundle | Failure:
        header = _unknown(entry)
        try:
            read = self._read(source, entry, entry + 1)
            header = read[Header]
            return self._within_memory(read)
        except StageError as error:
            return Failure(header, str(error))

    def _within_memory(self, event: Bundle) -> Bundle:
        """One event on the device, or on the CPU where the device is too small."""
        try:
            return self.reconstruct(event)
        except StageError as error:
            if self.spare is None or not isinstance(error.cause, torch.OutOfMemoryError):
                raise
        torch.cuda.empty_cache()
        return replace(self, stages=self.spare(), spare=None).reconstruct(event)

    def reconstruct(self, bundle: Bundle) -> Bundle:
        """Pass one batch through all stages; raises StageError."""
        with _one_torch_thread():
            for step in self.steps:
                with self.clock.stage(step.name):
                    stage = cast(Callable[..., Product], self.stages[step.name])
                    product = stage(*(bundle[kind] for kind in step.inputs))
                    _check_product(step, product, len(bundle))
                    bundle = bundle.plus(product)
        kept = (product for product in bundle if not isinstance(product, Outcome))
        return Bundle((*kept, _outcome(bundle)))


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """What torch does to an event is short, and its idle threads would spin on the cores that the
    compiled kernels, which have threads of their own, need."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_product(step: Step, product: Product, n_events: int) -> None:
    if type(product) is not step.output:
        raise InputError(f"returned {type(product).__name__} and not {step.output.__name__}")
    if len(product) != n_events:
        raise InputError(f"returned {len(product)} events of {n_events}")
    for f, data in product.items():
        values = data.values if isinstance(data, Ragged) else data
        if values.dtype.kind == "f" and not _all_finite(values):
            spec = column_of(f)
            if np.isinf(values).any() or "NaN" not in spec.doc:
                raise InputError(f"made NaN or infinite numbers of {spec.table}.{spec.name}")


def _all_finite(values: Array) -> bool:
    if values.dtype == np.float16:  # which numpy widens one by one; of these all bits are set
        return not ((values.view(np.uint16) & 0x7C00) == 0x7C00).any()
    return bool(np.isfinite(values).all())


def _outcome(bundle: Bundle) -> Outcome:
    status = np.full(len(bundle), Status.OK, np.int8)
    message = np.full(len(bundle), b"", f"S{MESSAGE_LENGTH}")
    if Voxels in bundle:
        empty = bundle[Voxels].energy.counts == 0
        status[empty] = Status.EMPTY
        for event in np.flatnonzero(empty).tolist():
            message[event] = _why_empty(bundle[Voxels], event).encode()
    if Outcome in bundle:  # the input is the output of a run: what failed there has no products
        before = bundle[Outcome]
        failed = before.status == Status.FAILED
        status[failed], message[failed] = Status.FAILED, before.message[failed]
    return Outcome(status=status, message=message)


def _why_empty(voxels: Voxels, event: int) -> str:
    hits, outside = int(voxels.n_hits[event]), int(voxels.n_hits_outside[event])
    if hits == 0:
        return "no hits"
    if hits == outside:
        return f"all {hits} hits lie outside the detector; check detector and input.length_unit"
    return f"no voxel above threshold ({hits} hits, {outside} of them outside the detector)"


def _assemble(events: Sequence[Bundle | Failure], kinds: Sequence[type[Product]]) -> Bundle:
    """Join single events; one that failed keeps its numbers and has no rows."""
    whole = [e if isinstance(e, Bundle) else _failed(e, kinds) for e in events]
    return Bundle(tuple(join([event[kind] for event in whole]) for kind in (*kinds, Outcome)))


def _failed(failure: Failure, kinds: Sequence[type[Product]]) -> Bundle:
    outcome = Outcome(
        status=np.array([Status.FAILED]),
        message=np.array([_clip(failure.message)], f"S{MESSAGE_LENGTH}"),
    )
    empty = (kind.empty(1) for kind in kinds if kind is not Header)
    return Bundle((failure.header, *empty, outcome))


def _unknown(entry: int) -> Header:
    none = np.array([-1])
    return Header(run=none, subrun=none, event=none, entry=np.array([entry]))


def _strict(error: StageError) -> Exception:
    return type(error.cause)(str(error)) if isinstance(error.cause, RecoError) else error


def _one_line(error: Exception) -> str:
    text = str(error) if isinstance(error, RecoError) else f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or _CPU_ALLOCATOR in text:
        text = f"does not fit into memory ({text})"
    elif not isinstance(error, RecoError):  # a fault of the code: where
        places = (f"{Path(f.filename).name}:{f.lineno}" for f in extract_tb(error.__traceback__))
        text = f"{text} ({' > '.join(list(places)[-2:])})"
    return " ".join(text.split())


def _clip(message: str) -> bytes:
    return message.encode()[:MESSAGE_LENGTH].decode(errors="ignore").encode()
