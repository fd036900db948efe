import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from reco.data.classes import PID, Semantic
from reco.metrics.baselines import (
    calorimetric_energy,
    cluster_ends,
    components,
    dbscan,
    density_fragments,
    density_interactions,
    density_particles,
    geometric_vertex,
    identity_by_dedx,
    join_near,
    near_vertex,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.integers(1, 6), st.floats(0.5, 3), st.integers(0, 1000))
def test_dbscan_as_scikit_learn(n, min_samples, radius, seed):
    position = np.random.default_rng(seed).random((n, 3)) * 10
    expected = DBSCAN(eps=radius, min_samples=min_samples).fit_predict(position)
    np.testing.assert_array_equal(dbscan(position, radius, min_samples), expected)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_dbscan_of_few(n):
    np.testing.assert_array_equal(dbscan(np.zeros((n, 3)), 1.0), np.zeros(n))
    np.testing.assert_array_equal(dbscan(np.zeros((n, 3)), 1.0, 3), -np.ones(n))


def test_components_by_hand():
    np.testing.assert_array_equal(components(5, np.array([[0, 3], [3, 4]])), [0, 1, 2, 0, 0])


def test_fragments_part_at_gaps_and_at_classes():
    x = np.array([0, 1, 2, 5, 6, 3])
    position = np.column_stack([x, x * 0, x * 0]) * 0.3
    semantic = np.array([1, 1, 1, 1, 1, 0])
    found = density_fragments(position, semantic, 0.3)
    assert len(set(found)) == 3
    assert len(set(found[:3])) == len(set(found[3:5])) == 1
    np.testing.assert_array_equal(density_fragments(position[:0], semantic[:0], 0.3), [])


def test_showers_are_joined_across_gaps_and_tracks_are_not():
    x = np.array([0.0, 5.0, 20.0, 100.0, 105.0])
    position = np.column_stack([x, x * 0, x * 0])
    semantic = np.array([0, 0, 0, 1, 1])
    fragment = density_fragments(position, semantic, 0.3)
    found = density_particles(position, semantic, fragment)
    assert found[0] == found[1]
    assert len(set(found)) == 4
    assert len(set(density_interactions(position, found))) == 3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 1000))
def test_joining_agrees_with_all_pairs_but_for_the_size_of_a_cell(n, seed):
    rng = np.random.default_rng(seed)
    position, cluster = rng.random((n, 3)) * 40, rng.integers(-1, 8, n)
    gap = 5.0
    loose, tight = (_join_all(position, cluster, g) for g in (gap, gap - 2 * np.sqrt(3) * gap / 4))
    found = join_near(position, cluster, gap)
    np.testing.assert_array_equal(found < 0, cluster < 0)
    for i in range(n):
        for j in range(i):
            if tight[i] == tight[j] >= 0:
                assert found[i] == found[j]
            if found[i] == found[j] >= 0:
                assert loose[i] == loose[j]


def _join_all(position, cluster, gap):
    joined = cluster.copy()
    for i in range(len(joined)):
        for j in range(i):
            close = np.linalg.norm(position[i] - position[j]) <= gap
            if close and joined[i] >= 0 and joined[j] >= 0:
                joined[joined == joined[i]] = joined[j]
    return joined


def rays(vertex, directions, length=20.0):
    direction = np.array(directions, float)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    start = np.repeat([vertex], len(direction), axis=0).astype(float)
    return start, start + length * direction, direction


def test_vertex_is_the_shared_start():
    start, end, direction = rays((1, 2, 3), [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
    start[2] += 15 * direction[2]  # a photon that converts far away
    found = geometric_vertex(start, end, direction, np.array([True, True, False]))
    np.testing.assert_allclose(found, (1, 2, 3))


def test_vertex_where_a_track_was_turned_round():
    start, end, direction = rays((1, 2, 3), [(1, 0, 0), (0, 1, 0)])
    start[0], end[0] = end[0].copy(), start[0].copy()
    found = geometric_vertex(start, end, -direction, np.array([True, True]))
    np.testing.assert_allclose(found, (1, 2, 3))


def test_vertex_of_two_photons_is_where_they_point_from():
    start, end, direction = rays((1, 2, 3), [(1, 0, 0), (0.2, 1, 0)])
    found = geometric_vertex(start + 9 * direction, end, direction, np.zeros(2, bool))
    np.testing.assert_allclose(found, (1, 2, 3), atol=1e-9)


def test_vertex_of_parallel_photons_and_of_one_particle_is_a_start():
    direction = np.array([[1.0, 0, 0], [1, 0, 0]])
    start = np.array([[0.0, 0, 0], [0, 30, 0]])
    end = start + direction * [[5], [9]]
    np.testing.assert_array_equal(
        geometric_vertex(start, end, direction, np.zeros(2, bool)), start[1]
    )
    np.testing.assert_array_equal(
        geometric_vertex(start[:1], end[:1], direction[:1], np.ones(1, bool)), start[0]
    )


def test_energy_is_the_sum_with_the_shower_factor():
    energy = np.array([1.0, 2, 4, 8, 100])
    found = calorimetric_energy(energy, np.array([0, 0, 1, 1, -1]), np.array([1, 0, 0]))
    np.testing.assert_allclose(found, [3, 12 / 0.83, 0])


def test_identity_by_dedx():
    semantic = np.array([1, 1, 0, 0, 2, 3, 4, 1])
    start = np.array([2, 9, 2.1, 4.3, 5, 5, 1, np.nan])
    mean = np.array([2.2, 8, 2, 2, 5, 5, 1, np.nan])
    expected = [2, 4, 1, 0, 1, 1, 0, 2]
    np.testing.assert_array_equal(identity_by_dedx(semantic, start, mean), expected)
    assert PID(expected[1]) is PID.PROTON


def test_primaries_start_at_the_vertex():
    start, vertex = np.array([[0, 0, 1.0], [0, 0, 9]]), np.zeros((2, 3))
    np.testing.assert_array_equal(near_vertex(start, vertex), [True, False])
    assert not near_vertex(start, np.full((2, 3), np.nan)).any()


def test_ends_of_clusters():
    track = np.linspace((0, 0, 0), (9, 0, 0), 30)
    rng = np.random.default_rng(0)
    depth = np.linspace(0, 20, 200)
    cone = np.column_stack([100 + depth, rng.normal(size=(200, 2)) * depth[:, None] * 0.2])
    position = np.concatenate([track, cone, np.zeros((2, 3))])
    cluster = np.repeat([4, 0, 2], [30, 200, 2])
    semantic = np.repeat([Semantic.TRACK, Semantic.SHOWER, Semantic.TRACK], [30, 200, 2])
    found = cluster_ends(position, cluster, semantic)
    assert len(found) == 3
    np.testing.assert_allclose(sorted(found[1:, 0]), [0, 9])
    assert found[0, 0] < 101
    assert cluster_ends(position[:0], cluster[:0], semantic[:0]).shape == (0, 3)
