import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.ops.dead import REACH, blind, nearness


def boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    """(2, n, 3) corners, of which some are on voxel faces."""
    lower = rng.integers(-20, 40, (n, 3)) + rng.choice([0.0, 0.0, 0.3], (n, 3))
    return np.stack([lower, lower + rng.integers(1, 12, (n, 3))])


def gaps(points: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """(N, B) distance of each point from the nearest point of each box."""
    nearest = np.clip(points[:, None], lower, upper)
    return np.linalg.norm(points[:, None] - nearest, axis=2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 9))
def test_as_the_nearest_point_of_the_nearest_box_says(seed, n, n_boxes):
    rng = np.random.default_rng(seed)
    index, dead = rng.integers(-10, 40, (n, 3)).astype(np.int32), boxes(rng, n_boxes)
    gap = gaps(index + 0.5, *dead).min(axis=1)
    np.testing.assert_allclose(
        nearness(index, *dead), np.clip(1 - (gap - 0.5) / REACH, 0, 1), atol=1e-6
    )
    np.testing.assert_array_equal(blind(index + 0.5, *dead), gap == 0)


def test_steps_away_from_a_face():
    index = np.array([[x, 2, 2] for x in (0, 9, 10, 11, 14, 18, 19)])
    lower, upper = np.zeros((1, 3)), np.array([[10.0, 5.0, 5.0]])
    np.testing.assert_allclose(
        nearness(index, lower, upper), [1, 1, 1, 7 / 8, 1 / 2, 0, 0], atol=1e-6
    )


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_is_near_where_nothing_is_blind(n):
    index, none = np.zeros((n, 3), np.int32), np.zeros((0, 3))
    near = nearness(index, none, none)
    assert near.dtype == np.float32
    np.testing.assert_array_equal(near, np.zeros(n))
    np.testing.assert_array_equal(blind(index + 0.5, none, none), np.zeros(n, bool))
