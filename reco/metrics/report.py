"""The result of an evaluation, as a table for people and as JSON."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from reco.errors import RecoError
from reco.metrics.tables import Settings


@dataclass(frozen=True)
class Row:
    """One figure.

    value, baseline: of the chain and of the simple method on the same events (None: there is no
    simple method); NaN where nothing could be measured. count: how many `of` it is taken over.
    unit: "%" for a fraction, which value holds as 0..1. error: statistical, 68 % (None: not
    determined).
    """

    section: str
    name: str
    value: float
    unit: str
    count: int
    of: str
    baseline: float | None = None
    error: float | None = None


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix. counts: a row per true class, a column per class, then one for none."""

    name: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Curve:
    """Figures in bins of x; edges: one more than the bins. values: what -> fraction per bin; none
    for a histogram, whose first and last bins hold all that lies beyond them as well."""

    name: str
    x: str
    edges: tuple[float, ...]
    values: Mapping[str, tuple[float, ...]]
    count: tuple[int, ...]


@dataclass(frozen=True)
class EventScore:
    """Of one event, by its position among those evaluated; NaN what it has not."""

    event: int
    class_accuracy: float
    particle_ari: float
    interaction_ari: float


@dataclass(frozen=True)
class Findings:
    """What one section of the evaluation has to say."""

    rows: tuple[Row, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    curves: tuple[Curve, ...] = ()
    worst: tuple[EventScore, ...] = ()


@dataclass(frozen=True)
class Report:
    """All figures of one evaluation over so many events, and the settings they hold for; and the
    events that came out worst, the worst first."""

    events: int
    settings: Settings
    rows: tuple[Row, ...]
    matrices: tuple[Matrix, ...]
    curves: tuple[Curve, ...]
    worst: tuple[EventScore, ...]

    @classmethod
    def of(cls, events: int, settings: Settings, findings: Iterable[Findings]) -> "Report":
        """Join the findings; rows of one section stand together, where it came first."""
        parts = list(findings)
        rows = [row for part in parts for row in part.rows]
        place = {row.section: i for i, row in reversed(list(enumerate(rows)))}
        return cls(
            events=events,
            settings=settings,
            rows=tuple(sorted(rows, key=lambda row: place[row.section])),
            matrices=tuple(matrix for part in parts for matrix in part.matrices),
            curves=tuple(curve for part in parts for curve in part.curves),
            worst=tuple(score for part in parts for score in part.worst),
        )

    def row(self, section: str, name: str) -> Row:
        """The row of that name. Raises KeyError when the evaluation did not make it."""
        for row in self.rows:
            if (row.section, row.name) == (section, name):
                return row
        raise KeyError(f"{section}: {name}")

    def to_json(self) -> str:
        """The whole report; numbers that do not exist are null."""
        return json.dumps(_finite(asdict(self)), indent=1, allow_nan=False)

    def write_json(self, path: str | Path) -> None:
        """Raises RecoError where it cannot be written."""
        try:
            Path(path).write_text(self.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise RecoError(f"{path}: cannot be written ({error.strerror})") from None

    def render(self) -> RenderableType:
        """Everything, for a rich console."""
        return Group(
            _figures(self),
            *(_matrix(matrix) for matrix in self.matrices),
            *(_curve(curve) for curve in self.curves if any(curve.count) and curve.values),
        )

    def print(self, console: Console | None = None) -> None:
        (console or Console()).print(self.render())


def _figures(report: Report) -> Table:
    table = Table(title=f"{report.events} events", title_justify="left")
    table.add_column("quantity")
    for name in ("value", "baseline", "from"):
        table.add_column(name, justify="right")
    section = ""
    for row in report.rows:
        if row.section != section:
            section = row.section
            table.add_section()
            table.add_row(f"[bold]{section}[/bold]")
        baseline = "" if row.baseline is None else show(row.baseline, row.unit)
        value = show(row.value, row.unit, row.error)
        table.add_row(f"  {row.name}", value, baseline, f"{row.count} {row.of}")
    return table


def _matrix(matrix: Matrix) -> Table:
    table = Table(title=f"{matrix.name} (rows: truth, %)", title_justify="left")
    table.add_column("")
    for label in (*matrix.labels, "none", "count"):
        table.add_column(label, justify="right")
    for label, counts in zip(matrix.labels, matrix.counts, strict=True):
        total = sum(counts)
        shares = (show(n / total if total else math.nan, "%") for n in counts)
        table.add_row(label, *shares, str(total))
    return table


def _curve(curve: Curve) -> Table:
    table = Table(title=curve.name, title_justify="left")
    for name in (curve.x, *curve.values, "count"):
        table.add_column(name, justify="right")
    columns = zip(pairwise(curve.edges), curve.count, *curve.values.values(), strict=True)
    for (low, high), count, *values in columns:
        if count:
            shares = (show(value, "%") for value in values)
            table.add_row(f"{low:g}-{high:g}", *shares, str(count))
    return table


def show(value: float, unit: str, error: float | None = None) -> str:
    """A figure as people read it: fractions in per cent, a dash for NaN."""
    if math.isnan(value):
        return "-"
    known = error is not None and math.isfinite(error)
    if unit == "%":
        spread = f" ± {100 * error:.2f}" if known and error is not None else ""
        return f"{100 * value:.2f}{spread} %"
    spread = f" ± {error:.1g}" if known else ""
    return f"{value:.3g}{spread} {unit}".rstrip()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
