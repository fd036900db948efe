import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

from reco.ops.neighbours import (
    OFFSETS,
    TOUCHING,
    Grid,
    bridges,
    close_pairs,
    components,
    shortest,
)


def test_offsets_are_mirrored_about_the_middle():
    np.testing.assert_array_equal(OFFSETS[13], [0, 0, 0])
    np.testing.assert_array_equal(OFFSETS[::-1], -OFFSETS)
    assert OFFSETS[:13].tolist() == [[k // 9 - 1, k // 3 % 3 - 1, k % 3 - 1] for k in range(13)]


@pytest.mark.parametrize("n", [0, 1, 2, 80])
def test_pairs_of_touching_voxels_agree_with_all_pairs(n):
    points = np.random.default_rng(n).permutation(6**3)[:n]
    points = np.stack(np.unravel_index(points, (6, 6, 6)), axis=1)
    steps = np.abs(points[:, None] - points[None]).max(axis=2)
    expected = {(i, j) for i in range(n) for j in range(i + 1, n) if steps[i, j] == 1}
    assert {tuple(sorted(p)) for p in close_pairs(points, TOUCHING).tolist()} == expected


def test_components_and_bridges():
    points = np.array([[0, 0, 0], [1, 0, 0], [9, 0, 0], [5, 0, 0], [10, 0, 0.0]])
    piece = components(close_pairs(points, TOUCHING), 5)
    assert piece[0] == piece[1]
    assert piece[2] == piece[4]
    assert len(set(piece)) == 3
    links = bridges(points, piece, points[:, 0])
    np.testing.assert_array_equal(links, [[1, 3], [3, 2]])
    assert components(np.zeros((0, 2), int), 0).shape == (0,)


@pytest.mark.parametrize("size", [0.7, 3.0])
@pytest.mark.parametrize("n", [0, 1, 200])
def test_a_grid_finds_what_all_pairs_find(n, size):
    rng = np.random.default_rng(n)
    points, targets = rng.uniform(-9, 9, (n, 3)), rng.uniform(-14, 14, (60, 3))
    target, row = Grid.of(points, size).within(targets, 2.5)
    wanted = np.argwhere(cdist(targets, points) <= 2.5)
    order = np.lexsort((row, target))
    np.testing.assert_array_equal(np.stack([target, row], axis=1)[order], wanted)


def test_bridges_are_the_shortest_between_pieces_in_a_row():
    rng = np.random.default_rng(4)
    points = rng.uniform(0, 8, (300, 3)) + np.repeat(np.arange(3), 100)[:, None] * [9, 1, 0]
    piece = np.repeat([1, 0, 2], 100)
    for a, b in bridges(points, piece, points[:, 0]):
        apart = cdist(points[piece == piece[a]], points[piece == piece[b]])
        assert np.linalg.norm(points[a] - points[b]) == pytest.approx(apart.min())


def test_shortest_ways_agree_with_scipy():
    points = np.random.default_rng(5).uniform(0, 6, (150, 3))
    pairs = close_pairs(points, 1.2)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    graph = csr_array((length, pairs.T), shape=(150, 150))
    wanted = dijkstra(graph, directed=False, indices=7)
    np.testing.assert_allclose(shortest(points, pairs, 7), wanted)
