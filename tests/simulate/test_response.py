import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from reco.data.classes import Semantic
from reco.data.labels import EventTruth
from reco.data.products import TruthInteractions, TruthParticles
from reco.data.tracks import Deposits
from reco.detector import Dead, Detector
from reco.errors import InputError
from reco.ops import drift, recombination
from reco.simulate.response import PATCH, PERFECT, Readout, Response, respond

CUBE = Readout(np.zeros((1, 3)), np.full((1, 3), 30.0), np.array([0]), np.array([30.0]))
TWO = Readout(
    lower=np.array([[-30.0, 0, 0], [0.0, 0, 0]]),
    upper=np.array([[0.0, 30, 30], [30.0, 30, 30]]),
    axis=np.array([0, 0]),
    anode=np.array([-30.0, 30.0]),
)


def steps(*rows: tuple[tuple[float, ...], tuple[float, ...], float]) -> Deposits:
    """Deposits of (start, end, MeV), one each."""
    return Deposits(
        track=np.zeros(len(rows), np.int32),
        start=np.array([r[0] for r in rows], np.float32).reshape(-1, 3),
        end=np.array([r[1] for r in rows], np.float32).reshape(-1, 3),
        energy=np.array([r[2] for r in rows], np.float32),
        time=np.zeros(len(rows), np.float32),
    )


def point(*at: float, energy: float = 1.0) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    return at, at, energy


def truth_of(semantic: list[int]) -> EventTruth:
    column = np.arange(len(semantic), dtype=np.int32)
    return EventTruth(
        fragment=column,
        particle=column + 100,
        semantic=np.array(semantic, np.int8),
        particles=TruthParticles.empty(),
        interactions=TruthInteractions.empty(),
    )


def read(deposits: Deposits, response: Response, readout: Readout = CUBE, semantic=None, seed=0):
    truth = truth_of([Semantic.TRACK] * len(deposits) if semantic is None else semantic)
    return respond(deposits, truth, response, readout, np.random.default_rng(seed))


def random_steps(seed: int, n: int, low: float = 1.0, high: float = 29.0) -> Deposits:
    rng = np.random.default_rng(seed)
    start = rng.uniform(low, high, (n, 3))
    end = np.clip(start + rng.normal(0, 0.2, (n, 3)), low, high)
    return steps(*zip(start, end, rng.uniform(0.1, 1.0, n), strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_perfect_readout_loses_nothing(seed, n):
    deposits = random_steps(seed, n)
    hits = read(deposits, PERFECT)
    total = deposits.energy.sum()
    assert hits.energy.sum() == pytest.approx(total, rel=1e-5)
    assert hits.charge.sum() * 1000 * recombination.W_ION == pytest.approx(total, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_each_cell_is_one_hit_at_its_centre(seed, n):
    hits = read(random_steps(seed, n), replace(Response(), threshold=0.1))
    cell = hits.position / 0.3 - 0.5
    np.testing.assert_allclose(cell, np.round(cell), atol=1e-4)
    assert len(np.unique(np.round(cell), axis=0)) == len(cell)


def test_no_deposits_and_deposits_elsewhere_give_no_hits():
    for deposits in (steps(), steps(point(50, 50, 50)), steps(point(np.nan, 1, 1))):
        hits = read(deposits, Response())
        assert hits.position.shape == (0, 3)
        assert len(hits.charge) == len(hits.semantic) == 0


def test_diffusion_spreads_by_the_integral_of_a_gaussian():
    response = replace(PERFECT, diffusion_transverse=8.8)
    hits = read(steps(point(5.0, 15.1, 15.25)), response)
    sigma = float(drift.diffusion_sigma(25.0 / 0.16, 8.8))
    edges = 15.0 + 0.3 * np.arange(-2, 4)
    y, z = (np.diff(norm.cdf(edges, at, sigma)) for at in (15.1, 15.25))
    expected = np.outer(y, z).ravel()
    found = np.zeros((5, 5))
    index = np.round((hits.position[:, 1:] - 15.15) / 0.3 + 2).astype(int)
    found[tuple(index.T)] = hits.energy
    np.testing.assert_allclose(found.ravel(), expected, atol=6e-3)  # cut off at 3 sigma
    assert len(np.unique(hits.position[:, 0])) == 1


def test_diffusion_along_the_drift_is_apart_from_that_across():
    response = replace(PERFECT, diffusion_longitudinal=4.0)
    hits = read(steps(point(1.19, 15.15, 15.15)), response)
    assert len(np.unique(hits.position[:, 0])) == 2
    assert len(np.unique(hits.position[:, 1:], axis=0)) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_diffusion_conserves_charge_even_at_the_walls(seed, n):
    deposits = random_steps(seed, n, 0.0, 30.0)
    hits = read(deposits, replace(PERFECT, diffusion_longitudinal=40, diffusion_transverse=80))
    assert hits.energy.sum() == pytest.approx(deposits.energy.sum(), rel=1e-5)
    assert ((hits.position > 0) & (hits.position < 30)).all()


def test_lifetime_takes_its_part():
    response = replace(PERFECT, lifetime=1000.0)
    near, far = (read(steps(point(x, 15.1, 15.1)), response) for x in (29.95, 0.05))
    full = 1 / recombination.W_ION / 1000
    for hits, x in ((near, 29.95), (far, 0.05)):
        drifted = (30 - x) / 0.16
        assert hits.charge[0] == pytest.approx(full * math.exp(-drifted / 1000), rel=1e-5)
        assert hits.time[0] == pytest.approx(drifted, rel=1e-4)


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("birks", recombination.birks(3.0, 0.5)),
        ("box", recombination.modified_box(3.0, 0.5)),
        ("none", 1.0),
    ],
)
def test_recombination_follows_its_law(model, factor):
    step = steps(((15.0, 15.1, 15.1), (15.3, 15.1, 15.1), 0.9))
    hits = read(step, replace(PERFECT, model=model))
    assert hits.charge.sum() == pytest.approx(0.9 / 23.6e-3 * float(factor), rel=1e-4)


def test_ellipsoid_knows_the_direction_of_the_field():
    response = replace(PERFECT, model="ellipsoid", alpha=0.904, beta=0.204)
    along = read(steps(((15.0, 15.1, 15.1), (15.3, 15.1, 15.1), 0.9)), response)
    across = read(steps(((15.1, 15.0, 15.1), (15.1, 15.3, 15.1), 0.9)), response)
    for hits, cos in ((along, 1.0), (across, 0.0)):
        factor = float(
            recombination.modified_box(
                3.0, 0.5, recombination.DENSITY, 0.904, recombination.ellipsoid_beta(cos)
            )
        )
        assert hits.charge.sum() == pytest.approx(0.9 / 23.6e-3 * factor, rel=1e-4)


def test_calibrating_with_the_mean_factor_gives_back_the_energy_of_a_track():
    response = replace(Response(), noise=0.0, threshold=0.0, lifetime=5000.0)
    x = np.arange(1.0, 28.0, 0.3)
    track = steps(*[((a, 15.1, 15.1), (a + 0.3, 15.1, 15.1), 0.3 * 2.4) for a in x])
    hits = read(track, response)
    drifted = (30 - hits.position[:, 0]) / response.drift_velocity
    visible = hits.charge * 1000 * recombination.W_ION * np.exp(drifted / 5000)
    energy = visible.sum() / float(recombination.modified_box(2.4, response.field))
    assert energy == pytest.approx(track.energy.sum(), rel=2e-3)


def test_noise_has_its_width_and_the_threshold_cuts_after_it():
    deposits = steps(*[point(0.15 + 0.3 * i, 15.15, 15.15) for i in range(100)])
    clean = read(deposits, PERFECT).charge[0]
    noisy = np.concatenate(
        [read(deposits, replace(PERFECT, noise=2.0), seed=s).charge for s in range(20)]
    )
    assert noisy.std() == pytest.approx(2.0, rel=0.06)
    assert noisy.mean() == pytest.approx(clean, abs=0.15)
    cut = read(deposits, replace(PERFECT, noise=2.0, threshold=float(clean)))
    assert 30 < len(cut.charge) < 70
    assert cut.charge.min() >= clean


def test_gain_divides_the_charge():
    deposits = steps(point(15.1, 15.1, 15.1))
    assert read(deposits, replace(PERFECT, gain=2.0)).charge[0] == pytest.approx(
        read(deposits, PERFECT).charge[0] / 2
    )


@pytest.mark.parametrize(
    ("semantic", "energies", "winner"),
    [
        ([Semantic.SHOWER, Semantic.TRACK], [0.8, 0.2], 1),
        ([Semantic.SHOWER, Semantic.TRACK], [0.95, 0.05], 0),
        ([Semantic.DELTA, Semantic.LOW_ENERGY], [0.2, 0.8], 0),
        ([Semantic.DELTA, Semantic.MICHEL], [0.5, 0.5], 1),
        ([Semantic.TRACK, Semantic.TRACK], [0.4, 0.6], 1),
        ([Semantic.UNKNOWN, Semantic.LOW_ENERGY], [0.5, 0.5], 1),
        ([Semantic.UNKNOWN, Semantic.UNKNOWN], [0.6, 0.4], 0),
    ],
)
def test_a_hit_is_named_by_its_strongest_class(semantic, energies, winner):
    deposits = steps(*[point(15.1, 15.1, 15.1, energy=e) for e in energies])
    hits = read(deposits, PERFECT, semantic=semantic)
    assert hits.semantic.tolist() == [semantic[winner]]
    assert hits.fragment.tolist() == [winner]
    assert hits.particle.tolist() == [100 + winner]


def test_two_volumes_drift_their_own_way_and_do_not_leak():
    response = replace(PERFECT, diffusion_longitudinal=4.0, diffusion_transverse=8.8)
    left, right = point(-0.05, 15.1, 15.1), point(0.05, 15.1, 15.1)
    for row, side in ((left, -1), (right, 1)):
        hits = read(steps(row), response, TWO)
        assert (np.sign(hits.position[:, 0]) == side).all()
        np.testing.assert_allclose(hits.time, 29.95 / 0.16, rtol=1e-5)
        assert hits.energy.sum() == pytest.approx(1.0, rel=1e-5)


def test_cells_that_stick_out_are_found_in_their_volume():
    odd = Readout(np.zeros((1, 3)), np.full((1, 3), 10.0), np.array([2]), np.array([0.0]))
    hits = read(steps(point(9.95, 9.95, 9.95)), PERFECT, odd)
    assert (odd.volume_of(hits.position) == 0).all()
    np.testing.assert_allclose(hits.time, 9.95 / 0.16, rtol=1e-5)


def test_hits_of_a_detector_lie_on_its_own_voxels():
    detector = Detector.load("generic")
    deposits = random_steps(3, 200)
    hits = read(deposits, PERFECT, Readout.of(detector))
    index = detector.index_of(hits.position)
    assert len(np.unique(index, axis=0)) == len(index)
    np.testing.assert_allclose(detector.centre_of(index), hits.position, atol=1e-4)


def test_same_seed_same_hits():
    deposits = random_steps(5, 100)
    a, b, c = (read(deposits, Response(), seed=s) for s in (1, 1, 2))
    assert np.array_equal(a.charge, b.charge)
    assert not np.array_equal(a.charge, c.charge)


def test_response_of_a_detector_has_its_constants():
    detector = Detector.load("generic")
    response = Response.of(detector)
    assert response.lifetime == detector.lifetime
    assert response.beta == detector.recombination.beta
    assert response.model == detector.recombination.model


def test_varied_response_stays_near_and_keeps_what_is_off():
    rng = np.random.default_rng(1)
    varied = [Response().varied(0.05, rng) for _ in range(200)]
    for name, width in (("beta", 0.05), ("lifetime", 0.2), ("threshold", 0.2)):
        factors = np.array([getattr(v, name) for v in varied]) / getattr(Response(), name)
        assert np.log(factors).std() == pytest.approx(width, rel=0.2)
    assert PERFECT.varied(0.05, rng).noise == 0
    assert PERFECT.varied(0.05, rng).lifetime == math.inf


def test_dead_patches_blind_whole_columns_along_the_drift():
    deposits = random_steps(5, 3000)
    alive, fewer = (read(deposits, replace(PERFECT, dead=part), CUBE) for part in (0.0, 0.3))
    column = alive.position[:, 1:] // (PATCH * CUBE.pitch)
    seen = {tuple(c) for c in fewer.position[:, 1:] // (PATCH * CUBE.pitch)}
    of_seen = np.array([tuple(c) in seen for c in column])
    # a column is read whole or not at all, and what is read stays as it was
    np.testing.assert_array_equal(alive.position[of_seen], fewer.position)
    np.testing.assert_array_equal(alive.charge[of_seen], fewer.charge)
    assert 0.5 < of_seen.mean() < 0.9
    assert len(read(deposits, replace(PERFECT, dead=1.0), CUBE).charge) == 0


def test_a_detector_does_not_read_out_where_it_is_dead():
    detector, deposits = Detector.load("generic"), random_steps(7, 400, -20.0, 20.0)
    boxes = (
        Dead((-115.2, 0.0, 0.0), (0.0, 4.8, 4.8)),  # half of the drift, on faces of cells
        Dead((-200.0, -10.1, -300.0), (200.0, -4.05, 300.0)),  # sticks out, on no face
    )
    alive, fewer = (
        read(deposits, Response(), Readout.of(replace(detector, dead=dead))) for dead in ((), boxes)
    )
    lost = np.zeros(len(alive.position), bool)
    for box in boxes:
        above, below = alive.position > box.lower, alive.position < box.upper
        lost |= above.all(axis=1) & below.all(axis=1)
    assert 0.1 < lost.mean() < 0.4
    np.testing.assert_array_equal(alive.position[~lost], fewer.position)
    np.testing.assert_array_equal(alive.charge[~lost], fewer.charge)


@pytest.mark.parametrize(
    "change", [{"lifetime": 0.0}, {"noise": -1.0}, {"gain": math.nan}, {"dead": 1.5}]
)
def test_impossible_responses_are_named(change):
    with pytest.raises(InputError, match=next(iter(change))):
        replace(Response(), **change)
