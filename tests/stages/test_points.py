"""Suppression of proposals against the same rule in quadratic time."""

import numpy as np
import pytest

from reco.stages.points import FindPoints, suppress

from .voxel_events import CONTEXT, semantics, voxels, walk


def by_brute_force(place, score, kind, radius, min_votes):
    """Take the best proposal, all within radius of it that are left, and begin again."""
    left, points = list(range(len(place))), []
    while left:
        best = max(left, key=lambda k: (score[k], -k))
        near = [k for k in left if np.sqrt(((place[k] - place[best]) ** 2).sum()) <= radius]
        left = [k for k in left if k not in near]
        if len(near) < min_votes:
            continue
        total = sum(score[k] for k in near)
        middle = sum(score[k] * place[k] for k in near) / total
        votes = [sum(score[k] for k in near if kind[k] == c) for c in range(5)]
        points.append((middle, int(np.argmax(votes)), score[best]))
    return points


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("min_votes", [1, 3])
def test_suppression_is_that_of_brute_force(seed, min_votes):
    rng = np.random.default_rng(seed)
    place = rng.uniform(0, 12, (80, 3))
    score = rng.uniform(0.5, 1, 80)
    kind = rng.integers(0, 5, 80)
    wanted = by_brute_force(place, score, kind, 2.5, min_votes)
    found, types, best = suppress(place, score, kind, 2.5, min_votes)
    assert len(wanted) > 3
    np.testing.assert_allclose(found, [p[0] for p in wanted], rtol=1e-5)
    np.testing.assert_array_equal(types, [p[1] for p in wanted])
    np.testing.assert_allclose(best, [p[2] for p in wanted], rtol=1e-6)


def test_of_equal_scores_the_first_wins():
    place = np.array([[0.0, 0, 0], [2.0, 0, 0], [4.0, 0, 0]])
    found, _, _ = suppress(place, np.ones(3), np.zeros(3, int), 2.0, 1)
    np.testing.assert_allclose(found[:, 0], [1.0, 4.0])


def test_no_proposal_is_no_point():
    found, types, best = suppress(np.zeros((0, 3)), np.zeros(0), np.zeros(0, int), 2.5, 1)
    assert found.shape == (0, 3)
    assert len(types) == len(best) == 0


def test_a_point_lies_where_its_voxels_point():
    """Voxels within three of a point, each pointing exactly at it: the point comes back."""
    index = walk(1, 400)
    truth = index[len(index) // 2] + np.array([0.25, -0.5, 0.125])
    offset = truth - index
    near = np.linalg.norm(offset, axis=1) < 3
    event = voxels(index)
    found = semantics(
        event,
        point_score=np.where(near, 0.9, 0.1),
        point_offset=np.where(near[:, None], offset, 7.0),
        point_type=np.where(near, 3, 0),
    )
    out = FindPoints(FindPoints.Options(), CONTEXT)(event, found)
    detector = CONTEXT.detector
    wanted = detector.lower + (truth + 0.5) * detector.voxel_size
    np.testing.assert_allclose(out.position[0], [wanted], atol=1e-3)
    assert out.type[0].tolist() == [3]
    np.testing.assert_allclose(out.score[0], [0.9], atol=1e-3)


def test_events_do_not_meet():
    """The same voxels in two events, and an event without any between them."""
    index = walk(2, 50)
    event = voxels(index, index[:0], index)
    out = FindPoints(FindPoints.Options(), CONTEXT)(
        event, semantics(event, point_score=np.ones(2 * len(index)))
    )
    assert out.score.counts[1] == 0
    np.testing.assert_array_equal(out.position[0], out.position[2])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_smallest_events(count):
    event = voxels(np.array([[5, 5, 5], [5, 5, 60]])[:count])
    out = FindPoints(FindPoints.Options(min_votes=1), CONTEXT)(
        event, semantics(event, point_score=np.ones(count))
    )
    np.testing.assert_allclose(out.position[0], event.position[0], atol=1e-4)
