"""Figures on voxels: classes, and the partitions into fragments, particles and interactions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reco.data.classes import N_SEMANTIC, Semantic
from reco.data.ragged import Array
from reco.metrics.clustering import ClusterScores, cluster_scores
from reco.metrics.event import Event
from reco.metrics.panoptic import PanopticCounts, panoptic_counts
from reco.metrics.report import Curve, Findings, Matrix, Row
from reco.metrics.segmentation import accuracy, class_accuracy, class_f1, confusion_counts, macro_f1
from reco.metrics.stats import mean

CLASS_NAMES = ("shower", "track", "Michel", "delta", "low-energy")
INTERACTION_BINS = ((1, 5), (6, 10), (11, None), (21, None))
"""Interactions per image, both ends included."""
NUMBERS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 11.0, 21.0, 101.0)
"""Edges of the same for the curve."""


@dataclass(frozen=True)
class Segmentation:
    """Semantic classes over all labelled voxels of all events."""

    def observe(self, event: Event) -> Array | None:
        if event.labels is None or event.semantics is None:
            return None
        true, pred = event.labels.semantic.values, event.semantics.semantic.values
        return confusion_counts(true, pred, N_SEMANTIC)

    def summarise(self, records: Sequence[Array]) -> Findings:
        counts = np.sum(records, axis=0)
        totals = counts.sum(axis=1)

        def row(name: str, value: float, n: int) -> Row:
            return Row("Segmentation", name, value, "%", n, "voxels")

        rows = [row("macro-F1", macro_f1(counts), int(totals.sum()))]
        rows.append(row("accuracy, all voxels", accuracy(counts), int(totals.sum())))
        figures = zip(CLASS_NAMES, class_accuracy(counts), class_f1(counts), totals, strict=True)
        for name, recall, f1, n in figures:
            rows.append(row(f"{name} accuracy", float(recall), int(n)))
            rows.append(row(f"{name} F1", float(f1), int(n)))
        return Findings(tuple(rows), (matrix_of("Segmentation", CLASS_NAMES, counts),))


def matrix_of(name: str, labels: tuple[str, ...], counts: Array) -> Matrix:
    return Matrix(name, labels, tuple(tuple(map(int, line)) for line in counts))


@dataclass(frozen=True)
class PartitionRecord:
    """Scores of one event; true: number of true clusters it shows."""

    scores: ClusterScores
    baseline: ClusterScores | None
    true: int


@dataclass(frozen=True)
class Labellings:
    """Of one event: (N,) true and predicted clusters, and those of the simple method."""

    true: Array
    pred: Array
    baseline: Array | None

    def record(self) -> PartitionRecord | None:
        n_true = len(np.unique(self.true[self.true >= 0]))
        if not n_true:
            return None
        simple = None if self.baseline is None else cluster_scores(self.true, self.baseline)
        return PartitionRecord(cluster_scores(self.true, self.pred), simple, n_true)


def fragment_labellings(event: Event) -> Labellings | None:
    """Dense clusters."""
    if event.labels is None or event.fragments is None:
        return None
    return Labellings(
        event.labels.fragment.values,
        event.fragments.voxel_fragment.values,
        None if event.simple is None else event.simple.fragment,
    )


def particle_labellings(event: Event) -> Labellings | None:
    if event.labels is None or event.particles is None:
        return None
    return Labellings(
        event.labels.particle.values,
        event.particles.voxel_particle.values,
        None if event.simple is None else event.simple.particle,
    )


def shower_labellings(event: Event) -> Labellings | None:
    """Particles, on the voxels that truly are shower: how its fragments were grouped."""
    found = particle_labellings(event)
    if found is None or event.labels is None:
        return None
    shower = event.labels.semantic.values == Semantic.SHOWER
    return Labellings(np.where(shower, found.true, -1), found.pred, found.baseline)


def interaction_labellings(event: Event) -> Labellings | None:
    if event.labels is None or event.interactions is None:
        return None
    return Labellings(
        event.labels.interaction.values,
        event.interactions.voxel_interaction.values,
        None if event.simple is None else event.simple.interaction,
    )


@dataclass(frozen=True)
class Clustering:
    """One partition of the voxels against the true one; every event weighs the same.

    bins: also give the adjusted Rand index by number of true clusters in the event.
    """

    title: str
    labellings: Callable[[Event], Labellings | None]
    bins: tuple[tuple[int, int | None], ...] = ()

    def observe(self, event: Event) -> PartitionRecord | None:
        found = self.labellings(event)
        return None if found is None else found.record()

    def summarise(self, records: Sequence[PartitionRecord]) -> Findings:
        rows = [self._row(name, figure, records) for name, figure in _FIGURES]
        for low, high in self.bins:
            kept = [r for r in records if low <= r.true and (high is None or r.true <= high)]
            if kept:
                span = f"above {low - 1}" if high is None else f"{low}-{high}"
                rows.append(self._row(f"ARI, {span} per image", _FIGURES[0][1], kept))
        return Findings(tuple(rows), curves=(_by_number(self.title, records),) if self.bins else ())

    def _row(
        self,
        name: str,
        figure: Callable[[ClusterScores], float],
        records: Sequence[PartitionRecord],
    ) -> Row:
        simple = [figure(r.baseline) for r in records if r.baseline is not None]
        return Row(
            self.title,
            name,
            mean(np.array([figure(r.scores) for r in records])),
            "%",
            len(records),
            "events",
            mean(np.array(simple)) if simple else None,
        )


def _by_number(title: str, records: Sequence[PartitionRecord]) -> Curve:
    bins = [[r for r in records if low <= r.true < high] for low, high in pairwise(NUMBERS)]
    values = {
        name: tuple(mean(np.array([figure(r.scores) for r in part])) for part in bins)
        for name, figure in _FIGURES
        if name in ("ARI", "purity", "efficiency")
    }
    count = tuple(map(len, bins))
    return Curve(f"{title}, by number per image", "true ones", NUMBERS, values, count)


_FIGURES: tuple[tuple[str, Callable[[ClusterScores], float]], ...] = (
    ("ARI", lambda scores: scores.ari),
    ("ARI, masked", lambda scores: scores.ari_masked),
    ("assigned", lambda scores: scores.assigned),
    ("purity", lambda scores: scores.purity),
    ("efficiency", lambda scores: scores.efficiency),
    ("SBD", lambda scores: scores.sbd),
)


@dataclass(frozen=True)
class Panoptic:
    """Panoptic quality of the particles, with their semantic class."""

    def observe(self, event: Event) -> PanopticCounts | None:
        labels, particles, truth = event.labels, event.particles, event.truth_particles
        if labels is None or particles is None or truth is None:
            return None
        return panoptic_counts(
            labels.particle.values,
            particles.voxel_particle.values,
            truth.semantic.values,
            particles.semantic.values,
            N_SEMANTIC,
        )

    def summarise(self, records: Sequence[PanopticCounts]) -> Findings:
        total = records[0]
        for record in records[1:]:
            total = total + record
        true = total.true_positive + total.false_negative
        quality = total.quality()
        title = "Panoptic quality of particles"
        rows = [Row(title, "mean of classes", mean(quality), "%", int(true.sum()), "particles")]
        for name, value, n in zip(CLASS_NAMES, quality, true, strict=True):
            rows.append(Row(title, name, float(value), "%", int(n), "particles"))
        return Findings(tuple(rows))
