"""Classes against true classes, of voxels or of particles."""

import numpy as np

from reco.data.ragged import Array
from reco.metrics.stats import mean


def confusion_counts(true: Array, pred: Array, n_classes: int) -> Array:
    """(C, C + 1) int64: how often true class i was called j; the last column: no class at all.

    true, pred: (N,) integers; rows with a true class outside 0..C-1 do not count.
    """
    known = (true >= 0) & (true < n_classes)
    called = np.where((pred >= 0) & (pred < n_classes), pred, n_classes)[known]
    packed = true[known].astype(np.int64) * (n_classes + 1) + called
    counts = np.bincount(packed, minlength=n_classes * (n_classes + 1))
    return counts.reshape(n_classes, n_classes + 1)


def normalised(counts: Array) -> Array:
    """Confusion normalised by truth: rows sum to 1, NaN for classes that do not occur."""
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)


def class_accuracy(counts: Array) -> Array:
    """(C,) fraction of each true class that was called by its name; NaN where it is absent."""
    return np.diagonal(normalised(counts)).copy()


def class_f1(counts: Array) -> Array:
    """(C,) 2 TP / (2 TP + FP + FN); NaN for classes neither true nor predicted."""
    hits = np.diagonal(counts)
    total = counts.sum(axis=1) + counts.sum(axis=0)[: len(counts)]
    return np.divide(2.0 * hits, total, out=np.full(len(counts), np.nan), where=total > 0)


def macro_f1(counts: Array) -> float:
    """Mean of the F1 of the classes that occur."""
    return mean(class_f1(counts))


def accuracy(counts: Array) -> float:
    """Fraction of all that was called by its name."""
    total = counts.sum()
    return float(np.diagonal(counts).sum() / total) if total else float("nan")


def balanced_accuracy(counts: Array) -> float:
    """Mean accuracy of the classes that occur in the truth."""
    return mean(class_accuracy(counts))
