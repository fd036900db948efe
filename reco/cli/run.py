"""`reco run`."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from reco import config as configuration
from reco.cli import scale
from reco.cli.console import fail, progress, tell_first_run
from reco.cli.files import check_free, expand, inputs
from reco.detector import Detector
from reco.errors import FormatError, RecoError
from reco.io.recognise import open_input
from reco.io.store import StoredProducts

if TYPE_CHECKING:
    from reco.config import PipelineConfig
    from reco.pipeline import Pipeline, Summary

SOME_FAILED = 3
"""Exit code when a run is complete and some of its events failed."""
OTHER_FORMATS = (".root", ".parquet", ".csv")
TABLES = ("voxels", "particles", "interactions")
MOST_CAUSES = 5
"""Reasons for failures that are printed one by one."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; see `reco run --help`."""

    inputs: tuple[str, ...]
    stored: Path | None
    output: Path | None
    until: str | None
    start: int
    stop: int | None
    overwrite: bool


def run_all(pipeline: str, overrides: Sequence[str], request: Request) -> int:
    """Run the pipeline over every input; the exit code."""
    config = configuration.load(pipeline, overrides)
    jobs = outputs_of(request)
    _check_early(config, jobs, request)
    from reco.pipeline import Pipeline  # not above: torch takes seconds to load

    tell_first_run()
    _spare_extensions()
    source = str(configuration.find(pipeline))
    with configuration.blaming(overrides, source):
        pipe = Pipeline(config, source)
        if len(jobs) == 1:
            return _run_one(pipe, *jobs[0], request)
        return _run_several(pipe, jobs, request)


def _run_several(
    pipe: "Pipeline", jobs: Sequence[tuple[str | Path, Path]], request: Request
) -> int:
    codes: list[int] = []
    try:
        codes.extend(_run_on(pipe, path, output, request) for path, output in jobs)
    except KeyboardInterrupt:
        done = f"{len(codes)} of {len(jobs)} inputs are done and kept in {jobs[0][1].parent}"
        raise KeyboardInterrupt(
            f"{done}; the same command goes on, and tells of each of these that it exists"
        ) from None
    return max(codes)


def _spare_extensions() -> None:
    """Kernels take plain arrays: numba need not import awkward and vector, which extend it."""
    from numba.core import entrypoints

    entrypoints._already_initialized = True


def _check_early(
    config: "PipelineConfig", jobs: Sequence[tuple[str | Path, Path]], request: Request
) -> None:
    """Raise RecoError for mistakes that need no stage, and no event, to be found."""
    if not any(":" in name for name in config.stages):  # a stage of one's own has its own name
        configuration.check_until(request.until, config.stages)
    path, output = jobs[0]
    if len(jobs) == 1 and output.is_file() and Path(path) != output:
        check_free(output, request.overwrite)


def _run_on(pipe: "Pipeline", path: str | Path, output: Path, request: Request) -> int:
    """One of several files: one that cannot be read does not stop the others."""
    try:
        return _run_one(pipe, path, output, request)
    except RecoError as error:
        fail(str(error))
        return SOME_FAILED


def outputs_of(request: Request) -> list[tuple[str | Path, Path]]:
    """(input, output) of every file. Raises RecoError when they do not make sense."""
    if request.stored is not None:
        if request.inputs:
            raise RecoError("give INPUT or --from FILE, not both")
        paths: list[str | Path] = [*expand([str(request.stored)])]
    else:
        paths = inputs(request.inputs)
    if not paths:
        raise RecoError("give at least one INPUT, or --from FILE")
    folder = request.output
    if folder is not None and folder.suffix in OTHER_FORMATS:
        raise RecoError(
            f"{folder}: `reco run` writes HDF5; name it .h5, then `reco convert` it to "
            f"{folder.suffix[1:]}"
        )
    if len(paths) == 1 and not (folder and folder.is_dir()):
        return [(paths[0], request.output or _default(paths[0]))]
    if folder is None or folder.suffix in (".h5", ".hdf5"):
        raise RecoError(f"{len(paths)} inputs need a folder for their outputs: -o FOLDER")
    return _into(folder, paths)


def _into(folder: Path, paths: Sequence[str | Path]) -> list[tuple[str | Path, Path]]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecoError(f"{folder}: cannot be made ({error.strerror}); -o FOLDER") from None
    inputs_of: dict[Path, list[str]] = {}
    for path in paths:
        inputs_of.setdefault(folder / _default(path), []).append(str(path))
    for output, same in inputs_of.items():
        if len(same) > 1:
            raise RecoError(
                f"{' and '.join(same)} would both be written to {output}; run them one by one, "
                "each with an -o of its own"
            )
    return [(path, folder / _default(path)) for path in paths]


def _default(path: str | Path) -> Path:
    return Path(f"{Path(path).stem}_reco.h5")


def _run_one(pipe: "Pipeline", path: str | Path, output: Path, request: Request) -> int:
    with progress(Path(path).name) as report, _kept(output):
        summary = pipe.process(
            path,
            output,
            start=request.start,
            stop=request.stop,
            until=request.until,
            stored=request.stored is not None,
            overwrite=request.overwrite,
            progress=report,
        )
    show(summary)
    notes = _odd(pipe, path, request.start) if request.stored is None else []
    for odd in [*notes, *_forgotten(path, pipe.detector)]:
        print(f"note: {odd}", file=sys.stderr)
    return SOME_FAILED if summary.failed else 0


def _odd(pipe: "Pipeline", path: str | Path, first: int) -> list[str]:
    """What to know of an input that was run, as far as it can still be read."""
    notes: list[str] = []
    with suppress(FormatError), open_input(path, pipe.config.input) as reader:
        notes += reader.describe().notes
        notes += scale.of_input(reader, pipe.detector, first)  # bad events have been told
    return notes


def _forgotten(path: str | Path, detector: Detector) -> list[str]:
    """That the input was made with dead boxes of which this run is not told."""
    made: Mapping[str, Any] = {}
    with suppress(FormatError, OSError), StoredProducts(path) as stored:
        made = stored.provenance.get("detector") or {}
    if not made.get("dead") or detector.dead:
        return []
    return [
        f"made with the detector {made['name']!r}, of which {len(made['dead'])} boxes are dead; "
        f"{detector.name!r} has none: --set detector=... takes the other"
    ]


@contextmanager
def _kept(output: Path) -> Iterator[None]:
    """On Ctrl-C, say what there is."""
    before = output.exists()
    try:
        yield
    except KeyboardInterrupt:
        there = "is the one from before" if before else "was not written"
        raise KeyboardInterrupt(
            f"{output} {there}, nothing of this run is kept, as an output appears when it is "
            "complete; `reco submit` keeps what is done, in pieces, and goes on from there"
        ) from None


def show(summary: "Summary") -> None:
    """Print the closing table, and why events are empty or failed."""
    console = Console(file=sys.stdout, highlight=False)
    console.print(_table(summary))
    console.print(f"written to {summary.output}", markup=False, soft_wrap=True)
    if summary.first_empty:
        entry, message = summary.first_empty
        print(f"empty: {summary.empty} events, first entry {entry}: {message}", file=sys.stderr)
    for cause in summary.failures[:MOST_CAUSES]:
        fail(str(cause))
    more = sum(cause.events for cause in summary.failures[MOST_CAUSES:])
    if more > 0:
        fail(f"and {more} more; all are in events.message of the output")


def _table(summary: "Summary") -> Table:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    rate = summary.events / max(summary.seconds, 1e-9)
    table.add_row("events read", str(summary.events), f"{rate:.1f} /s")
    table.add_row("reconstructed", str(summary.reconstructed), "")
    if summary.empty:
        table.add_row("empty", str(summary.empty), "")
    table.add_row("failed", str(summary.failed), "", style="red" if summary.failed else None)
    table.add_section()
    for name in TABLES:
        if name in summary.rows:
            each = summary.rows[name] / max(summary.events, 1)
            table.add_row(name, str(summary.rows[name]), f"{each:.1f} /event")
    table.add_section()
    for stage, seconds in summary.stage_seconds.items():
        each = 1e3 * seconds / max(summary.events, 1)
        table.add_row(stage, f"{seconds:.2f} s", f"{each:.1f} ms/event")
    return table
