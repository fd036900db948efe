"""Dead places for training: what is covered, what is kept, what the network is told."""

import numpy as np
import pytest

from reco.train.backbone import blinded
from reco.train.blind import AREA, random_blind

from .test_backbone import sample


@pytest.mark.parametrize("seed", range(8))
def test_what_is_covered_lies_in_the_boxes_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    index = rng.integers(-50, 300, (2000, 3))
    blind = random_blind(index, rng)
    lower, upper = blind.boxes()
    middle = index[:, None] + 0.5
    inside = ((middle > lower) & (middle < upper)).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(blind.covers(index), inside)


def test_the_dead_area_is_what_was_asked_for_and_as_long_as_the_drift():
    rng = np.random.default_rng(1)
    index = rng.uniform(0, 768, (20_000, 3)).astype(int)
    parts = []
    for _ in range(60):
        blind = random_blind(index, rng)
        parts.append(blind.covers(index).mean())
        lower, upper = blind.boxes()
        assert ((lower <= index.min(axis=0)) & (upper > index.max(axis=0))).any(axis=1).all()
    assert np.mean(parts) == pytest.approx(np.mean(AREA), abs=0.015)
    assert max(parts) < AREA[1] + 0.03


@pytest.mark.parametrize("voxels", [1, 2])
def test_smallest_events_are_left_as_they_are_or_seen(voxels):
    event = sample(3, steps=voxels)
    for seed in range(30):
        seen = blinded(event, np.random.default_rng(seed))
        assert len(seen.index) in (len(event.index), 2)


def test_what_is_left_keeps_its_truth_and_is_near():
    event = sample(4, steps=3000)
    seen = blinded(event, np.random.default_rng(5))
    row = {tuple(i): n for n, i in enumerate(event.index.tolist())}
    rows = [row[tuple(i)] for i in seen.index.tolist()]
    assert 0 < len(rows) < len(event.index)
    for name in ("energy", "semantic", "fragment"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(event, name)[rows])
    np.testing.assert_array_equal(seen.points, event.points)
    gone = event.index[sorted(set(range(len(event.index))) - set(rows))].astype(int)
    beside = np.abs(seen.index[:, None].astype(int) - gone).sum(axis=2).min(axis=1) == 1
    assert (seen.near_dead[beside] == 1).all()
    assert seen.near_dead.max() <= 1
