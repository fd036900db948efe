from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reco.data.products import TruthInteractions
from reco.detector import Detector
from reco.errors import ConfigError, FormatError
from reco.simulate.generate import Plan, simulate_event
from reco.simulate.hepmc import HepMCRecipe, read
from reco.simulate.primary import Primary
from reco.simulate.recipes import (
    MUON_ENERGY,
    MUON_RANGE,
    RECIPES,
    Cosmic,
    Mixed,
    Neutrino,
    Rain,
    Single,
    StoppingMuon,
    Vertex,
    combine,
)

HALF = 115.2


def draws(recipe, events=300):
    return [recipe(np.random.default_rng([7, i])) for i in range(events)]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_draws_what_geant4_can_follow(name):
    recipe = RECIPES[name](side=2 * HALF)
    for primaries in draws(recipe):
        assert primaries
        numbers = [p.interaction for p in primaries]
        assert numbers[0] == 0
        assert all(step in (0, 1) for step in np.diff(numbers))
        for p in primaries:
            assert 5 <= p.kinetic_energy <= 20000
            assert max(map(abs, p.position)) < HALF + 50
            assert np.linalg.norm(p.unit_direction) == pytest.approx(1)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_function_of_its_generator(name):
    recipe = RECIPES[name]()
    assert recipe(np.random.default_rng(3)) == recipe(np.random.default_rng(3))
    assert recipe(np.random.default_rng(3)) != recipe(np.random.default_rng(4))


def test_a_crowded_image_has_more_than_ten_interactions():
    counts = [1 + primaries[-1].interaction for primaries in draws(RECIPES["crowded"]())]
    assert min(counts) >= 11
    assert 13 < np.mean(counts) < 18


def test_a_vertex_has_one_lepton_and_two_to_six_particles():
    for primaries in draws(Vertex()):
        kinds = Counter(abs(p.pdg) for p in primaries)
        assert 2 <= len(primaries) <= 6
        assert kinds[11] + kinds[13] == 1
        assert kinds[211] <= 2
        assert kinds[22] + kinds[111] <= 2
        assert kinds[2212] <= 5
        assert len({p.position for p in primaries}) == 1
        assert all(p.kinetic_energy <= (400 if p.pdg == 2212 else 1000) for p in primaries)


def test_vertices_are_isotropic_and_flat_in_energy():
    leptons = [p for primaries in draws(Vertex(), 2000) for p in primaries[:1]]
    directions = np.array([p.direction for p in leptons])
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose((directions**2).mean(axis=0), 1 / 3, atol=0.03)
    assert np.mean([p.kinetic_energy for p in leptons]) == pytest.approx(525, abs=25)
    assert np.mean([p.pdg > 0 for p in leptons]) == pytest.approx(0.5, abs=0.05)


def test_a_neutrino_leaves_soft_protons_and_something_to_see():
    events = draws(Neutrino(cosmics=(1.0,)), 2000)
    kinds = [Counter(abs(p.pdg) for p in primaries) for primaries in events]
    assert all(set(kind) != {2112} for kind in kinds)
    assert all(len({p.position for p in primaries}) == 1 for primaries in events)
    assert np.mean([kind[11] + kind[13] for kind in kinds]) == pytest.approx(0.85, abs=0.04)
    assert np.mean([kind[2212] for kind in kinds]) == pytest.approx(1.8, abs=0.1)
    for primaries in events:
        leptons = [p.pdg for p in primaries if abs(p.pdg) in (11, 13)] or [13]
        flavour = {11: 12, -11: -12, 13: 14, -13: -14}[leptons[0]]
        assert {p.neutrino for p in primaries} == {flavour}
    protons = [p.kinetic_energy for primaries in events for p in primaries if p.pdg == 2212]
    assert min(protons) > 10
    assert np.mean(protons) == pytest.approx(80, abs=4)


@pytest.mark.parametrize("options", [{"charged": 5}, {"charged": 0, "hadrons": ()}])
def test_a_neutrino_that_leaves_nothing_is_refused(options):
    with pytest.raises(ConfigError, match="charged"):
        Neutrino(**options)


def test_rain_follows_its_mixture_and_falls_inwards():
    rain = draws(Rain(mixture={13: 8, 11: 1, 2212: 1}), 1000)
    drops = [p for primaries in rain for p in primaries]
    share = np.mean([abs(p.pdg) == 13 for p in drops])
    assert share == pytest.approx(0.8, abs=0.03)
    assert all(np.dot(p.position, p.direction) <= 0 for p in drops)
    assert {len(primaries) for primaries in rain} == set(range(1, 11))


def test_cosmics_cross_the_upper_face_downwards():
    muons = [primaries[0] for primaries in draws(Cosmic(), 3000)]
    cosines = np.array([-p.direction[1] for p in muons])
    assert (cosines > 0).all()
    assert cosines.mean() == pytest.approx(3 / 4, abs=0.02)  # cos2 per solid angle
    for p in muons:
        x, y, z = p.position
        assert y >= HALF
        at_top = (y - HALF) / -p.direction[1]
        assert abs(x + at_top * p.direction[0]) <= HALF + 1e-6
        assert abs(z + at_top * p.direction[2]) <= HALF + 1e-6
    energies = np.array([p.kinetic_energy for p in muons])
    # Pareto with index 1.7: half are below 500 * 2^(1/1.7)
    assert np.mean(energies < 752) == pytest.approx(0.5, abs=0.03)


def test_muon_ranges_rise():
    assert all(a < b for a, b in pairwise(MUON_ENERGY))
    assert all(a < b for a, b in pairwise(MUON_RANGE))


def test_stopping_muons_stop_and_decay_in_the_cube(geant4):
    inside = 0
    for event, primaries in enumerate(draws(StoppingMuon(), 40)):
        tracks, _ = geant4.simulate(primaries, seed=event)
        inside += np.abs(tracks.end[0]).max() < HALF
        assert (tracks.pdg[tracks.parent_id == 1] == -11).any()
    assert inside >= 34


def test_mixed_images_hold_one_to_ten_interactions_and_all_kinds():
    events = draws(Mixed(), 1000)
    counts = [1 + events[i][-1].interaction for i in range(len(events))]
    assert (min(counts), max(counts) <= 10) == (1, True)
    kinds = Counter(abs(p.pdg) for primaries in events for p in primaries)
    assert set(kinds) == {11, 13, 22, 111, 211, 321, 2212}
    stopping = [any(p.pdg == -13 for p in primaries) for primaries in events]
    assert np.mean(stopping) > 0.6


def test_mixed_images_are_of_a_size_to_train_on(geant4):
    voxels = []
    for event, primaries in enumerate(draws(Mixed(), 60)):
        _, deposits = geant4.simulate(primaries, seed=event)
        index = np.floor((deposits.start + deposits.end) / 2 / 0.3).astype(int)
        _, inverse = np.unique(index, axis=0, return_inverse=True)
        voxels.append((np.bincount(inverse.ravel(), deposits.energy) > 0.05).sum())
    assert 2000 < np.mean(voxels) < 4000


def test_combine_numbers_interactions_through():
    one = Primary(0, 11, 1.0, (0, 0, 0), (0, 0, 1))
    other = replace(one, interaction=1)
    joined = combine([[one, other], [], [one], [one, one]])
    assert [p.interaction for p in joined] == [0, 1, 2, 3, 3]
    assert combine([]) == []


@pytest.mark.parametrize("energies", [(0.0, 10.0), (-1.0, 5.0), (10.0, 5.0), (np.nan, 5.0)])
def test_energy_ranges_are_checked(energies):
    with pytest.raises(ConfigError, match="energ"):
        Single(energies=energies)


def test_stopping_muons_need_a_tabulated_range():
    with pytest.raises(ConfigError, match="stopping muons"):
        StoppingMuon(energies=(5.0, 100.0))


SAMPLE = """HepMC::Version 3.02.05
HepMC::Asciiv3-START_EVENT_LISTING
E 0 1 6
U GEV CM
P 1 0 14 0 0 1.0 1.0 0 4
P 2 0 1000180400 0 0 0 37.2 37.2 4
V -1 0 [1,2] @ 1 2 3 0
P 3 -1 13 0 0.3 0.4 0.51104210746 0.10566 1
P 4 -1 2212 0 0 0.5 1.06317947351 0.93827 1
P 5 -1 14 0 0 0.1 0.1 0 1
P 6 -1 1000180390 0 0 0.1 36.0001388886 36.0 1
E 1 1 3
U MEV MM
P 1 0 14 0 0 1000 1000 0 4
V -1 0 [1] @ 10 0 0 0
P 2 -1 22 200 0 0 200 0 1
P 3 -1 211 0 0 150 205.1 139.57 2
E 2 1 2
U MEV MM
P 1 0 14 0 0 1000 1000 0 4
V -1 0 [1] @ 0 0 0 0
P 2 -1 14 0 0 1000 1000 0 1
HepMC::Asciiv3-END_EVENT_LISTING
"""


@pytest.fixture
def sample(tmp_path):
    pytest.importorskip("pyhepmc")
    path = tmp_path / "sample.hepmc3"
    path.write_text(SAMPLE)
    return path


def test_hepmc_final_states_in_mev_and_cm(sample):
    first, second, third = (event.primaries for event in read(sample))
    muon, proton = first
    assert (muon.pdg, proton.pdg) == (13, 2212)
    assert muon.kinetic_energy == pytest.approx(np.hypot(500, 105.66) - 105.66, rel=1e-6)
    assert proton.kinetic_energy == pytest.approx(np.hypot(500, 938.27) - 938.27, rel=1e-6)
    np.testing.assert_allclose(muon.unit_direction, (0, 0.6, 0.8))
    assert muon.position == pytest.approx((1, 2, 3))
    assert [(p.pdg, p.kinetic_energy) for p in second] == [(22, pytest.approx(200))]
    assert second[0].position == pytest.approx((1, 0, 0))
    assert third == []


def test_the_neutrino_of_the_beam_is_in_the_truth(sample, geant4):
    sample.write_text(SAMPLE.replace("P 1 0 14", "P 1 0 -12", 1).replace("0 4\nP 2", "0 20\nP 2"))
    assert [{p.neutrino for p in event.primaries} for event in read(sample)] == [{0}, {14}, set()]
    sample.write_text(SAMPLE.replace("P 1 0 14", "P 1 0 -12", 1))
    plan, detector = Plan(), Detector.load("generic")
    for number, neutrino in enumerate((-12, 14)):
        drawn = HepMCRecipe(sample).event(number, np.random.default_rng(1))
        event = simulate_event(plan, detector, lambda _, drawn=drawn: drawn, number)
        assert event[TruthInteractions].pdg.values.tolist() == [neutrino]


def test_hepmc_recipe_goes_through_the_events_with_anything_visible(sample):
    recipe = HepMCRecipe(sample)
    assert len(recipe) == 2
    rng = np.random.default_rng(1)
    assert [p.pdg for p in recipe.event(0, rng)] == [13, 2212]
    assert [p.pdg for p in recipe.event(3, rng)] == [22]
    a, b = recipe.event(0, rng), recipe.event(0, rng)
    assert a[0].position == a[1].position != b[0].position
    assert max(map(abs, a[0].position)) <= HALF
    kept = HepMCRecipe(sample, place="file").event(0, rng)
    assert kept[0].position == pytest.approx((1, 2, 3))
    assert {len(recipe(np.random.default_rng(i))) for i in range(20)} == {1, 2}


def test_hepmc_events_are_drawn_by_weight(sample):
    weighted = SAMPLE.replace("U GEV CM\n", "U GEV CM\nW 3.0e+05\n").replace("E 0", "W CV\nE 0", 1)
    sample.write_text(weighted.replace("U MEV MM\n", "U MEV MM\nW 1.0e+05\n"))
    assert [event.weight for event in read(sample)] == [3e5, 1e5, 1e5]
    recipe, rng = HepMCRecipe(sample), np.random.default_rng(1)
    muons = sum(recipe(rng)[0].pdg == 13 for _ in range(400))
    assert abs(muons - 300) < 5 * np.sqrt(400 * 0.75 * 0.25)
    sample.write_text(weighted.replace("3.0e+05", "-3.0e+05"))
    with pytest.raises(FormatError, match="event 0 has the weight -300000"):
        len(HepMCRecipe(sample))


def test_hepmc_files_that_cannot_be_read(sample, tmp_path):
    (tmp_path / "text").write_text("hello\nworld\n")
    sample.write_text(SAMPLE[: SAMPLE.index("P 4")])
    for path, message in (
        (tmp_path / "text", "no HepMC3"),
        (sample, "no HepMC3 event"),
        (tmp_path / "absent", "no such file"),
    ):
        with pytest.raises(FormatError, match=message):
            len(HepMCRecipe(path))
