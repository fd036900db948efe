"""A pipeline that can run: configuration, detector, and the stages once they are needed."""

import ctypes
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numba
import numpy as np
import torch

from reco import config as configuration
from reco.config import PipelineConfig
from reco.data.bundle import Bundle
from reco.data.classes import Status
from reco.data.product import Product, column_of
from reco.data.products import Header, Hits, Outcome, Quantity, TruthDeposits
from reco.data.ragged import Array, Ragged
from reco.detector import Detector
from reco.errors import ConfigError, RecoError, naming
from reco.io.store import Writer
from reco.pipeline.arrays import hits_of
from reco.pipeline.causes import Cause, Causes
from reco.pipeline.executor import Clock, Executor
from reco.pipeline.join import join
from reco.pipeline.lock import locked
from reco.pipeline.planner import Plan, only_for, plan
from reco.pipeline.provenance import check_grid, provenance
from reco.pipeline.source import Source, open_source
from reco.schema import validate
from reco.stages import find
from reco.stages.base import Context, Stage, StageOptions, precision_of
from reco.suggest import unknown

if TYPE_CHECKING:
    from reco.event import Event

RAW = (Hits, TruthDeposits)
"""Products of the input that an output does not repeat."""

Progress = Callable[[int, int], None]
"""Called after every batch with the events done and the events in all."""


@dataclass(frozen=True)
class Summary:
    """What a run did.

    events, empty, failed: numbers of events; the others were reconstructed. rows: per table.
    stage_seconds: per stage, reading and writing among them. seconds: from the first event to the
    last. failures: why events failed, the commonest reason first. first_empty: (entry, message) of
    the first empty one, if there is any.
    """

    output: Path
    events: int
    empty: int
    failed: int
    rows: dict[str, int]
    stage_seconds: dict[str, float]
    seconds: float
    failures: tuple[Cause, ...]
    first_empty: tuple[int, str] | None = None

    @property
    def reconstructed(self) -> int:
        return self.events - self.empty - self.failed


class Pipeline:
    """The chain on one detector. Stages, and their weights, load when they are first needed.

    Raises ConfigError where an option of a stage or the detector is wrong.
    """

    def __init__(self, config: PipelineConfig, source: str = "pipeline") -> None:
        self.config, self.source = config, source
        with naming(f"{source}: detector"):
            self.detector = Detector.load(config.detector)
        self.device = _device(config.run.device)
        self._classes: dict[str, type[Stage]] = {}
        self._options: dict[str, StageOptions] = {}
        for key, content in config.stages.items():
            stage, path = find(key), f"stages.{key}"
            if stage.name in self._classes:
                raise ConfigError(f"{source}: {path}: a second stage named {stage.name!r}")
            self._classes[stage.name] = stage
            self._options[stage.name] = validate(stage.Options, content, source, path)
        self._stages: dict[tuple[str, str], Stage] = {}
        _set_threads(configuration.threads(config.run))
        _keep_freed_memory()

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> "Pipeline":
        """Read a pipeline file; see `reco.config.load`."""
        overrides, source = tuple(overrides), str(configuration.find(path))
        with configuration.blaming(overrides, source):
            return cls(configuration.load(path, overrides), source)

    def plan(self, kinds: Iterable[type[Product]], until: str | None = None) -> Plan:
        """The order of the stages on an input that has these products."""
        with naming(self.source):
            return plan(self._classes, kinds, until)

    def run(
        self,
        path: str | Path,
        *,
        start: int = 0,
        stop: int | None = None,
        until: str | None = None,
        strict: bool = False,
    ) -> "Iterator[Event]":
        """Reconstruct the events of a file, one after the other.

        start, stop: range of entries. until: last stage. strict: raise where an event fails,
        instead of giving it the status FAILED and going on.
        """
        with open_source(path, self.config.input) as source:
            chosen = _range(source, start, stop)
            executor = self._executor(source, until, strict=strict)
            for bundle in executor.run(source, chosen.start, chosen.stop):
                yield from (self._event(bundle.at(i), source) for i in range(len(bundle)))

    def products(
        self, path: str | Path, kinds: Iterable[type[Product]], *, stored: bool = False
    ) -> Iterator[Bundle]:
        """These products of the events of a file, in batches, by the stages they need alone.

        Events that are empty or fail are left out. Raises ConfigError where the file has no truth
        and a product needs it.
        """
        kinds = tuple(kinds)
        with open_source(path, self.config.input, stored=stored) as source:
            if stored:
                check_grid(path, source.provenance, self.detector)
            steps = only_for(self.plan(source.kinds), kinds, source.kinds)
            for bundle in self._build(steps).run(source, 0, len(source)):
                good = np.flatnonzero(bundle[Outcome].status == Status.OK)
                if len(good) == len(bundle):
                    yield bundle.select(kinds)
                elif len(good):
                    yield Bundle.concat([bundle.at(i).select(kinds) for i in good.tolist()])

    def fresh_stage(self, name: str, weights: str | None = None) -> Stage:
        """A stage to be trained: as configured, without weights, or from those named.

        Raises ConfigError.
        """
        if name not in self._classes:
            problem = f"stage {name!r} is not in the pipeline"
            raise ConfigError(unknown(problem, name, self._classes, "it has"))
        stage, options = self._classes[name], self._options[name]
        fresh = {"weights": weights} if hasattr(options, "weights") else {}
        return stage(options.model_copy(update=fresh), Context(self.detector, self.device))

    def __call__(
        self,
        hits: Hits | Array,
        value: Array | None = None,
        time: Array | None = None,
        quantity: Quantity | str | None = None,
        until: str | None = None,
    ) -> "Event":
        """Reconstruct one event from arrays: position (N, 3) in cm, value (N,), time (N,) in us.

        quantity: what value is: `energy` in MeV or `charge` in thousands of electrons; there is no
        default, as a wrong one would only show in the energies. A Hits product of one event is
        taken as it is. Raises InputError on hits that cannot be used.
        """
        hits = hits_of(hits, value, time, quantity)
        number = np.zeros(1, np.int64)
        bundle = Bundle((Header(run=number, subrun=number, event=number, entry=number), hits))
        executor = self._build(self.plan((Header, Hits), until), strict=True)
        return self._event(executor.run_one(bundle))

    def process(
        self,
        path: str | Path,
        output: str | Path,
        *,
        start: int = 0,
        stop: int | None = None,
        until: str | None = None,
        stored: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Summary:
        """Reconstruct a file into another; `output` appears when it is complete.

        stored: path is the output of an earlier run, and its products are not made again.
        Raises RecoError when output exists (unless overwrite) or is being written by another run.
        """
        output = Path(output)
        _check_output(Path(path), output, overwrite)
        with open_source(path, self.config.input, stored=stored) as source, locked(output):
            if stored:
                check_grid(path, source.provenance, self.detector)
            chosen = _range(source, start, stop)
            executor = self._executor(source, until)
            facts = provenance(self.config, self.detector, executor.stages, source, chosen)
            internal = self.config.output.internal
            keep = internal if internal is not None else until is not None
            with Writer(output, facts, internal=keep) as writer:
                return _write(writer, executor, source, chosen, progress)

    def _event(self, bundle: Bundle, source: Source | None = None) -> "Event":
        from reco.event import Event  # `reco run` goes without awkward

        boxes = np.array([(v.lower, v.upper) for v in self.detector.volumes])
        return Event(bundle, boxes, "" if source is None else Path(source.path).name)

    def _executor(self, source: Source, until: str | None, *, strict: bool = False) -> Executor:
        try:
            return self._build(self.plan(source.kinds, until), strict=strict)
        except ConfigError as error:
            if source.format != "reco":
                raise
            raise ConfigError(
                f"{error}\n{source.path}: a run goes on only from products stored with --until "
                "or --set output.internal=true"
            ) from None

    def _build(self, steps: Plan, *, strict: bool = False) -> Executor:
        stages = self._built(steps, self.device)
        cpu = torch.device("cpu")
        spare = None if self.device == cpu else partial(self._built, steps, cpu)
        return Executor(steps.steps, stages, self.config.run.batch_size, strict, spare)

    def _built(self, steps: Plan, device: torch.device) -> dict[str, Stage]:
        wanted = self.config.run.precision if device == self.device else "auto"
        context = Context(self.detector, device, precision_of(wanted, device))
        for step in steps.steps:
            key = (step.name, str(device))
            if key not in self._stages:
                with naming(f"{self.source}: stages.{step.name}"):
                    self._stages[key] = step.stage(self._options[step.name], context)
        return {step.name: self._stages[step.name, str(device)] for step in steps.steps}


def load(path: str | Path, overrides: Iterable[str] = ()) -> Pipeline:
    """Load a pipeline: a path, or the name of a shipped one (`lartpc`).

    overrides: `key.path=value` each, such as `run.device=cpu`.
    """
    return Pipeline.load(path, overrides)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"run.device: {name} asked for, but torch finds no GPU; use auto or cpu")
    return torch.device(name)


def _set_threads(n: int) -> None:
    torch.set_num_threads(n)
    numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next arrays of up to 32 MB: new pages for what each
    layer of a network makes would cost a tenth of its time. The process stays as large as its
    largest event made it."""
    m_trim_threshold, m_mmap_threshold = -1, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    if mallopt(m_mmap_threshold, 32 << 20):
        mallopt(m_trim_threshold, 512 << 20)


def _range(source: Source, start: int, stop: int | None) -> range:
    n = len(source)
    last = n if stop is None else min(stop, n)
    if start < 0 or last < start or (start >= n > 0):
        raise RecoError(f"{source.path}: events {start} to {stop} asked for, the file has {n}")
    return range(start, last)


def _check_output(path: Path, output: Path, overwrite: bool) -> None:
    if output.is_dir():
        raise RecoError(f"{output}: is a folder; give the name of a file")
    if not output.exists():
        return
    if not output.is_file():
        raise RecoError(f"{output}: is a device or a pipe; give the name of a file")
    if path.exists() and output.samefile(path):
        raise RecoError(f"{output}: is the input itself; choose another output with -o")
    if not overwrite:
        raise RecoError(f"{output}: exists; add --overwrite or choose another output with -o")


def _write(
    writer: Writer, executor: Executor, source: Source, events: range, progress: Progress | None
) -> Summary:
    tally = _Tally(writer.path, executor.clock)
    waiting: list[Bundle] = []
    for bundle in executor.run(source, events.start, events.stop):
        tally.add(bundle)
        waiting.append(bundle)
        # the file takes the width of the features from the first batch that has any
        if not tally.only_failures:
            _flush(writer, waiting, executor.clock)
        if progress:
            progress(tally.events, len(events))
    _flush(writer, waiting, executor.clock)
    return tally.summary()


def _flush(writer: Writer, waiting: list[Bundle], clock: Clock) -> None:
    if not waiting:
        return
    kinds = [type(product) for product in waiting[0] if not isinstance(product, RAW)]
    with clock.stage("write"):
        writer.write([join([bundle[kind] for bundle in waiting]) for kind in kinds])
    waiting.clear()


class _Tally:
    """Counts events and rows as they go by."""

    def __init__(self, output: Path, clock: Clock) -> None:
        self.output = output
        self.clock = clock
        self.events = self.empty = self.failed = 0
        self.rows: dict[str, int] = {}
        self.causes = Causes()
        self.first_empty: tuple[int, str] | None = None
        self.began = perf_counter()

    @property
    def only_failures(self) -> bool:
        return self.failed == self.events

    def add(self, bundle: Bundle) -> None:
        outcome, entry = bundle[Outcome], bundle[Header].entry
        self.events += len(bundle)
        notes = [(int(i), text.decode()) for i, text in zip(entry, outcome.message, strict=True)]
        empty = np.flatnonzero(outcome.status == Status.EMPTY)
        failed = np.flatnonzero(outcome.status == Status.FAILED)
        self.empty += len(empty)
        self.failed += len(failed)
        if self.first_empty is None and len(empty):
            self.first_empty = notes[empty[0]]
        for i in failed.tolist():
            self.causes.add(*notes[i])
        for table, rows in _rows(bundle).items():
            self.rows[table] = self.rows.get(table, 0) + rows

    def summary(self) -> Summary:
        return Summary(
            self.output,
            self.events,
            self.empty,
            self.failed,
            self.rows,
            self.clock.seconds,
            perf_counter() - self.began,
            self.causes.all(),
            self.first_empty,
        )


def _rows(bundle: Bundle) -> dict[str, int]:
    """Rows of each table that an output has, but for `events`."""
    return {
        column_of(f).table: len(data.values)
        for product in bundle
        if not isinstance(product, RAW)
        for f, data in product.items()
        if isinstance(data, Ragged)
    }
