"""Symmetries of the grid: isometries, of voxels and of points alike."""

import itertools

import numpy as np

from reco.ops.symmetry import IDENTITY, SHIFT, Symmetry, random_symmetry


def squared_distances(points: np.ndarray) -> np.ndarray:
    return ((points[:, None] - points[None]) ** 2).sum(axis=2)


def test_distances_stay_and_voxels_stay_on_the_grid():
    rng = np.random.default_rng(1)
    index = rng.integers(-50, 800, (40, 3))
    for _ in range(60):
        symmetry = random_symmetry(rng)
        moved = symmetry.index(index)
        assert moved.dtype == np.int32
        np.testing.assert_array_equal(squared_distances(moved), squared_distances(index))


def test_points_move_with_the_voxels():
    """A point keeps its distance to every voxel; one at a voxel's centre stays there."""
    rng = np.random.default_rng(2)
    index, points = rng.integers(0, 100, (30, 3)), rng.uniform(0, 100, (7, 3))
    for _ in range(30):
        symmetry = random_symmetry(rng)
        np.testing.assert_array_equal(symmetry.points(index), symmetry.index(index))
        before = np.linalg.norm(points[:, None] - index, axis=2)
        after = np.linalg.norm(symmetry.points(points)[:, None] - symmetry.index(index), axis=2)
        np.testing.assert_allclose(after, before, atol=1e-9)


def test_the_identity():
    index = np.array([[1, -2, 3]], np.int16)
    np.testing.assert_array_equal(IDENTITY.index(index), index)


def test_by_hand():
    """x' = -z + 1, y' = x + 2, z' = y + 3."""
    symmetry = Symmetry(np.array([2, 0, 1]), np.array([-1, 1, 1]), np.array([1, 2, 3]))
    np.testing.assert_array_equal(symmetry.index(np.array([[10, 20, 30]])), [[-29, 12, 23]])
    np.testing.assert_allclose(symmetry.points(np.array([[0.5, 0.25, 0.75]])), [[0.25, 2.5, 3.25]])


def test_all_48_come_up_and_shifts_stay_in_range():
    rng = np.random.default_rng(3)
    drawn = [random_symmetry(rng) for _ in range(1500)]
    seen = {(*s.axes.tolist(), *s.sign.tolist()) for s in drawn}
    signs = itertools.product((-1, 1), repeat=3)
    wanted = itertools.product(itertools.permutations(range(3)), signs)
    assert seen == {(*axes, *sign) for axes, sign in wanted}
    shifts = np.array([s.shift for s in drawn])
    assert shifts.min() == -SHIFT
    assert shifts.max() == SHIFT
