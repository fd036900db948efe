import numpy as np

from reco.data.classes import Semantic
from reco.metrics.truth_points import truth_points


def line(start, end, n):
    return np.linspace(start, end, n)


def test_ends_of_a_track_and_start_of_a_shower():
    position = np.concatenate([line((0, 0, 0), (10, 0, 0), 30), line((50, 0, 0), (60, 0, 0), 30)])
    particle = np.repeat([0, 1], 30)
    start = np.array([[0.1, 0, 0], [20.0, 0, 0]])  # the photon converts 30 cm from where it starts
    end = np.array([[10.0, 0, 0], [70.0, 0, 0]])
    found = truth_points(position, particle, np.array([1, 0]), start, end)
    np.testing.assert_allclose(found.position, [[0.1, 0, 0], [10, 0, 0], [50, 0, 0]], atol=1e-6)
    np.testing.assert_array_equal(found.type, [Semantic.TRACK, Semantic.TRACK, Semantic.SHOWER])
    np.testing.assert_array_equal(found.particle, [0, 0, 1])


def test_an_end_outside_is_where_the_track_was_last_seen():
    position = line((0, 0, 0), (10, 0, 0), 30)
    found = truth_points(
        position, np.zeros(30, int), np.array([1]), np.zeros((1, 3)), np.array([[900.0, 0, 0]])
    )
    np.testing.assert_allclose(found.position[1], [10, 0, 0])


def test_small_showers_and_low_energy_scatters_have_no_point():
    position = np.random.default_rng(0).random((40, 3))
    particle = np.repeat([0, 1, 2, 3], [9, 10, 10, 11])
    semantic = np.array([Semantic.SHOWER, Semantic.MICHEL, Semantic.DELTA, Semantic.LOW_ENERGY])
    ends = np.zeros((4, 3))
    found = truth_points(position, particle, semantic, ends, ends)
    np.testing.assert_array_equal(found.type, [Semantic.MICHEL, Semantic.DELTA])
    small = truth_points(position, particle, semantic, ends, ends, min_voxels=9)
    np.testing.assert_array_equal(small.particle, [0, 1, 2])


def test_particles_without_voxels_have_no_point():
    ends = np.zeros((2, 3))
    found = truth_points(np.zeros((2, 3)), np.array([-1, 1]), np.array([1, 1]), ends, ends)
    np.testing.assert_array_equal(found.particle, [1, 1])


def test_empty_event():
    nothing = np.zeros((0, 3))
    found = truth_points(nothing, np.zeros(0, int), np.zeros(0, int), nothing, nothing)
    assert found.position.shape == (0, 3)
    assert len(found.type) == len(found.particle) == 0
