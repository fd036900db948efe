import numpy as np
import pytest

from reco.ops.geometry import (
    Groups,
    cone_direction,
    extremes,
    line_direction,
    open_showers,
    principal_axes,
    start_dedx,
    trace,
)
from tests.ops.toys import SIZE, voxels_along


def test_principal_axes_agree_with_the_singular_values():
    points = np.random.default_rng(0).normal(size=(50, 3)) * [5, 2, 1]
    weight = np.random.default_rng(1).integers(1, 4, 50)
    repeated = np.repeat(points, weight, axis=0)
    _, s, vt = np.linalg.svd(repeated - repeated.mean(axis=0))
    main = principal_axes(points, weight)
    np.testing.assert_allclose(main.centre, repeated.mean(axis=0))
    np.testing.assert_allclose(main.spread, s / np.sqrt(len(repeated)))
    np.testing.assert_allclose(np.abs(np.sum(main.axes * vt, axis=1)), 1)


@pytest.mark.parametrize(
    "nodes",
    [
        [[0, 0, 0], [40, 0, 0]],
        [[0, 0, 0], [20, 30, 10]],
        [[0, 0, 0], [15, 0, 0], [15, 20, 3]],
        [[0, 0, 0], [20, 0, 0], [22, 8, 0], [2, 12, 0]],  # turns back
    ],
)
def test_a_course_is_followed_from_end_to_end(nodes):
    nodes = np.array(nodes, float) + 0.1
    length = np.linalg.norm(np.diff(nodes, axis=0), axis=1).sum()
    points = voxels_along(nodes)
    path = trace(points, SIZE)
    assert path.length == pytest.approx(length, abs=0.02 * length + 0.3)
    ends = sorted([path.nodes[0], path.nodes[-1]], key=lambda x: np.linalg.norm(x - nodes[0]))
    np.testing.assert_allclose(ends, nodes[[0, -1]], atol=2 * SIZE)
    assert path.along.min() == 0
    assert path.along.max() == pytest.approx(path.length)


def test_gaps_are_bridged():
    points = voxels_along(np.array([[0, 0, 0], [30, 20, 0.0]]))
    holes = (points[:, 0] > 10) & (points[:, 0] < 13) | (points[:, 0] > 20) & (points[:, 0] < 21)
    path = trace(points[~holes], SIZE)
    assert path.length == pytest.approx(np.hypot(30, 20), rel=0.03)


def test_reversed_path_measures_from_the_other_end():
    points = voxels_along(np.array([[0, 0, 0], [30, 0, 0.0]]))
    path = trace(points, SIZE)
    back = path.reversed()
    np.testing.assert_allclose(back.along, path.length - path.along)
    np.testing.assert_array_equal(back.nodes, path.nodes[::-1])
    assert back.node_distance[0] == 0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_smallest_tracks(n):
    points = np.arange(3 * n).reshape(n, 3) * SIZE
    path = trace(points, SIZE)
    assert path.length == pytest.approx(np.linalg.norm(points[-1] - points[0]))
    assert np.isfinite(line_direction(path, points)).all()
    assert set(extremes(points, Groups.of(np.zeros(n, int), 1))[0]) == {0, n - 1}


def test_line_direction_is_that_of_the_start_of_a_bent_track():
    points = voxels_along(np.array([[0, 0, 0], [10, 0, 0], [10, 30, 0.0]]))
    path = trace(points, SIZE)
    if path.nodes[0, 1] > 15:
        path = path.reversed()
    np.testing.assert_allclose(line_direction(path, points), [1, 0, 0], atol=0.03)
    np.testing.assert_allclose(line_direction(path.reversed(), points), [0, -1, 0], atol=0.03)


def test_cone_direction():
    rng = np.random.default_rng(3)
    axis = np.array([1, 2, -2]) / 3
    along = rng.exponential(8, 400)
    points = along[:, None] * axis + rng.normal(size=(400, 3)) * 0.08 * along[:, None]
    got = cone_direction(np.zeros(3), points, np.ones(400))
    assert got @ axis > np.cos(np.radians(3))
    np.testing.assert_array_equal(cone_direction(np.zeros(3), np.zeros((1, 3)), np.ones(1)), 0)
    far = cone_direction(np.zeros(3), np.array([[0, 0, 50.0]]), np.ones(1))
    np.testing.assert_allclose(far, [0, 0, 1])


def test_extremes_are_outermost_along_the_axis_of_each_group():
    rng = np.random.default_rng(6)
    points, owner = rng.normal(size=(90, 3)) * [5, 2, 1], rng.integers(-1, 3, 90)
    found = extremes(points, Groups.of(owner, 4))
    for g in range(3):
        rows = np.flatnonzero(owner == g)
        main = principal_axes(points[rows])
        along = (points[rows] - main.centre) @ main.axes[0]
        assert set(found[g]) == {rows[along.argmin()], rows[along.argmax()]}
    np.testing.assert_array_equal(found[3], 0)


def test_showers_of_an_event_open_as_each_alone():
    rng = np.random.default_rng(7)
    points, energy = rng.uniform(0, 30, (200, 3)), rng.uniform(0.1, 2, 200)
    groups = Groups.of(rng.integers(-1, 3, 200), 3)
    starts = rng.uniform(0, 30, (3, 3))
    found = open_showers(points, energy, groups, starts, 3.0, SIZE)
    for s in range(3):
        rows = groups.rows(s)
        own = points[rows]
        origin = own[np.linalg.norm(own - starts[s], axis=1).argmin()]
        direction = cone_direction(origin, own, energy[rows])
        along = (own - origin) @ direction
        np.testing.assert_allclose(found.direction[s], direction)
        assert found.end[s] == rows[along.argmax()]
        assert found.length[s] == pytest.approx(along.max())


def test_start_dedx():
    along = np.arange(0, 30, SIZE)
    energy = np.where(along < 5, 4.2, 2.1) * SIZE
    assert start_dedx(along, energy, 3.0, SIZE) == pytest.approx(4.2, rel=0.01)
    assert start_dedx(np.zeros(1), np.array([0.6]), 3.0, SIZE) == pytest.approx(2.0)
