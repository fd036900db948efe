"""Statistical errors of figures, by drawing the events again."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reco.metrics.report import Findings
from reco.metrics.sections.base import Section
from reco.metrics.stats import half_width

Records = Sequence[tuple[Section[Any], Sequence[Any]]]
"""Each section with what it observed, at least one event."""


def with_errors(findings: Sequence[Findings], records: Records, resamples: int) -> list[Findings]:
    """The rows of the findings with half the 16-84 % width of their values over so many samples of
    the events, drawn with replacement (Efron, Ann. Statist. 7 (1979) 1)."""
    rng = np.random.default_rng(0)
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(resamples):
        for section, seen in records:
            drawn = [seen[i] for i in rng.integers(len(seen), size=len(seen))]
            for row in section.summarise(drawn).rows:
                values[row.section, row.name].append(row.value)
    errors = {key: _width(found) for key, found in values.items()}
    return [
        replace(f, rows=tuple(replace(r, error=errors.get((r.section, r.name))) for r in f.rows))
        for f in findings
    ]


def _width(values: Sequence[float]) -> float | None:
    known = np.array([value for value in values if np.isfinite(value)])
    return half_width(known) if len(known) > 1 else None
