import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from reco.metrics.clustering import (
    adjusted_rand_index,
    cluster_scores,
    contingency,
    efficiency,
    masked_contingency,
    overlaps,
    purity,
    symmetric_best_dice,
)

labels = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        *[arrays(np.int64, n, elements=st.integers(low, 5)) for low in (0, -1)],
    )
)


def singletons(pred):
    """Each -1 becomes a cluster of its own."""
    pred = pred.copy()
    none = pred < 0
    pred[none] = 1000 + np.arange(none.sum())
    return pred


@settings(max_examples=200, deadline=None)
@given(labels)
def test_rand_index_is_scikit_learns_with_unassigned_as_singletons(pair):
    true, pred = pair
    expected = adjusted_rand_score(true, singletons(pred))
    assert cluster_scores(true, pred).ari == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(labels)
def test_masked_rand_index_is_scikit_learns_on_the_assigned(pair):
    true, pred = pair
    kept = pred >= 0
    masked = cluster_scores(true, pred).ari_masked
    if kept.any():
        assert masked == pytest.approx(adjusted_rand_score(true[kept], pred[kept]), abs=1e-12)
    else:
        assert np.isnan(masked)


@settings(max_examples=100, deadline=None)
@given(labels)
def test_purity_efficiency_and_dice_follow_the_dense_table(pair):
    true, pred = pair
    pred = np.abs(pred)
    n = contingency_matrix(true, pred).astype(float)
    found = cluster_scores(true, pred)
    assert found.purity == pytest.approx((n.max(0) / n.sum(0)).mean())
    assert found.efficiency == pytest.approx((n.max(1) / n.sum(1)).mean())
    dice = 2 * n / (n.sum(1, keepdims=True) + n.sum(0, keepdims=True))
    assert found.sbd == pytest.approx(min(dice.max(1).mean(), dice.max(0).mean()))


def test_splitting_keeps_purity_and_merging_keeps_efficiency():
    whole, split = np.zeros(4, int), np.array([0, 0, 0, 1])
    cut = contingency(whole, split)
    assert purity(cut) == 1
    assert efficiency(cut) == 0.75
    merged = contingency(split, whole)
    assert purity(merged) == 0.75
    assert efficiency(merged) == 1


def test_unassigned_voxels_are_lost_and_are_no_cluster():
    true, pred = np.array([0, 0, 0, 0, 1]), np.array([7, 7, -1, -1, -1])
    found = cluster_scores(true, pred)
    assert found.assigned == pytest.approx(0.4)
    assert found.purity == 1
    assert found.efficiency == pytest.approx((0.5 + 0) / 2)


def test_dropping_hard_voxels_helps_only_the_masked_index():
    true, pred = np.repeat([0, 1], 10), np.full(20, -1)
    pred[[0, 10]] = [0, 1]
    found = cluster_scores(true, pred)
    assert found.ari_masked == 1
    assert found.ari == pytest.approx(adjusted_rand_score(true, singletons(pred)))
    assert found.ari < 0.1


def test_voxels_without_truth_never_count():
    true, pred = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    noisy = cluster_scores(np.append(true, [-1] * 9), np.append(pred, np.arange(9)))
    assert noisy == cluster_scores(true, pred)


def test_no_voxel_says_nothing():
    found = cluster_scores(np.zeros(0, int), np.zeros(0, int))
    assert np.isnan([found.ari, found.ari_masked, found.purity, found.efficiency]).all()
    assert np.isnan([found.sbd, found.assigned]).all()


def test_one_voxel():
    assert cluster_scores(np.array([3]), np.array([8])).ari == 1
    lost = cluster_scores(np.array([3]), np.array([-1]))
    assert (lost.efficiency, lost.sbd, lost.assigned) == (0, 0, 0)
    assert np.isnan(lost.ari_masked)


@pytest.mark.parametrize(
    ("true", "pred", "ari"), [([0, 0], [1, 1], 1), ([0, 1], [1, 1], 0), ([0, 0], [0, -1], 0)]
)
def test_two_voxels(true, pred, ari):
    assert cluster_scores(np.array(true), np.array(pred)).ari == ari


def test_many_voxels_do_not_overflow_nor_need_a_dense_table():
    n = 2_000_000
    voxel = np.arange(n)
    table = contingency(voxel // 2, (voxel + 1) // 2)  # a dense table would take 10^12 cells
    assert len(table.count) == n
    assert adjusted_rand_index(table) == pytest.approx(0, abs=1e-5)
    assert adjusted_rand_index(contingency(voxel % 2, voxel % 2)) == 1


def test_overlaps_of_nothing():
    nothing = np.zeros(0, np.int32)
    assert [len(part) for part in overlaps(nothing, nothing, 0)] == [0, 0, 0]


def test_dice_of_disjoint_unassigned():
    table = masked_contingency(np.array([0, 1]), np.array([-1, -1]))
    assert np.isnan(symmetric_best_dice(table))
