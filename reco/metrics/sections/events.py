"""Which events came out worst."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reco.data.classes import N_SEMANTIC
from reco.metrics.clustering import adjusted_rand_index, contingency
from reco.metrics.event import Event
from reco.metrics.report import EventScore, Findings
from reco.metrics.sections.voxels import Labellings, interaction_labellings, particle_labellings
from reco.metrics.segmentation import accuracy, confusion_counts

SHOWN = 10


@dataclass(frozen=True)
class Events:
    """The events of the lowest mean of class accuracy, particle ARI and interaction ARI."""

    def observe(self, event: Event) -> tuple[float, float, float]:
        """Every event tells something, so that the records are numbered as the events."""
        right = float("nan")
        if event.labels is not None and event.semantics is not None:
            true, pred = event.labels.semantic.values, event.semantics.semantic.values
            right = accuracy(confusion_counts(true, pred, N_SEMANTIC))
        return right, _ari(particle_labellings(event)), _ari(interaction_labellings(event))

    def summarise(self, records: Sequence[tuple[float, float, float]]) -> Findings:
        scores = np.array(records)
        whole = np.flatnonzero(~np.isnan(scores).any(axis=1))
        order = whole[np.argsort(scores[whole].mean(axis=1), kind="stable")][:SHOWN]
        return Findings(worst=tuple(EventScore(int(i), *records[i]) for i in order))


def _ari(found: Labellings | None) -> float:
    if found is None:
        return float("nan")
    return adjusted_rand_index(contingency(found.true, found.pred))
