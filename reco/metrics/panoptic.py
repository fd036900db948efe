"""Panoptic quality (Kirillov et al., arXiv:1801.00868, eq. 1)."""

from dataclasses import dataclass

import numpy as np

from reco.data.ragged import Array
from reco.ops.matching import best_iou

MIN_IOU = 0.5
"""Above it a match is unique, whichever side one starts from."""


@dataclass(frozen=True)
class PanopticCounts:
    """(C,) per class: sum of IoU of the matches, matches, unmatched predicted and true."""

    iou: Array
    true_positive: Array
    false_positive: Array
    false_negative: Array

    def __add__(self, other: "PanopticCounts") -> "PanopticCounts":
        return PanopticCounts(
            self.iou + other.iou,
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    def quality(self) -> Array:
        """(C,) float64 in 0..1; NaN for classes without clusters on either side."""
        total = self.true_positive + (self.false_positive + self.false_negative) / 2
        return np.divide(self.iou, total, out=np.full(len(total), np.nan), where=total > 0)


def panoptic_counts(
    true: Array, pred: Array, true_class: Array, pred_class: Array, n_classes: int
) -> PanopticCounts:
    """Count the matches of one event: same class, IoU above 0.5.

    true, pred: (N,) rows of the clusters, negative for none. true_class: (T,), pred_class: (P,);
    clusters of a class outside 0..n_classes-1, and true ones without voxels, do not count.
    Predicted clusters that hold no voxel with a true cluster do not count either: there the
    truth is unknown.
    """
    pred = np.where(true >= 0, pred, -1)
    found = best_iou(true, pred, len(true_class), len(pred_class))
    partner = np.where(found.iou_a > MIN_IOU, found.match_a, -1)
    hit = (partner >= 0) & (true_class == _take(pred_class, partner))
    seen_true = np.isin(np.arange(len(true_class)), true)
    seen_pred = np.isin(np.arange(len(pred_class)), pred)
    matches = _count(true_class[hit], n_classes)
    return PanopticCounts(
        iou=_count(true_class[hit], n_classes, found.iou_a[hit]),
        true_positive=matches,
        false_positive=_count(pred_class[seen_pred], n_classes) - matches,
        false_negative=_count(true_class[seen_true], n_classes) - matches,
    )


def _take(values: Array, rows: Array) -> Array:
    return np.append(values, -1)[rows]


def _count(classes: Array, n_classes: int, weights: Array | None = None) -> Array:
    known = (classes >= 0) & (classes < n_classes)
    kept = None if weights is None else weights[known]
    return np.bincount(classes[known], weights=kept, minlength=n_classes).astype(np.float64)
