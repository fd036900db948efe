from dataclasses import fields

import numpy as np
import pytest
import torch

from reco.data.bundle import Bundle
from reco.data.products import Fragments, Points, Semantics, Voxels
from reco.nn.graph import GraphOutput
from reco.ops.graph import distinct_pairs
from reco.stages.particles import MakeParticles, decode
from tests.stages.graph_events import CONTEXT, broken_lines, tiny

INPUTS = (Voxels, Semantics, Points, Fragments)


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(3)
    return MakeParticles(MakeParticles.Options(), CONTEXT)


def run(stage, events):
    return stage(*Bundle.concat(events).select(INPUTS))


def equal(one, two):
    return all(
        np.array_equal(getattr(one, f.name).values, getattr(two, f.name).values)
        for f in fields(one)
    )


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_voxels(stage, n):
    found = run(stage, [tiny(n)])
    assert len(found.voxel_particle.values) == n
    assert len(found.fragment_particle.values) == n
    assert len(found.id.values) <= n


def test_no_event_depends_on_its_batch(stage):
    rng = np.random.default_rng(1)
    events = [broken_lines(rng), tiny(0), broken_lines(rng, 7), tiny(2)]
    forth, back = run(stage, events), run(stage, events[::-1])
    for i, event in enumerate(events):
        alone = run(stage, [event])
        assert equal(forth.at(i), alone)
        assert equal(back.at(len(events) - 1 - i), alone)


def test_every_voxel_and_fragment_has_a_particle(stage):
    event = broken_lines(np.random.default_rng(2), 9)
    found = run(stage, [event])
    n = len(found.id.values)
    voxel, fragment = found.voxel_particle.values, found.fragment_particle.values
    assert set(voxel.tolist()) == set(range(n))
    np.testing.assert_array_equal(fragment[event[Fragments].voxel_fragment.values], voxel)
    np.testing.assert_array_equal(np.bincount(voxel), found.n_voxels.values)
    np.testing.assert_array_equal(found.id.values, np.arange(n))


def test_scores_decide(stage):
    event = broken_lines(np.random.default_rng(4), 3)
    found = stage.prepare(event)
    together = found.pairs[:, 0] // 3 == found.pairs[:, 1] // 3
    nodes = torch.zeros(9, 6)
    nodes[:, 1:] = torch.eye(5)[torch.tensor([0, 0, 1, 1, 1, 1, 2, 2, 2])] * 4
    logits = torch.from_numpy(np.where(together, 3.0, -3.0))
    made = decode(GraphOutput(nodes, logits), found, event[Fragments].voxel_fragment.values)
    np.testing.assert_array_equal(made.fragment_particle.values, np.repeat([0, 1, 2], 3))
    np.testing.assert_array_equal(made.semantic.values, [0, 1, 2])


def test_pieces_of_a_line_are_candidates(stage):
    event = broken_lines(np.random.default_rng(5), 12)
    found = stage.prepare(event)
    have = set(map(tuple, found.pairs.tolist()))
    assert len(have) == len(found.pairs)
    wanted = distinct_pairs(
        np.array([[3 * i + k, 3 * i + k + 1] for i in range(12) for k in (0, 1)])
    )
    assert set(map(tuple, wanted.tolist())) <= have
