import numpy as np
import pytest

from reco.errors import InputError
from reco.ops.matching import best_iou


def brute(a, b, n_a, n_b):
    sets_a = [set(np.flatnonzero(a == i)) for i in range(n_a)]
    sets_b = [set(np.flatnonzero(b == j)) for j in range(n_b)]
    iou = np.array([[len(x & y) / max(len(x | y), 1) for y in sets_b] for x in sets_a])
    return iou.reshape(n_a, n_b)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_sets(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-1, 7, 60), rng.integers(-1, 5, 60)
    table = brute(a, b, 8, 6)  # the last cluster of each is empty
    got = best_iou(a, b, 8, 6)
    np.testing.assert_allclose(got.iou_a, table.max(1), rtol=1e-6)
    np.testing.assert_allclose(got.iou_b, table.max(0), rtol=1e-6)
    np.testing.assert_array_equal(got.match_a, np.where(table.max(1) > 0, table.argmax(1), -1))
    np.testing.assert_array_equal(got.match_b, np.where(table.max(0) > 0, table.argmax(0), -1))


def test_unassigned_elements_count_in_the_union():
    got = best_iou(np.array([0, 0, 0, -1]), np.array([0, -1, -1, 0]), 1, 1)
    assert got.iou_a == pytest.approx([1 / 4])


@pytest.mark.parametrize(("n_a", "n_b"), [(0, 0), (2, 0), (0, 3)])
def test_no_elements(n_a, n_b):
    got = best_iou(np.zeros(0, int), np.zeros(0, int), n_a, n_b)
    assert (got.match_a == -1).all()
    assert (got.match_b == -1).all()
    assert (len(got.iou_a), len(got.iou_b)) == (n_a, n_b)


def test_different_lengths_are_refused():
    with pytest.raises(InputError, match="one length"):
        best_iou(np.zeros(3, int), np.zeros(2, int), 1, 1)
