"""The stage `estimates` on events of straight particles."""

import numpy as np
import pytest
import torch

from reco.data.bundle import Bundle
from reco.data.classes import PID
from reco.data.products import Estimates, Interactions, Kinematics, Particles, Points
from reco.errors import ConfigError, InputError
from reco.nn.transformer import InteractionTransformer
from reco.stages import find, weights
from reco.stages.base import Context
from reco.stages.estimates import UNSEEN_WIDTH, Estimate
from reco.stages.interaction_input import (
    MAX_PARTICLES,
    UPSTREAM,
    crossings,
    event_input,
    wall_distance,
    way_out,
)
from reco.stages.learned import LearnedOptions

from .estimates_events import GENERIC, Line, event

CONTEXT = Context(GENERIC, torch.device("cpu"))
TWO = [
    Line((0, 0, 0), (30, 0, 0)),
    Line((0, 0, 0), (0, 8, 0), pid=PID.PROTON),
    Line((50, 50, 50), (50, 50, 20), interaction=1, pid=PID.ELECTRON),
]


@pytest.fixture
def stage() -> Estimate:
    stage = Estimate(LearnedOptions(), CONTEXT)
    for parameter in stage.module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return stage


def run(stage: Estimate, events: Bundle) -> Estimates:
    return stage(*events.select(UPSTREAM))


def crowd(n: int) -> list[Line]:
    """A star of n short tracks."""
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    ends = [(20 * np.cos(a), 20 * np.sin(a), 5.0 + i) for i, a in enumerate(angles)]
    return [Line((0, 0, 0), end) for end in ends]


def test_contract():
    signature = Estimate.signature()
    assert find("estimates") is Estimate
    assert signature.inputs == UPSTREAM
    assert signature.output is Estimates


def test_an_event_does_not_depend_on_the_others(stage):
    events = [event(TWO), event(crowd(12), [(0, 0, 0)]), event([]), event([TWO[0]])]
    together = run(stage, Bundle.concat(events))
    for i, alone in enumerate(events):
        own = run(stage, alone)
        for f, column in own.items():
            np.testing.assert_array_equal(getattr(together, f.name)[i], column.values)


@pytest.mark.parametrize(("head", "of"), [(0, "vertex"), (3, "vertex_cov")])
def test_a_vertex_that_overflows_is_none(stage, head, of):
    """Of finite weights, in a place where NaN is right for what has no particles."""
    with torch.no_grad():
        stage.module.of_particle.weight[head] = 3e38
    with pytest.raises(InputError, match=rf"made NaN or infinite numbers of interactions\.{of}$"):
        run(stage, event(TWO))


def test_empty_event(stage):
    found = run(stage, event([]))
    assert len(found.energy.values) == 0
    assert found.vertex.values.shape == (0, 3)


def test_numbers_are_finite_and_covariances_positive(stage):
    found = run(stage, event(TWO, [(0, 0, 0), (30, 0, 0)]))
    assert all(np.isfinite(c.values).all() for _, c in found.items())
    assert (np.linalg.eigvalsh(found.vertex_cov.values) > 0).all()
    assert (found.energy_sigma.values > 0).all()
    assert (found.interaction_energy_sigma.values > 0).all()


def test_particle_of_no_interaction_keeps_its_reference(stage):
    events = event([TWO[0], Line((0, 40, 0), (30, 40, 0), interaction=-1)])
    found = run(stage, events)
    csda = events[Kinematics].energy_csda.values[1, 0]
    assert found.energy.values[1] == pytest.approx(csda, rel=1e-5)
    assert found.energy_sigma.values[1] == pytest.approx(UNSEEN_WIDTH * csda, rel=1e-5)


def test_more_particles_than_fit(stage):
    events = event(crowd(MAX_PARTICLES + 5))
    found = run(stage, events)
    relative = found.energy_sigma.values / found.energy.values
    smallest = np.argsort(-events[Particles].n_voxels.values, kind="stable")[MAX_PARTICLES:]
    np.testing.assert_allclose(relative[smallest], UNSEEN_WIDTH, rtol=1e-5)
    assert np.isfinite(found.vertex.values).all()


def test_interaction_without_particles_has_no_vertex(stage):
    events = event(TWO)
    wanted = events[Interactions]
    moved = wanted.particle_interaction.like(np.array([0, 0, -1]))
    changed = Interactions(**{**vars(wanted), "particle_interaction": moved})
    found = run(stage, Bundle(tuple(changed if p is wanted else p for p in events)))
    assert np.isfinite(found.vertex.values[0]).all()
    assert np.isnan(found.vertex.values[1]).all()
    assert found.interaction_energy.values[1] == 0


def test_particle_without_a_place(stage):
    events = event(TWO)
    kinematics = events[Kinematics]
    nowhere = kinematics.start.like(np.array([[0.0] * 3, [np.nan] * 3, [50.0] * 3]))
    changed = Kinematics(**{**vars(kinematics), "start": nowhere})
    found = run(stage, Bundle(tuple(changed if p is kinematics else p for p in events)))
    assert np.isfinite(found.vertex.values).all()


def test_fresh_network_starts_from_range_and_from_the_first_start():
    events = event(TWO)
    found = run(Estimate(LearnedOptions(), CONTEXT), events)
    csda = events[Kinematics].energy_csda.values
    expected = [csda[0, 0], csda[1, 2], events[Kinematics].energy_calo.values[2]]
    np.testing.assert_allclose(found.energy.values, expected, rtol=0.15)


def test_origin_is_the_start_of_the_largest_likely_primary():
    lines = [
        Line((0, 0, 0), (60, 0, 0), primary_score=0.1),
        Line((5, 0, 0), (5, 20, 0), primary_score=0.9),
    ]
    made = event_input(event(lines), GENERIC)
    np.testing.assert_allclose(made.origin, [[5, 0, 0]])
    places = made.input.start[0, made.particle[0].argsort()]
    np.testing.assert_allclose(places, [[-5, 0, 0], [0, 0, 0]])


def test_points_belong_to_the_interaction_they_touch():
    events = event(TWO, [(0, 1, 0), (50, 50, 19), (-80, -80, -80)])
    made = event_input(events, GENERIC)
    assert made.input.point_mask.sum(dim=1).tolist() == [1, 1]
    place = events[Points].position.values
    for i, origin in enumerate(made.origin):
        np.testing.assert_allclose(made.input.point[i, 0], place[i] - origin, atol=1e-5)


def test_photons_are_followed_back_to_where_they_cross():
    photons = [
        Line((20, 0, 0), (40, 0, 0), pid=PID.PHOTON),
        Line((0, 15, 0), (0, 40, 0), pid=PID.PHOTON),
        Line((-9, -12, 0), (-27, -36, 0), pid=PID.PHOTON),
    ]
    for showers, n in ((1, 0), (2, 1), (3, 3)):
        made = event_input(event(photons[:showers]), GENERIC)
        place = made.input.point[0].numpy() + made.origin
        assert place.shape == (n, 3)
        np.testing.assert_allclose(place, np.zeros((n, 3)), atol=0.5)
        assert (made.input.point_score == 0).all()


def test_crossings_of_lines():
    start = np.array([[2.0, 0, 1], [0, 3, -1], [3, 1, 0], [-4, 0, 0], [900, 675, 1]])
    along = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0.8, 0.6, 0]])
    place, miss = crossings(start, along, np.array([[0, 1], [0, 2], [2, 3], [0, 4]]))
    np.testing.assert_allclose(place[0], 0, atol=1e-9)
    # parallel; past the start of the second, which stays where it is; too far away
    np.testing.assert_allclose(miss, [2, np.nan, 1, np.nan])
    np.testing.assert_allclose(place[2], [-4, 0.5, 0])
    assert all(len(column) == 0 for column in crossings(start, along, np.zeros((0, 2), int)))


def test_reference_of_an_exiting_track_is_not_its_range():
    lines = [Line((0, 0, 0), (115, 0, 0), contained=False)]
    events = event(lines)
    made = event_input(events, GENERIC)
    assert made.reference[0] == pytest.approx(events[Kinematics].energy_calo.values[0])


def test_distances_to_the_walls():
    points = np.array([[0.0, 0, 0], [115.2, 0, 0], [200.0, 0, 0], [0, 0, -100.2]])
    np.testing.assert_allclose(wall_distance(points, GENERIC), [115.2, 0, 0, 15], atol=1e-9)
    way = np.array([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 0], [0, 0.6, -0.8]])
    np.testing.assert_allclose(way_out(points, way, GENERIC), [115.2, 0, 0, 18.75], atol=1e-9)


def test_weights_of_another_size_are_refused(tmp_path):
    path = tmp_path / "estimates.safetensors"
    small = InteractionTransformer(3, 2, width=16)
    weights.write(path, small, "estimates", {"width": 16}, {})
    with pytest.raises(ConfigError, match="another architecture"):
        Estimate(LearnedOptions(weights=str(path)), CONTEXT)
