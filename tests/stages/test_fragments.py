"""Fragments against dense labelling, and against a union of every pair of linked neighbours."""

import numpy as np
import pytest
from scipy import ndimage

from reco.stages.fragments import FindFragments

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
    out = stage(min_affinity=threshold)(
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
