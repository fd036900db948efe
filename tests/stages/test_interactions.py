import numpy as np
import pytest
import torch

from reco.data.bundle import Bundle
from reco.data.products import (
    Fragments,
    Interactions,
    Kinematics,
    Particles,
    Points,
    Semantics,
    Voxels,
)
from reco.nn.graph import GraphOutput
from reco.stages.interactions import MakeInteractions, decode
from reco.stages.kinematics import MakeKinematics
from tests.stages.graph_events import CONTEXT, broken_lines, make, tiny

INPUTS = (Voxels, Semantics, Points, Particles, Kinematics)


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(3)
    return MakeInteractions(MakeInteractions.Options(), CONTEXT)


def complete(event):
    """The event with a particle per fragment and its kinematics."""
    fragments = event[Fragments]
    n = len(fragments.n_voxels.values)
    rows = {"voxels": len(event[Voxels].energy.values), "fragments": n, "particles": n}
    particles = make(
        Particles,
        rows,
        voxel_particle=fragments.voxel_fragment.values,
        fragment_particle=np.arange(n),
        fragment_primary_score=np.ones(n),
        id=np.arange(n),
        semantic=fragments.semantic.values,
        n_voxels=fragments.n_voxels.values,
    )
    kinematics = MakeKinematics(MakeKinematics.Options(), CONTEXT)
    return event.plus(particles, kinematics(event[Voxels], event[Points], fragments, particles))


def run(stage, events):
    return stage(*Bundle.concat(events).select(INPUTS))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_voxels(stage, n):
    found = run(stage, [complete(tiny(n))])
    assert len(found.pid.values) == n
    assert len(found.voxel_interaction.values) == n
    assert np.isfinite(found.pid_scores.values).all()


def test_no_event_depends_on_its_batch(stage):
    rng = np.random.default_rng(1)
    events = [complete(e) for e in (broken_lines(rng), tiny(0), broken_lines(rng, 7), tiny(2))]
    forth, back = run(stage, events), run(stage, events[::-1])
    for i, event in enumerate(events):
        alone = run(stage, [event])
        for there, name in ((forth.at(i), "forth"), (back.at(3 - i), "back")):
            for field in Interactions.columns():
                one, two = getattr(there, field).values, getattr(alone, field).values
                np.testing.assert_array_equal(one, two, err_msg=f"{name} {field}")


def test_scores_are_probabilities_and_decide(stage):
    event = complete(broken_lines(np.random.default_rng(2), 3))
    found = stage.prepare(event)
    together = found.pairs[:, 0] // 3 == found.pairs[:, 1] // 3
    nodes = torch.zeros(9, 7)
    nodes[:, 0] = torch.tensor([2.0, -2, -2] * 3)
    nodes[:, 1:] = torch.eye(6)[torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2])]
    logits = torch.from_numpy(np.where(together, 3.0, -3.0))
    made = decode(GraphOutput(nodes, logits), found, event[Particles].voxel_particle.values)
    np.testing.assert_array_equal(made.particle_interaction.values, np.repeat([0, 1, 2], 3))
    np.testing.assert_array_equal(made.pid.values, [0, 1, 2, 3, 4, 5, 0, 1, 2])
    np.testing.assert_array_equal(made.is_primary.values, [True, False, False] * 3)
    np.testing.assert_array_equal(made.n_particles.values, [3, 3, 3])
    np.testing.assert_allclose(made.pid_scores.values.sum(axis=1), 1, rtol=1e-6)
    assert made.primary_score.values[0] == pytest.approx(1 / (1 + np.exp(-2)))
