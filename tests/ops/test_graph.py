import numpy as np
import pytest
from scipy.spatial.distance import cdist

from reco.ops.graph import Members, Sampled, contacts, distinct_pairs, touching
from reco.sparse.maps import submanifold_map

NONE = np.zeros((0, 2), np.int64)


def blobs(rng, n, *, spread=30, size=6):
    """n small clusters of distinct voxels, and the cluster of each voxel."""
    centre = rng.integers(0, spread, (n, 1, 3))
    index = (centre + rng.integers(-2, 3, (n, size, 3))).reshape(-1, 3)
    index, first = np.unique(index, axis=0, return_index=True)
    cluster = np.unique(first // size, return_inverse=True)[1]
    return index.astype(np.int32), cluster


def brute_force(index, cluster):
    """(C, C) distances of the closest voxels."""
    n = cluster.max() + 1
    apart = cdist(index, index)
    return np.array(
        [[apart[np.ix_(cluster == a, cluster == b)].min() for b in range(n)] for a in range(n)]
    )


def test_members_reduce_as_loops_do():
    rng = np.random.default_rng(1)
    group = np.concatenate([np.arange(5), rng.integers(0, 5, 40)])
    values = rng.normal(size=45)
    members = Members.of(group)
    for g in range(5):
        own = values[group == g]
        assert members.sum(values)[g] == pytest.approx(own.sum())
        assert members.mean(values)[g] == pytest.approx(own.mean())
        mean, most = members.mean_and_max(np.stack([values, -values], axis=1))
        assert mean[g] == pytest.approx([own.mean(), -own.mean()])
        assert most[g].tolist() == [own.max(), -own.min()]


def test_members_of_nothing():
    members = Members.of(np.zeros(0, np.int64))
    assert len(members.counts) == 0
    assert members.mean(np.zeros((0, 3))).shape == (0, 3)
    assert members.mean_and_max(np.zeros((0, 2)))[1].shape == (0, 2)


@pytest.mark.parametrize("seed", range(8))
def test_distances_are_those_of_the_closest_voxels(seed):
    index, cluster = blobs(np.random.default_rng(seed), 12)
    found = contacts(Sampled.of(index, cluster), 12, 1000, NONE, NONE)
    exact = brute_force(index, cluster)
    assert len(found.a) == 12 * 11 / 2 if cluster.max() == 11 else True
    near = exact[found.a, found.b] < 6
    np.testing.assert_allclose(found.distance[near], exact[found.a, found.b][near])
    assert (found.distance >= exact[found.a, found.b] - 1e-9).all()
    np.testing.assert_array_equal(cluster[found.row_a], found.a)
    np.testing.assert_array_equal(cluster[found.row_b], found.b)
    gap = np.linalg.norm(index[found.row_a] - index[found.row_b], axis=1)
    np.testing.assert_allclose(gap, found.distance)


@pytest.mark.parametrize("seed", range(8))
def test_every_cluster_keeps_its_nearest(seed):
    index, cluster = blobs(np.random.default_rng(seed), 25, spread=60)
    found = contacts(Sampled.of(index, cluster), 3, 16, NONE, NONE)
    exact = brute_force(index, cluster)
    np.fill_diagonal(exact, np.inf)
    have = {(a, b) for a, b in zip(found.a.tolist(), found.b.tolist(), strict=True)}
    for a in range(cluster.max() + 1):
        ties = np.flatnonzero(exact[a] == exact[a].min())
        assert any((min(a, b), max(a, b)) in have for b in ties.tolist())


def test_wanted_pairs_are_there_however_far():
    index = np.array([[0, 0, 0], [1, 0, 0], [900, 0, 0], [905, 0, 0], [0, 500, 0]], np.int32)
    cluster = np.array([0, 0, 1, 1, 2])
    wanted = np.array([[1, 0], [2, 1], [2, 2]])
    found = contacts(Sampled.of(index, cluster), 1, 1, NONE, wanted)
    pairs = dict(zip(zip(found.a, found.b, strict=True), found.distance, strict=True))
    assert pairs[0, 1] == 899
    assert pairs[1, 2] == pytest.approx(np.hypot(900, 500))
    assert all(a < b for a, b in pairs)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_voxels(n):
    index = np.array([[0, 0, 0], [3, 0, 0]], np.int32)[:n]
    found = contacts(Sampled.of(index, np.arange(n)), 4, 8, NONE, NONE)
    assert len(found.a) == (1 if n == 2 else 0)


def test_pairs_grow_with_the_clusters_not_with_their_square():
    rng = np.random.default_rng(3)
    counts = []
    for n in (100, 400, 1600):
        index, cluster = blobs(rng, n, spread=int(20 * n ** (1 / 3)), size=3)
        found = contacts(Sampled.of(index, cluster), 8, 16, NONE, NONE)
        counts.append(len(found.a) / (cluster.max() + 1))
    assert max(counts) <= 8
    assert counts[2] < 1.3 * counts[0]


def test_distinct_pairs():
    pairs = np.array([[3, 1], [1, 3], [0, 2], [2, 0], [5, 4]])
    np.testing.assert_array_equal(distinct_pairs(pairs), [[0, 2], [1, 3], [4, 5]])
    assert distinct_pairs(NONE).shape == (0, 2)


def test_touching_finds_each_cut_link_once():
    index = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2], [5, 5, 5]], np.int32)
    table = submanifold_map(np.concatenate([np.zeros((4, 1), np.int32), index], axis=1)).table[:13]
    affinity = np.linspace(0, 1, 4 * 13).reshape(4, 13)
    rows, value, clusters = touching(table, np.array([1, 1, 0, 2]), affinity)
    np.testing.assert_array_equal(rows, [[2, 1]])
    np.testing.assert_array_equal(clusters, [[0, 1]])
    assert value[0] == pytest.approx(affinity[2, 12], abs=1e-6)
