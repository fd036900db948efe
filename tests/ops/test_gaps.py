import numpy as np
import pytest

from reco.ops.gaps import BEND, gap_pairs

WALL = (np.array([[20.0, -50, -50]]), np.array([[36.0, 50, 50]]))
"""A blind slab, 16 voxels thick."""


def line(start, end) -> np.ndarray:
    """(N, 3) voxels that are read out, of a straight line in front of `WALL` and behind it."""
    steps = 4 * int(np.abs(np.subtract(end, start)).max())
    index = np.unique(np.rint(np.linspace(start, end, steps)).astype(np.int32), axis=0)
    return index[(index[:, 0] < 20) | (index[:, 0] >= 36)]


def pairs(*pieces, kinds=None, dead=WALL) -> set[tuple[int, int]]:
    index = np.concatenate(pieces)
    piece = np.repeat(np.arange(len(pieces), dtype=np.int32), [len(p) for p in pieces])
    kind = piece * 0 if kinds is None else np.array(kinds)[piece]
    return {tuple(sorted(pair)) for pair in gap_pairs(index, piece, kind, *dead).tolist()}


def cut(index) -> tuple[np.ndarray, np.ndarray]:
    return index[index[:, 0] < 28], index[index[:, 0] >= 28]


@pytest.mark.parametrize("end", [(60, 0, 0), (60, 40, 0), (60, -40, 30)])
def test_a_straight_line_goes_on_behind_the_wall(end):
    index = line((-10, 0, 0), end)
    assert pairs(*cut(index)) == {(0, 1)}
    assert pairs(*cut(index), kinds=(1, 0)) == set()
    assert pairs(*cut(index[:, [1, 2, 0]]), dead=WALL) == set()  # no longer in front of it


def test_two_lines_that_cross_behind_the_wall_are_not_mixed():
    one, other = line((-10, -25, 0), (66, 25, 0)), line((-10, 25, 0), (66, -25, 0))
    assert pairs(*cut(one), *cut(other)) == {(0, 1), (2, 3)}


@pytest.mark.parametrize(("part", "joined"), [(0.8, True), (1.2, False)])
def test_a_line_that_turns_at_the_wall(part, joined):
    rise = np.tan(part * BEND)
    front, behind = line((-10, 0, 0), (19, 0, 0)), line((36, 0, 0), (66, 30 * rise, 0))
    assert pairs(front, behind) == ({(0, 1)} if joined else set())


def test_what_ends_before_the_wall_or_goes_by_is_left():
    front, behind = cut(line((-10, 0, 0), (60, 0, 0)))
    assert pairs(front[:-6], behind) == set()
    along = np.array([[19, y, 0] for y in range(-40, 40)], np.int32)
    assert pairs(along, behind) == set()


@pytest.mark.parametrize(("end", "joined"), [(23.0, False), (43.0, True)])
def test_a_gap_that_is_read_out_is_one(end, joined):
    """Both pieces are beside a box, and the first of the boxes reaches that far."""
    line = np.array([[x, 0, 0] for x in range(80)], np.int32)
    lower, upper = (np.array([[x, -50, -50], [y, -50, -50]]) for x, y in ((20, 46), (end, 47)))
    upper[:, 1:] += 100
    assert pairs(line[:20], line[47:], dead=(lower, upper)) == ({(0, 1)} if joined else set())


def test_one_gap_of_two_boxes_is_bridged():
    lower = np.array([[20.0, -50, -50], [28.0, -50, -50]])
    upper = np.array([[28.0, 50, 50], [36.0, 50, 50]])
    assert pairs(*cut(line((-10, 0, 0), (60, 20, 0))), dead=(lower, upper)) == {(0, 1)}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_smallest(n):
    index, label = np.array([[19, 0, 0], [36, 0, 0]], np.int32)[:n], np.arange(n, dtype=np.int32)
    assert gap_pairs(index, label, label * 0, *WALL).shape == (0, 2)
    index = np.concatenate(cut(line((-10, 0, 0), (60, 0, 0))))
    label = np.zeros(len(index), np.int32)
    assert gap_pairs(index, label, label, *np.zeros((2, 0, 3))).shape == (0, 2)
