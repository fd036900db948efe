"""Do scores mean what they say? Of all that have a score of 0.8, 80 % should be right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reco.data.ragged import Array
from reco.metrics.event import Event
from reco.metrics.report import Curve, Findings, Row

TITLE = "Reliability of scores"
EDGES = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class ScoreCounts:
    """(10,) float64 each, per bin of the score: how many, sum of scores, and how many are right."""

    count: Array
    score: Array
    right: Array

    @classmethod
    def of(cls, score: Array, right: Array) -> "ScoreCounts":
        """score: (N,) in 0..1. right: (N,) bool."""
        row = np.clip(np.digitize(score, EDGES) - 1, 0, len(EDGES) - 2)
        sums = (np.bincount(row, w, len(EDGES) - 1) for w in (np.ones(len(row)), score, right))
        return cls(*sums)

    def error(self) -> float:
        """Expected calibration error (Guo et al., arXiv:1706.04599, eq. 5)."""
        n = self.count.sum()
        return float(np.abs(self.score - self.right).sum() / n) if n else float("nan")


@dataclass(frozen=True)
class Reliability:
    """The best class of each labelled voxel, the best identity of each matched visible primary,
    and whether each matched visible particle is a primary."""

    def observe(self, event: Event) -> dict[str, ScoreCounts] | None:
        labels, classes, found = event.labels, event.semantics, event.interactions
        truth, partner, visible = event.truth_particles, event.particle_partners, event.visible
        if labels is None or classes is None or found is None:
            return None
        if truth is None or partner is None or visible is None:
            return None
        matched = np.flatnonzero(visible & (partner >= 0))
        primary, of = truth.is_primary.values[matched], partner[matched]
        known = np.flatnonzero(primary & (truth.pid.values[matched] >= 0))
        labelled = labels.semantic.values >= 0
        return {
            "class of voxels": ScoreCounts.of(
                classes.scores.values[labelled].max(axis=1),
                (classes.semantic.values == labels.semantic.values)[labelled],
            ),
            "identity of primaries": ScoreCounts.of(
                found.pid_scores.values[of[known]].max(axis=1),
                found.pid.values[of[known]] == truth.pid.values[matched[known]],
            ),
            "primary or not": ScoreCounts.of(found.primary_score.values[of], primary),
        }

    def summarise(self, records: Sequence[dict[str, ScoreCounts]]) -> Findings:
        rows, curves = [], []
        for name in records[0]:
            parts = [record[name] for record in records]
            whole = ScoreCounts(
                *(sum(getattr(p, key) for p in parts) for key in ("count", "score", "right"))
            )
            n = int(whole.count.sum())
            label = f"{name}, expected calibration error"
            rows.append(Row(TITLE, label, whole.error(), "%", n, "answers"))
            curves.append(_curve(f"Reliability: {name}", whole))
        return Findings(tuple(rows), curves=tuple(curves))


def _curve(name: str, of: ScoreCounts) -> Curve:
    share = {
        label: tuple(
            map(float, np.divide(sums, of.count, out=np.full(10, np.nan), where=of.count > 0))
        )
        for label, sums in (("mean score", of.score), ("right", of.right))
    }
    return Curve(name, "score", tuple(map(float, EDGES)), share, tuple(map(int, of.count)))
