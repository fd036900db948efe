"""How well one partition of voxels agrees with another.

Everything starts from the overlaps n_ij of true cluster i with predicted cluster j. Voxels
without a true cluster (negative label) never count. A voxel without a predicted cluster (label
-1) is a cluster of its own for pairs of voxels (adjusted Rand index), is lost for the efficiency
of its true cluster, and is no predicted cluster when purities are averaged. The masked index
leaves such voxels out instead, as SPINE does, and so says nothing of how many were left out.
"""

from dataclasses import dataclass

import numpy as np

from reco.data.ragged import Array
from reco.metrics.stats import mean


@dataclass(frozen=True)
class Contingency:
    """Overlaps of two partitions, the empty ones left out.

    true, pred, count: (K,) int64, cluster numbers from 0 without gaps and their common voxels.
    true_size: (T,) int64, voxels of each true cluster, those without a predicted one included.
    pred_size: (P,) int64, voxels of each predicted cluster that have a true one.
    """

    true: Array
    pred: Array
    count: Array
    true_size: Array
    pred_size: Array


@dataclass(frozen=True)
class ClusterScores:
    """Agreement of two partitions of one event; NaN where no voxel counts.

    assigned: fraction of the voxels with a true cluster that have a predicted one.
    """

    ari: float
    ari_masked: float
    purity: float
    efficiency: float
    sbd: float
    assigned: float


def overlaps(rows: Array, columns: Array, n_columns: int) -> tuple[Array, Array, Array]:
    """Pairs of labels that occur together: (row, column, how often), sorted.

    rows, columns: (N,) non-negative integers, columns below n_columns. By sorting, O(N log N).
    """
    packed = rows.astype(np.int64) * max(n_columns, 1) + columns
    cells, count = np.unique(packed, return_counts=True)
    row, column = np.divmod(cells, max(n_columns, 1))
    return row, column, count


def contingency(true: Array, pred: Array) -> Contingency:
    """Overlaps of (N,) true and (N,) predicted labels; negative labels as the module says."""
    labelled = true >= 0
    true, pred = true[labelled], pred[labelled]
    _, row, true_size = np.unique(true, return_inverse=True, return_counts=True)
    assigned = pred >= 0
    _, column, pred_size = np.unique(pred[assigned], return_inverse=True, return_counts=True)
    cells = overlaps(row[assigned], column, len(pred_size))
    return Contingency(*cells, true_size=true_size, pred_size=pred_size)


def masked_contingency(true: Array, pred: Array) -> Contingency:
    """Overlaps over the voxels with both labels only."""
    return contingency(np.where(pred >= 0, true, -1), pred)


def purity(table: Contingency) -> float:
    """Mean over predicted clusters of max_i n_ij / n_.j; NaN without any."""
    best = np.zeros(len(table.pred_size), np.int64)
    np.maximum.at(best, table.pred, table.count)
    return mean(best / table.pred_size)


def efficiency(table: Contingency) -> float:
    """Mean over true clusters of max_j n_ij / n_i.; NaN without any."""
    best = np.zeros(len(table.true_size), np.int64)
    np.maximum.at(best, table.true, table.count)
    return mean(best / table.true_size)


def adjusted_rand_index(table: Contingency) -> float:
    """Hubert and Arabie, J. Classification 2 (1985) 193, eq. 5; NaN without voxels.

    1 for equal partitions, also where the formula is 0/0 (one cluster, or singletons only).
    """
    n = int(table.true_size.sum())
    if n == 0:
        return float("nan")
    # Python integers: the products exceed 64 bits from about 10^5 voxels on.
    together, in_true, in_pred = map(_pairs, (table.count, table.true_size, table.pred_size))
    total = n * (n - 1) // 2
    spread = total * (in_true + in_pred) - 2 * in_true * in_pred
    return 2 * (total * together - in_true * in_pred) / spread if spread else 1.0


def symmetric_best_dice(table: Contingency) -> float:
    """The smaller of the two mean best Dice coefficients (Scharr et al., 2016, eq. 2)."""
    n_true, n_pred = len(table.true_size), len(table.pred_size)
    if not n_true or not n_pred:
        return 0.0 if n_true else float("nan")
    dice = 2 * table.count / (table.true_size[table.true] + table.pred_size[table.pred])
    best_true, best_pred = np.zeros(n_true), np.zeros(n_pred)
    np.maximum.at(best_true, table.true, dice)
    np.maximum.at(best_pred, table.pred, dice)
    return min(mean(best_true), mean(best_pred))


def assigned_fraction(true: Array, pred: Array) -> float:
    """Fraction of the voxels with a true cluster that have a predicted one; NaN without any."""
    return mean(pred[true >= 0] >= 0)


def cluster_scores(true: Array, pred: Array) -> ClusterScores:
    """All figures for (N,) true and (N,) predicted labels of one event."""
    table = contingency(true, pred)
    return ClusterScores(
        ari=adjusted_rand_index(table),
        ari_masked=adjusted_rand_index(masked_contingency(true, pred)),
        purity=purity(table),
        efficiency=efficiency(table),
        sbd=symmetric_best_dice(table),
        assigned=assigned_fraction(true, pred),
    )


def _pairs(sizes: Array) -> int:
    return int((sizes * (sizes - 1) // 2).sum())
