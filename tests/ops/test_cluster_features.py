import numpy as np
import pytest

from reco.ops.cluster_features import (
    N_COMMON,
    N_OWN,
    PointTable,
    VoxelTable,
    local_directions,
    node_features,
    pair_features,
    shapes,
    touch,
    towards_starts,
)
from reco.ops.graph import FINE, Members, Sampled, cells_of, contacts

NONE = np.zeros((0, 2), np.int64)
NO_POINTS = PointTable(np.zeros((0, 3)), np.zeros(0, np.int8), np.zeros(0))


def voxels_of(place, rng=None):
    rng = rng or np.random.default_rng(0)
    n = len(place)
    scores = rng.dirichlet(np.ones(5), n)
    energy = rng.uniform(0.2, 2, n)
    return VoxelTable(np.asarray(place, float), energy, scores, rng.normal(size=(n, 4)))


def described(voxels, cluster, points):
    members = Members.of(cluster)
    found = touch(voxels, members, points)
    shape = shapes(voxels, members, found.start)
    sampled = Sampled.of(voxels.place, cluster)
    pairs = contacts(sampled, 4, 8, NONE, NONE)
    zero = np.zeros(len(pairs.a))
    score = members.mean(voxels.scores)
    nodes = node_features(voxels, members, shape, found)
    return shape, nodes, pairs, pair_features(sampled, pairs, shape, score, (zero, zero))


def test_a_straight_line_from_its_point():
    line = np.stack([np.arange(30), np.zeros(30), np.zeros(30)], axis=1)
    points = PointTable(np.array([[30.0, 0, 1]]), np.array([1]), np.array([0.9]))
    voxels = voxels_of(line)
    members = Members.of(np.zeros(30, int))
    found = touch(voxels, members, points)
    assert found.start[0] == 29
    assert found.n_points[0] == 1
    np.testing.assert_array_equal(found.score[0], [0, 0.9, 0, 0, 0])
    shape = shapes(voxels, members, found.start)
    np.testing.assert_allclose(shape.direction[0], [-1, 0, 0])
    np.testing.assert_allclose(shape.end[0], [0, 0, 0])
    np.testing.assert_allclose(shape.spread[0], [np.std(np.arange(30)), 0, 0], atol=1e-6)
    assert shape.energy[0] == pytest.approx(voxels.energy.sum())


def test_the_better_of_two_points_is_the_start():
    line = np.stack([np.arange(30), np.zeros(30), np.zeros(30)], axis=1)
    ends = PointTable(np.array([[0.0, 0, 0], [29, 0, 0]]), np.array([1, 3]), np.array([0.6, 0.8]))
    found = touch(voxels_of(line), Members.of(np.zeros(30, int)), ends)
    assert found.start[0] == 29
    assert found.n_points[0] == 2


def test_nothing_changes_when_the_event_is_turned_and_shifted():
    rng = np.random.default_rng(2)
    walk = np.cumsum(rng.integers(0, 2, (3, 25, 3)), axis=1) + rng.integers(0, 40, (3, 1, 3))
    place, cluster = walk.reshape(-1, 3).astype(float), np.repeat([0, 1, 2], 25)
    points = PointTable(walk[:, 0].astype(float), np.array([0, 1, 2]), np.array([0.9, 0.8, 0.7]))
    voxels = voxels_of(place)

    def moved(p):
        return p[:, [2, 0, 1]] * [1, -1, 1] + [64, 128, 0]

    _, nodes, pairs, features = described(voxels, cluster, points)
    _, turned, same_pairs, turned_features = described(
        voxels._replace(place=moved(place)), cluster, points._replace(place=moved(points.place))
    )
    np.testing.assert_allclose(turned, nodes, atol=1e-4)
    np.testing.assert_array_equal(same_pairs.a, pairs.a)
    # closest voxels, and so what is seen at the contact, can be one of several equal ones
    common = [i for i in range(N_COMMON) if i != 10]
    np.testing.assert_allclose(turned_features[:, common], features[:, common], atol=1e-4)


def test_widths():
    voxels = voxels_of(np.arange(12).reshape(4, 3) * 5)
    _, nodes, _, features = described(voxels, np.array([0, 0, 1, 2]), NO_POINTS)
    assert nodes.shape == (3, 33 + 2 * 4)
    assert features.shape[1] == N_COMMON + 2 * N_OWN
    assert nodes.dtype == features.dtype == np.float32


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_voxels(n):
    voxels = voxels_of(np.array([[0, 0, 0], [1, 0, 0]])[:n])
    for cluster in (np.arange(n), np.zeros(n, int)):
        _, nodes, _, features = described(voxels, cluster, NO_POINTS)
        assert np.isfinite(nodes).all()
        assert np.isfinite(features).all()
        assert np.abs(nodes).max(initial=0) < 10


def test_a_track_runs_along_itself_everywhere():
    line = np.stack([np.arange(60), np.arange(60), np.zeros(60)], axis=1)
    cells = cells_of(line.astype(float), np.zeros(60, int), FINE)
    directions = local_directions(cells, np.arange(len(cells.centre)))
    np.testing.assert_allclose(np.abs(directions @ [1, 1, 0]) / np.sqrt(2), 1, atol=1e-6)


def test_what_lies_ahead_of_a_start_is_paired_with_it():
    line = np.stack([np.arange(20), np.zeros(20), np.zeros(20)], axis=1)
    other = line[:, [1, 0, 2]] + [0, 60, 0]
    place = np.concatenate([line, other, [[70, 0, 0]]])
    cluster = np.repeat([0, 1, 2], [20, 20, 1])
    voxels = voxels_of(place)
    shape = shapes(voxels, Members.of(cluster), np.array([0, 20, 40]))
    pairs = towards_starts(shape, np.array([0, 1]), 1)
    assert [2, 0] in pairs.tolist()
    assert all(a != b for a, b in pairs.tolist())
    assert towards_starts(shape, np.zeros(0, int), 3).shape == (0, 2)
