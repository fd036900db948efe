import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from reco.data.components import connected_components, occupied
from reco.errors import InputError


def dense_labels(index: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Component of each voxel by scipy on a dense grid, group by group; 1-based, per group."""
    label = np.zeros(len(index), np.int64)
    shifted = index - index.min(axis=0)
    for g in np.unique(group):
        grid = np.zeros(shifted.max(axis=0) + 1, bool)
        grid[tuple(shifted[group == g].T)] = True
        numbered, _ = ndimage.label(grid, np.ones((3, 3, 3)))
        label[group == g] = numbered[tuple(shifted[group == g].T)] + 1000 * g
    return label


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a, b]), axis=1).shape[1]
    return pairs == len(np.unique(a)) == len(np.unique(b))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(2, 9), st.integers(1, 3))
def test_components_are_those_of_a_dense_grid(seed, n, side, groups):
    rng = np.random.default_rng(seed)
    index = rng.integers(-side, side, (n, 3))
    group = rng.integers(0, groups, n)
    found = connected_components(index, group)
    assert same_partition(found, dense_labels(index, group))
    assert set(found) == set(range(found.max() + 1))


def test_components_of_nothing_and_of_one_voxel():
    assert connected_components(np.zeros((0, 3), int)).shape == (0,)
    assert connected_components(np.array([[5, -7, 9]])).tolist() == [0]


@pytest.mark.parametrize(("gap", "count"), [((1, 1, 1), 1), ((1, -1, 1), 1), ((0, 0, 2), 2)])
def test_two_voxels_touch_at_corners_but_not_over_a_gap(gap, count):
    index = np.array([[10, 20, 30], [10, 20, 30]]) + np.outer([0, 1], gap)
    assert connected_components(index).max() + 1 == count


def test_far_apart_voxels_do_not_overflow():
    index = np.array([[0, 0, 0], [2**40, -(2**40), 2**50], [2**40, 1 - 2**40, 2**50]])
    assert connected_components(index).tolist() == [0, 1, 1]


def test_too_many_groups_are_refused():
    with pytest.raises(InputError, match="too many"):
        occupied(np.arange(60).reshape(-1, 3), np.full(20, 2**61))


def test_rows_do_not_wrap_around_the_grid():
    index = np.array([[0, 0, 9], [0, 1, 0], [1, 0, 0], [0, 9, 9]])
    assert len(set(connected_components(index))) == 3  # the second and third share an edge


def test_same_voxel_and_touching_look_into_another_group():
    index = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1], [5, 5, 5]])
    pairs = occupied(index, np.array([0, 1, 1, 0]))
    rows, other = np.arange(4), 1 - pairs.group
    same = pairs.same_voxel(rows, other)
    near = pairs.touching(rows, other)
    a, b, c, d = pairs.row
    assert (same[a], same[b], same[c], same[d]) == (b, a, -1, -1)
    assert (near[c], near[d]) == (a, -1)
