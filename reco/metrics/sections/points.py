"""Figures on the points of interest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reco.metrics.baselines import cluster_ends
from reco.metrics.event import Event
from reco.metrics.points import (
    WITHIN,
    PointDistances,
    fraction_within,
    median_distance,
    point_distances,
)
from reco.metrics.report import Findings, Row
from reco.metrics.truth_points import truth_points

TITLE = "Points of interest"


@dataclass(frozen=True)
class PointRecord:
    """Distances of one event in voxels."""

    found: PointDistances
    baseline: PointDistances | None


@dataclass(frozen=True)
class PointSection:
    """Distances both ways, whatever the type of the point; every point weighs the same."""

    def observe(self, event: Event) -> PointRecord | None:
        voxels, labels, points, truth = (
            event.voxels,
            event.labels,
            event.points,
            event.truth_particles,
        )
        if voxels is None or labels is None or points is None or truth is None:
            return None
        true = truth_points(
            voxels.position.values,
            labels.particle.values,
            truth.semantic.values,
            truth.start.values,
            truth.end.values,
            min_voxels=event.settings.min_point_voxels,
        ).position
        pred = points.position.values[points.score.values > event.settings.min_score]
        simple = None
        if event.simple is not None and event.semantics is not None:
            semantic = event.semantics.semantic.values
            ends = cluster_ends(voxels.position.values, event.simple.fragment, semantic)
            simple = point_distances(true, ends, event.settings.voxel_size)
        return PointRecord(point_distances(true, pred, event.settings.voxel_size), simple)

    def summarise(self, records: Sequence[PointRecord]) -> Findings:
        found = _joined([r.found for r in records])
        simple = [r.baseline for r in records if r.baseline is not None]
        baseline = _joined(simple) if simple else None
        rows: list[Row] = []
        for direction in ("true to nearest predicted", "predicted to nearest true"):
            rows.extend(_rows(direction, found, baseline))
        return Findings(tuple(rows))


def _joined(parts: Sequence[PointDistances]) -> PointDistances:
    return PointDistances(
        np.concatenate([p.efficiency for p in parts]), np.concatenate([p.purity for p in parts])
    )


def _rows(direction: str, found: PointDistances, baseline: PointDistances | None) -> list[Row]:
    forward = direction.startswith("true")
    own = found.efficiency if forward else found.purity
    other = None if baseline is None else (baseline.efficiency if forward else baseline.purity)
    rows = [
        Row(
            TITLE,
            f"{direction}, within {limit:g} voxels",
            fraction_within(own, limit),
            "%",
            len(own),
            "points",
            None if other is None else fraction_within(other, limit),
        )
        for limit in WITHIN
    ]
    simple = None if other is None else median_distance(other)
    name = f"{direction}, median"
    return [*rows, Row(TITLE, name, median_distance(own), "voxels", len(own), "points", simple)]
