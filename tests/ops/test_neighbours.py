import numpy as np
import pytest

from reco.ops.neighbours import OFFSETS, TOUCHING, bridges, close_pairs, components, link_graph


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


def test_graph_is_as_long_as_its_links():
    graph = link_graph(np.array([[0, 0, 0], [3, 4, 0.0]]), np.array([[0, 1]]))
    assert graph.toarray()[0, 1] == 5
