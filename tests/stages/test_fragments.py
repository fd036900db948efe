"""Fragments against dense labelling, against a union of every pair of linked neighbours, and on
tracks that are cut, bent and crossed."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from reco.detector import Dead
from reco.stages.fragments import (
    REACH,
    FindFragments,
    contacts,
    logit,
    neighbour_links,
    surroundings,
)

from .voxel_events import CONTEXT, cloud, semantics, voxels

OFFSETS = [(k // 9 - 1, k // 3 % 3 - 1, k % 3 - 1) for k in range(13)]


def stage(**options) -> FindFragments:
    return FindFragments(FindFragments.Options(**options), CONTEXT)


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == n).tolist()) for n in np.unique(labels)}


@pytest.mark.parametrize("count", [40, 150, 400])
def test_all_that_touch_is_dense_labelling(count):
    index = cloud(count, count, 16)
    event = voxels(index)
    grid = np.zeros((18,) * 3, bool)
    grid[tuple(index.T - 99)] = True
    wanted, n = ndimage.label(grid, np.ones((3, 3, 3)))
    out = stage(min_affinity=0)(event, semantics(event))
    assert partition(out.voxel_fragment[0]) == partition(wanted[tuple(index.T - 99)])
    assert len(out.semantic[0]) == n


def by_brute_force(index, semantic, affinity, threshold):
    """Label of the first voxel that each can reach, by relabelling until nothing changes."""
    label = np.arange(len(index))
    row = {tuple(cell): i for i, cell in enumerate(index.tolist())}
    for i, cell in enumerate(index.tolist()):
        for k, step in enumerate(OFFSETS):
            j = row.get(tuple(c + s for c, s in zip(cell, step, strict=True)))
            if j is not None and semantic[i] == semantic[j] and affinity[i, k] >= threshold:
                low, high = sorted((label[i], label[j]))
                label[label == high] = low
    return label


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_links_are_those_of_brute_force(seed, threshold):
    rng = np.random.default_rng(seed)
    index = cloud(seed, 300, 9)
    event = voxels(index)
    semantic = rng.integers(0, 3, 300)
    affinity = rng.random((300, 13)).astype(np.float16)
    out = stage(min_affinity=threshold, bias=-100)(
        event, semantics(event, semantic=semantic, affinity=affinity)
    )
    label = out.voxel_fragment[0]
    wanted = by_brute_force(index, semantic, affinity, threshold)
    assert partition(label) == partition(wanted)
    # numbered by their first voxel, and each of the class and the size of its voxels
    _, first = np.unique(label, return_index=True)
    assert (np.diff(first) > 0).all()
    np.testing.assert_array_equal(out.semantic[0][label], semantic)
    np.testing.assert_array_equal(out.n_voxels[0], np.bincount(label))


def test_a_link_is_read_from_the_later_voxel_to_the_earlier():
    """Two voxels along z: their only link is offset 12 of the second."""
    event = voxels(np.array([[5, 5, 5], [5, 5, 6]]))
    for row, n_fragments in ((1, 1), (0, 2)):
        affinity = np.zeros((2, 13))
        affinity[row, 12] = 1
        out = stage()(event, semantics(event, affinity=affinity))
        assert len(out.semantic[0]) == n_fragments


def track(*corners: tuple[int, int, int]) -> np.ndarray:
    """Voxels of straight lines from corner to corner."""
    lines = [
        np.rint(np.linspace(a, b, 1 + int(np.abs(np.subtract(a, b)).max())))
        for a, b in pairwise(corners)
    ]
    return np.unique(np.concatenate(lines), axis=0).astype(np.int32)


def fragments_of(index, link, score=0.01):
    """Fragment of each voxel, where link(cell, neighbour) is how sure a link is."""
    event = voxels(index)
    affinity = [[link(c, c + step) for step in np.array(OFFSETS)] for c in index]
    score = np.full(len(index), score)
    found = semantics(event, affinity=np.array(affinity), point_score=score)
    return stage()(event, found).voxel_fragment[0]


@pytest.mark.parametrize("end", [(60, 20, 20), (60, 60, 20), (60, 40, 30)])
def test_a_straight_track_goes_on_behind_a_doubtful_link(end):
    index = track((20, 20, 20), end)
    label = fragments_of(index, lambda a, b: 0.3 if a[0] >= 40 > b[0] else 0.99)
    assert label.max() == 0


def test_a_track_with_a_kink_and_a_point_of_interest_is_cut():
    index = track((20, 20, 20), (40, 20, 20), (40, 60, 20))
    label = fragments_of(index, lambda a, b: 0.3 if a[1] > 20 == b[1] else 0.99, score=0.99)
    assert label.tolist() == (index[:, 1] > 20).astype(int).tolist()


def test_a_track_goes_on_behind_what_is_dead():
    detector = CONTEXT.detector
    corners = np.array([[[38, 0, 0], [52, 40, 40]]]) * detector.voxel_size + detector.lower
    dead = tuple(Dead(tuple(low), tuple(high)) for low, high in corners.tolist())
    index = track((20, 20, 20), (70, 30, 20))
    event = voxels(index[(index[:, 0] < 38) | (index[:, 0] >= 52)], index[:0])
    found = semantics(event, affinity=np.ones((len(event.energy.values), 13)))
    for boxes, n_fragments in (((), 2), (dead, 1)):
        context = replace(CONTEXT, detector=replace(detector, dead=boxes))
        out = FindFragments(FindFragments.Options(), context)(event, found)
        assert out.semantic.counts.tolist() == [n_fragments, 0]


def test_tracks_that_cross_are_two():
    """The first is cut in three where the second, which is whole, goes through."""
    index = np.concatenate([track((20, 20, 20), (60, 20, 20)), track((40, 0, 20), (40, 40, 20))])
    index = np.unique(index, axis=0)
    label = fragments_of(index, lambda a, b: 0.99 if (a[0] == 40) == (b[0] == 40) else 0.2)
    across = index[:, 0] == 40
    assert label[across].min() == label[across].max()
    assert not np.isin(label[~across], label[across]).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_contacts_and_what_is_around_them_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    index = cloud(seed, 200, 9)
    semantic, piece = rng.integers(0, 2, 200), rng.integers(0, 30, 200)
    affinity, point = rng.random((200, 13)), rng.normal(size=200)
    touching = contacts(index, neighbour_links(index, semantic, affinity), piece)
    wanted: dict[tuple[int, int], list[tuple[float, np.ndarray]]] = {}
    row = {tuple(cell): i for i, cell in enumerate(index.tolist())}
    for i, cell in enumerate(index.tolist()):
        for k, step in enumerate(OFFSETS):
            j = row.get(tuple(c + s for c, s in zip(cell, step, strict=True)))
            if j is not None and semantic[i] == semantic[j] and piece[i] != piece[j]:
                pair = (min(piece[i], piece[j]), max(piece[i], piece[j]))
                p = np.clip(affinity[i, k], 1e-3, 1 - 1e-3)
                link = (np.log(p / (1 - p)), (index[i] + index[j]) / 2)
                wanted.setdefault(pair, []).append(link)
    assert [tuple(pair) for pair in touching.pairs.tolist()] == sorted(wanted)
    length, angle, nearest = surroundings(index, piece, point, touching)
    for m, pair in enumerate(sorted(wanted)):
        middle = np.mean([place for _, place in wanted[pair]], axis=0)
        assert touching.odds[m] == pytest.approx(np.mean([odds for odds, _ in wanted[pair]]))
        away = index - middle
        far = np.linalg.norm(away, axis=1)
        near = [(piece == p) & (far <= REACH) for p in pair]
        a, b = (away[rows].mean(axis=0) for rows in near)
        size = [far[rows].mean() for rows in near]
        assert length[m] == pytest.approx(min(size))
        assert np.cos(angle[m]) == pytest.approx(-a @ b / np.prod(size), abs=1e-9)
        assert nearest[m] == point[far <= 3].max()


def test_pieces_without_extent_have_no_direction():
    """A voxel in the middle of its contacts, and a ring that touches a line at both its ends."""
    line = track((20, 20, 20), (22, 20, 20))
    ring = track((20, 20, 20), (20, 60, 20), (60, 60, 20), (60, 20, 20), (20, 20, 20))
    for index, alone in ((line, line[:, 0] == 21), (ring, ring[:, 1] == 20)):
        links = neighbour_links(index, np.ones(len(index)), np.zeros((len(index), 13)))
        point = np.zeros(len(index))
        touching = contacts(index, links, alone.astype(int))
        length, angle, _ = surroundings(index, alone.astype(int), point, touching)
        assert length.tolist() == [0]
        assert np.isfinite(angle).all()


def test_log_odds_are_bounded():
    np.testing.assert_allclose(logit(np.array([0.0, 0.5, 0.8])), [-np.log(999), 0, np.log(4)])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_smallest_events(count):
    event = voxels(np.array([[5, 5, 5], [5, 5, 7]])[:count])
    out = stage()(event, semantics(event, affinity=np.ones((count, 13))))
    assert out.voxel_fragment[0].tolist() == list(range(count))
    assert out.n_voxels[0].tolist() == [1] * count


def test_events_do_not_meet():
    index = cloud(3, 200, 9)
    event = voxels(index, index[:0], index, index[:1])
    out = stage(min_affinity=0)(event, semantics(event))
    np.testing.assert_array_equal(out.voxel_fragment[0], out.voxel_fragment[2])
    assert out.voxel_fragment[0].min() == 0
    assert out.voxel_fragment.counts.tolist() == [200, 0, 200, 1]
    assert out.semantic.counts[1] == 0
