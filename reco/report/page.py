"""A page that needs nothing else: every table and figure of an evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby, pairwise
from math import inf
from pathlib import Path

from reco.display.page import Page
from reco.display.scene import Scene
from reco.errors import RecoError
from reco.metrics.headlines import HEADLINES, Headline
from reco.metrics.report import Curve, EventScore, Report, Row, show
from reco.report.figures import curve_figure, event_figure, matrix_figure

MET, MISSED = "met", "missed"
STYLE = """
body{font:15px/1.4 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0}td,th{padding:.15em .7em;text-align:right}
td:first-child,th:first-child{text-align:left}th{border-bottom:1px solid #888}
tr:nth-child(even) td{background:#f6f6f6}.met{color:#0a7d33}.missed{color:#b3261e}
table:first-of-type td{text-align:left}
.plots{display:flex;flex-wrap:wrap;gap:1em}.plots svg{width:380px;height:auto}img{max-width:100%}
"""


def write_report(
    report: Report, facts: Mapping[str, str], scenes: Iterable[Scene], folder: Path
) -> Path:
    """Write index.html and figures.json into the folder; returns the path of the page.

    facts: what the figures hold for, by name. scenes: of the events in report.worst. Raises
    RecoError where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecoError(f"{folder}: cannot be made ({error.strerror})") from None
    report.write_json(folder / "figures.json")
    page = folder / "index.html"
    Page(_html(report, facts, scenes)).write(page)
    return page


def _html(report: Report, facts: Mapping[str, str], scenes: Iterable[Scene]) -> str:
    curves = [curve for curve in report.curves if any(curve.count)]
    body = [
        f"<h1>Evaluation of {report.events} events</h1>",
        _table(("", ""), facts.items()),
        "<p>± is the statistical error (68 %), from samples of the events drawn again.</p>",
        "<h2>What counts</h2>",
        _table(("quantity", "value", "baseline", "aim", "met", "published"), _headlines(report)),
        "<h2>Confusion</h2>",
        _plots(map(matrix_figure, report.matrices)),
        "<h2>Against energy and multiplicity; reliability of scores</h2>",
        _plots(curve_figure(curve) for curve in curves if curve.values),
        "<h2>Residuals and pulls</h2>",
        "<p>The first and last bins hold what lies beyond. Dotted: honest pulls.</p>",
        _plots(curve_figure(curve) for curve in curves if not curve.values),
        "<h2>The worst events</h2>",
        *map(_event, report.worst, scenes),
        "<h2>All figures</h2>",
        *(_section(name, rows) for name, rows in groupby(report.rows, lambda row: row.section)),
        *(_numbers(curve) for curve in curves if curve.values),
    ]
    head = f'<meta charset="utf-8"><title>Evaluation</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'


def _plots(figures: Iterable[str]) -> str:
    return f'<div class="plots">{"".join(figures)}</div>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    lines = ("".join(map(_cell, row)) for row in rows)
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(text: str) -> str:
    verdict = f' class="{text}"' if text in (MET, MISSED) else ""
    return f"<td{verdict}>{escape(text)}</td>"


def _headlines(report: Report) -> Iterable[Sequence[str]]:
    for of in HEADLINES:
        row = of.row(report)
        if row is not None and row.count:
            _, value, baseline, _ = _cells(row)
            yield of.label, value, baseline, _aim(of, row.unit), _verdict(of, row), of.published


def _aim(of: Headline, unit: str) -> str:
    if of.low > -inf and of.high < inf:
        return f"{show(of.low, unit)} to {show(of.high, unit)}"
    if of.low > -inf:
        return f"≥ {show(of.low, unit)}"
    return f"≤ {show(of.high, unit)}" if of.high < inf else ""


def _verdict(of: Headline, row: Row) -> str:
    if of.low == -inf and of.high == inf:
        return ""
    return MET if of.met(row) else MISSED


def _cells(row: Row) -> tuple[str, str, str, str]:
    baseline = "" if row.baseline is None else show(row.baseline, row.unit)
    return row.name, show(row.value, row.unit, row.error), baseline, f"{row.count} {row.of}"


def _section(name: str, rows: Iterable[Row]) -> str:
    table = _table(("", "value", "baseline", "from"), map(_cells, rows))
    return f"<h3>{escape(name)}</h3>{table}"


def _numbers(curve: Curve) -> str:
    columns = zip(pairwise(curve.edges), curve.count, *curve.values.values(), strict=True)
    rows = (
        (f"{low:g}-{high:g}", *(show(value, "%") for value in values), str(count))
        for (low, high), count, *values in columns
        if count
    )
    heads = (curve.x, *curve.values, "count")
    return f"<h3>{escape(curve.name)}</h3>{_table(heads, rows)}"


def _event(score: EventScore, scene: Scene) -> str:
    figures = {
        "classes": score.class_accuracy,
        "particles, ARI": score.particle_ari,
        "interactions, ARI": score.interaction_ari,
    }
    scores = "; ".join(f"{name} {show(value, '%')}" for name, value in figures.items())
    title = f"{escape(scene.title)} (<code>reco view --event {score.event}</code>): {scores}"
    return f'<h3>{title}</h3><img src="{event_figure(scene)}" alt="event {score.event}">'
