from itertools import pairwise

import numpy as np
import pytest

from reco.display.shapes import arrows, edges, ellipsoids


def pieces(lines: np.ndarray) -> list[np.ndarray]:
    """Cut where the pen is up."""
    up = np.flatnonzero(np.isnan(lines).all(axis=1))
    return [part[~np.isnan(part).any(axis=1)] for part in np.split(lines, up) if len(part) > 1]


def segments(line: np.ndarray) -> set[frozenset[tuple[float, ...]]]:
    corners = [tuple(corner) for corner in line.tolist()]
    return {frozenset(pair) for pair in pairwise(corners)}


def test_every_edge_of_a_box_is_drawn_and_nothing_else():
    box = np.array([[[-1.0, 2, 3], [4, 6, 8]]])
    corners = [(x, y, z) for x in (-1.0, 4.0) for y in (2.0, 6.0) for z in (3.0, 8.0)]
    wanted = {
        frozenset((a, b))
        for a in corners
        for b in corners
        if sum(p != q for p, q in zip(a, b, strict=True)) == 1
    }
    drawn = pieces(edges(box))
    assert len(wanted) == 12
    assert segments(drawn[0]) == wanted
    assert len(pieces(edges(np.concatenate([box, box + 100])))) == 2


def test_an_arrow_starts_at_its_point_and_has_its_length():
    start, along = np.array([[1.0, 2, 3], [0, 0, 0]]), np.array([[0, 0, 1.0], [0.6, 0.8, 0]])
    first, second = pieces(arrows(start, along, 5.0))
    np.testing.assert_allclose(first, [[1, 2, 3], [1, 2, 8]])
    np.testing.assert_allclose(second, [[0, 0, 0], [3, 4, 0]], atol=1e-6)


def test_all_corners_of_an_ellipsoid_are_one_standard_deviation_away():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(2, 3, 3))
    covariance, centre = root @ root.transpose(0, 2, 1), rng.normal(size=(2, 3))
    drawn = pieces(ellipsoids(centre, covariance))
    assert len(drawn) == 6
    for i, ring in enumerate(drawn):
        away = ring.astype(np.float64) - centre[i // 3]
        inverse = np.linalg.inv(covariance[i // 3])
        np.testing.assert_allclose(np.einsum("ni,ij,nj->n", away, inverse, away), 1, rtol=1e-3)


def test_a_flat_ellipsoid_is_flat_and_an_unknown_one_is_not_drawn():
    flat = np.diag([4.0, 9.0, -1e-9])
    drawn = ellipsoids(np.zeros((2, 3)), np.stack([flat, np.full((3, 3), np.nan)]))
    assert len(pieces(drawn)) == 3
    low, high = np.nanmin(drawn, axis=0), np.nanmax(drawn, axis=0)
    np.testing.assert_allclose([low, high], [[-2, -3, 0], [2, 3, 0]], atol=1e-3)


@pytest.mark.parametrize(
    "lines",
    [
        edges(np.empty((0, 2, 3))),
        arrows(np.empty((0, 3)), np.empty((0, 3)), 1.0),
        ellipsoids(np.empty((0, 3)), np.empty((0, 3, 3))),
    ],
)
def test_nothing_is_drawn_of_nothing(lines):
    assert lines.shape == (0, 3)
