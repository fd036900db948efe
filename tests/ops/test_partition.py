from itertools import product

import numpy as np
import pytest

from reco.ops.partition import log_odds, partition

ALL = {n: np.argwhere(np.triu(np.ones((n, n), bool), 1)) for n in range(13)}


def gain(group, pairs, vote):
    """Sum of the votes of pairs within a group: what the partition maximises."""
    return vote[group[pairs[:, 0]] == group[pairs[:, 1]]].sum()


def same(group, truth):
    return np.array_equal(group[:, None] == group, truth[:, None] == truth)


def test_one_confident_wrong_pair_does_not_merge_two_groups():
    truth = np.repeat([0, 1], 5)
    pairs = ALL[10]
    vote = np.where(truth[pairs[:, 0]] == truth[pairs[:, 1]], 2.0, -1.0)
    vote[(pairs == [2, 7]).all(axis=1)] = 6.0
    assert same(partition(10, pairs, vote), truth)


def test_without_contradiction_the_best_pair_decides():
    np.testing.assert_array_equal(partition(3, np.array([[0, 2]]), np.array([0.1])), [0, 1, 0])
    np.testing.assert_array_equal(partition(3, np.array([[0, 2]]), np.array([-0.1])), [0, 1, 2])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_clusters(n):
    none = np.zeros((0, 2), np.int64)
    np.testing.assert_array_equal(partition(n, none, np.zeros(0)), np.arange(n))


@pytest.mark.parametrize("seed", range(10))
def test_near_the_best_of_all_partitions(seed):
    rng = np.random.default_rng(seed)
    pairs, vote = ALL[6], rng.normal(size=15)
    best = max(gain(np.array(g), pairs, vote) for g in product(range(6), repeat=6))
    found = gain(partition(6, pairs, vote), pairs, vote)
    assert found >= 0.85 * best


@pytest.mark.parametrize("seed", range(5))
def test_no_single_move_gains(seed):
    rng = np.random.default_rng(seed)
    pairs, vote = ALL[12], rng.normal(size=66)
    group = partition(12, pairs, vote)
    here = gain(group, pairs, vote)
    for i, to in product(range(12), range(13)):
        moved = group.copy()
        moved[i] = to
        assert gain(moved, pairs, vote) <= here + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_planted_groups_are_found_in_noise_whatever_the_order(seed):
    rng = np.random.default_rng(seed)
    n = 120
    truth = rng.permutation(np.arange(n) % 6)
    pairs = np.unique(np.sort(rng.integers(0, n, (6000, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    together = truth[pairs[:, 0]] == truth[pairs[:, 1]]
    vote = np.where(together, 2.0, -2.0) + rng.normal(0, 1.5, len(pairs))
    assert same(partition(n, pairs, vote), truth)
    order = rng.permutation(len(pairs))
    assert same(partition(n, pairs[order][:, ::-1], vote[order]), truth)


def test_groups_are_numbered_by_their_first_cluster():
    group = partition(5, np.array([[0, 4], [1, 3]]), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(group, [0, 1, 2, 1, 0])


def test_votes_rise_with_score_and_size_and_are_bounded():
    one = np.ones(3)
    vote = log_odds(np.array([0.0, 0.5, 1.0]), one, one)
    np.testing.assert_allclose(vote, [-5, 0, 5])
    assert log_odds(np.array([0.9]), np.array([100]), np.array([4]))[0] == pytest.approx(
        4 * np.log(9)
    )
