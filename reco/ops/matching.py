"""Which cluster of one partition overlaps most with which of another."""

from typing import NamedTuple

import numpy as np

from reco.data.ragged import Array
from reco.errors import InputError


class Overlaps(NamedTuple):
    """Best partners. match_a: (n_a,) int32 row of b, -1 for none; iou_a: (n_a,) float32, 0 for
    none; match_b, iou_b the other way."""

    match_a: Array
    iou_a: Array
    match_b: Array
    iou_b: Array


def best_iou(labels_a: Array, labels_b: Array, n_a: int, n_b: int) -> Overlaps:
    """Match each cluster to the one of the other partition with the largest intersection/union.

    labels_a, labels_b: (N,) integers of the same elements, in -1..n-1; -1 belongs to no cluster
    of that partition, yet counts for the size of the other's. Of equal partners the first wins.
    """
    if labels_a.shape != labels_b.shape or labels_a.ndim != 1:
        raise InputError(
            f"labels must be two arrays of one length, not {labels_a.shape} and {labels_b.shape}"
        )
    a, b, shared = _table(labels_a, labels_b, n_b)
    union = _sizes(labels_a, n_a)[a] + _sizes(labels_b, n_b)[b] - shared
    iou = shared / union
    return Overlaps(*_best(a, b, iou, n_a), *_best(b, a, iou, n_b))


def _table(labels_a: Array, labels_b: Array, n_b: int) -> tuple[Array, Array, Array]:
    """Contingency table as (row, column, count) of its cells that are not zero."""
    both = (labels_a >= 0) & (labels_b >= 0)
    key = labels_a[both].astype(np.int64) * max(n_b, 1) + labels_b[both]
    cells, count = np.unique(key, return_counts=True)
    return cells // max(n_b, 1), cells % max(n_b, 1), count


def _sizes(labels: Array, n: int) -> Array:
    return np.bincount(labels[labels >= 0], minlength=n)


def _best(own: Array, other: Array, iou: Array, n: int) -> tuple[Array, Array]:
    order = np.lexsort((other, -iou, own))
    rows, first = np.unique(own[order], return_index=True)
    match, score = np.full(n, -1, np.int32), np.zeros(n, np.float32)
    match[rows] = other[order][first]
    score[rows] = iou[order][first]
    return match, score
