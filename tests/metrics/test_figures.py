"""Classes, points, panoptic quality, vertices, energies: against scikit-learn, scipy or by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from scipy.stats import chi2, norm
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from reco.data.classes import PID
from reco.metrics import stats
from reco.metrics.energy import (
    Z_68,
    Z_95,
    binned_resolution,
    pulls,
    resolution,
    shower_resolution,
    stops,
    summarise_pulls,
)
from reco.metrics.panoptic import panoptic_counts
from reco.metrics.points import fraction_within, median_distance, point_distances
from reco.metrics.sections.vertex import CHI2_68, CHI2_95
from reco.metrics.segmentation import (
    accuracy,
    balanced_accuracy,
    class_accuracy,
    class_f1,
    confusion_counts,
    macro_f1,
    normalised,
)
from reco.metrics.vertex import (
    containment_radius,
    fraction_below,
    mahalanobis_squared,
    positive_definite,
    vertex_distance,
    vertex_pulls,
)

classes = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[arrays(np.int8, n, elements=st.integers(0, 4)) for _ in range(2)])
)


@settings(max_examples=100, deadline=None)
@given(classes)
def test_classes_as_scikit_learn(pair):
    true, pred = pair
    counts = confusion_counts(true, pred, 5)
    np.testing.assert_array_equal(counts[:, :5], confusion_matrix(true, pred, labels=range(5)))
    present = np.union1d(true, pred)
    expected = f1_score(true, pred, labels=present, average=None, zero_division=0)
    np.testing.assert_allclose(class_f1(counts)[present], expected)
    assert macro_f1(counts) == pytest.approx(expected.mean())
    assert accuracy(counts) == pytest.approx((true == pred).mean())
    recall = [(pred[true == c] == c).mean() for c in np.unique(true)]
    np.testing.assert_allclose(class_accuracy(counts)[np.unique(true)], recall)


def test_balanced_accuracy_as_scikit_learn():
    rng = np.random.default_rng(1)
    true, pred = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    counts = confusion_counts(true, pred, 6)
    assert balanced_accuracy(counts) == pytest.approx(balanced_accuracy_score(true, pred))


def test_unknown_truth_is_left_out_and_no_answer_is_wrong():
    counts = confusion_counts(np.array([0, 0, -1, 1]), np.array([0, -1, 0, 1]), 2)
    np.testing.assert_array_equal(counts, [[1, 0, 1], [0, 1, 0]])
    assert accuracy(counts) == pytest.approx(2 / 3)
    np.testing.assert_allclose(normalised(counts)[0], [0.5, 0, 0.5])


def test_no_voxel_has_no_accuracy():
    counts = confusion_counts(np.zeros(0, np.int8), np.zeros(0, np.int8), 5)
    assert np.isnan([accuracy(counts), macro_f1(counts), balanced_accuracy(counts)]).all()


@pytest.mark.parametrize(("n_true", "n_pred"), [(1, 1), (2, 30), (40, 3)])
def test_point_distances_by_brute_force(n_true, n_pred):
    rng = np.random.default_rng(n_true)
    true, pred = rng.random((n_true, 3)) * 50, rng.random((n_pred, 3)) * 50
    table = cdist(true, pred) / 0.3
    found = point_distances(true, pred, 0.3)
    np.testing.assert_allclose(found.efficiency, table.min(1))
    np.testing.assert_allclose(found.purity, table.min(0))
    assert fraction_within(found.efficiency, 10) == (table.min(1) <= 10).mean()
    assert median_distance(found.purity) == pytest.approx(np.median(table.min(0)))


def test_points_without_partners_are_infinitely_far():
    found = point_distances(np.ones((2, 3)), np.zeros((0, 3)))
    assert np.isinf(found.efficiency).all()
    assert len(found.purity) == 0
    assert fraction_within(found.efficiency, 10) == 0
    assert np.isnan(fraction_within(found.purity, 10))
    assert np.isinf(median_distance(found.efficiency))


def test_median_survives_a_minority_of_missing_points():
    assert median_distance(np.array([1.0, 2.0, 3.0, np.inf])) == 2


def test_panoptic_quality_by_hand():
    true = np.array([0] * 4 + [1] * 4 + [2] * 4)
    pred = np.array([0, 0, 0, -1] + [1] * 4 + [2, 2, 3, 3])
    found = panoptic_counts(true, pred, np.array([1, 1, 0]), np.array([1, 0, 0, 0]), 2)
    # class 1: one match of IoU 3/4, one true unmatched (wrong class);
    # class 0: halves of exactly 0.5 do not match
    np.testing.assert_allclose(found.true_positive, [0, 1])
    np.testing.assert_allclose(found.false_negative, [1, 1])
    np.testing.assert_allclose(found.false_positive, [3, 0])
    np.testing.assert_allclose(found.quality(), [0, 0.75 / 1.5])
    np.testing.assert_allclose((found + found).quality(), found.quality())


def test_panoptic_quality_ignores_what_truth_does_not_know():
    true, pred = np.array([0, 0, -1, -1]), np.array([0, 0, 1, 1])
    found = panoptic_counts(true, pred, np.array([1, 1]), np.array([1, 1]), 2)
    np.testing.assert_allclose(found.quality(), [np.nan, 1])


def test_panoptic_quality_of_nothing():
    nothing = np.zeros(0, np.int64)
    assert np.isnan(panoptic_counts(nothing, nothing, nothing, nothing, 3).quality()).all()


def test_vertices_within_a_radius():
    reco = np.array([[0, 0, 0.5], [0, 3, 4], [1, 0, 0]])
    distance = vertex_distance(reco, np.zeros((3, 3)))
    np.testing.assert_allclose(distance, [0.5, 5, 1])
    assert fraction_below(distance) == pytest.approx(1 / 3)
    assert containment_radius(np.arange(101.0)) == pytest.approx(68)
    assert np.isnan(containment_radius(np.zeros(0)))


def test_vertex_uncertainties_of_a_correlated_gaussian():
    rng = np.random.default_rng(0)
    mixing = np.array([[1, 0, 0], [0.5, 2, 0], [0.1, 0.3, 0.5]])
    covariance = np.broadcast_to(mixing @ mixing.T, (20000, 3, 3))
    true = rng.normal(size=(20000, 3)) * 100
    reco = true + rng.normal(size=(20000, 3)) @ mixing.T
    assert vertex_pulls(reco, true, covariance).std(axis=0) == pytest.approx(1, abs=0.02)
    distance = mahalanobis_squared(reco, true, covariance)
    assert distance.mean() == pytest.approx(3, rel=0.03)
    assert (distance <= CHI2_68).mean() == pytest.approx(0.68, abs=0.01)
    assert positive_definite(covariance).all()


def test_covariances_that_are_none():
    bad = np.stack([np.full((3, 3), np.nan), np.zeros((3, 3)), np.diag([1, 1, -1.0]), np.eye(3)])
    np.testing.assert_array_equal(positive_definite(bad), [False, False, False, True])
    assert len(positive_definite(bad[:0])) == 0


def test_constants_are_the_quantiles_they_claim():
    assert norm.ppf([0.84, 0.975]) == pytest.approx([Z_68, Z_95], abs=1e-5)
    assert chi2.ppf([0.68, 0.95], 3) == pytest.approx([CHI2_68, CHI2_95], rel=1e-5)


def test_resolution_of_a_known_smearing():
    rng = np.random.default_rng(0)
    true = rng.uniform(100, 1000, 50000)
    found = resolution(true * rng.normal(1.02, 0.08, 50000), true)
    assert found.bias == pytest.approx(0.02, abs=0.002)
    assert found.half_width == pytest.approx(0.08 * Z_68, abs=0.001)
    assert found.count == 50000


def test_resolution_leaves_out_what_was_not_estimated():
    found = resolution(np.array([np.nan, 110, 90]), np.array([100.0, 100, 100]))
    assert found.count == 2
    assert found.bias == pytest.approx(0)


@pytest.mark.parametrize("n", [0, 1])
def test_resolution_of_too_few(n):
    assert np.isnan(resolution(np.ones(n), np.ones(n)).half_width)


def test_bins_hold_their_lower_edge():
    true = np.array([10.0, 20.0, 20.0, 50.0])
    bins = binned_resolution(true * 1.1, true, np.array([10.0, 20.0, 50.0]))
    assert [b.count for b in bins] == [1, 2]


def test_pulls_of_honest_and_of_bold_uncertainties():
    rng = np.random.default_rng(0)
    true, sigma = np.full(50000, 300.0), rng.uniform(5, 50, 50000)
    reco = true + sigma * rng.normal(size=50000)
    honest = summarise_pulls(pulls(reco, true, sigma))
    assert honest.coverage_68 == pytest.approx(0.68, abs=0.01)
    assert honest.coverage_95 == pytest.approx(0.95, abs=0.005)
    assert honest.width == pytest.approx(Z_68, abs=0.01)
    assert summarise_pulls(pulls(reco, true, sigma / 2)).width == pytest.approx(2, abs=0.03)


def test_pulls_without_a_sigma_are_left_out():
    sigma = np.array([0.0, np.nan, 1.0])
    assert pulls(np.ones(3), np.zeros(3), sigma) == pytest.approx([1])


def test_stopping_needs_the_whole_range():
    # PDG: a 200 MeV muon runs 76.2 cm in liquid argon; 1.3 GeV is beyond the table
    energy, length = np.array([200.0, 200.0, 1300.0]), np.array([76.0, 40.0, 900.0])
    np.testing.assert_array_equal(stops(PID.MUON, energy, length), [True, False, False])
    assert stops(PID.PROTON, np.array([100.0]), np.array([7.8])).all()


def test_summaries_of_nothing_are_nan():
    nothing = np.zeros(0)
    assert np.isnan([stats.mean(nothing), stats.median(nothing), stats.half_width(nothing)]).all()
    assert stats.mean(np.array([np.nan, 2.0])) == 2


def test_shower_resolution_finds_the_terms_it_was_made_with():
    energy = np.array([150.0, 250, 400, 600, 850])
    width = 0.041 + 0.014 / np.sqrt(energy / 1000)
    a, b = shower_resolution(energy, width, np.array([20, 400, 30, 50, 60]))
    assert (a, b) == (pytest.approx(0.041), pytest.approx(0.014))
    assert np.isnan(shower_resolution(energy[:2], width[:2], np.ones(2))).all()
