import numpy as np
import pytest

from reco.ops.csda import DENSITY, MUON_MASS, energy_of_range, range_of_energy
from reco.ops.geometry import trace
from reco.ops.scattering import (
    ERROR,
    RADIATION_LENGTH,
    SPLINE,
    Kinks,
    _independent,
    _lowest,
    highland,
    kinks,
    momentum_beta,
    most_likely_energy,
    muon_energy,
)
from tests.ops.toys import SIZE, scattered, voxels_along


def test_highland_by_hand():
    # a 1 GeV/c muon: beta 0.99446; PDG 2022 eq. 34.16 for one radiation length
    energy = np.hypot(1000, MUON_MASS) - MUON_MASS
    product = momentum_beta(np.array(energy))
    assert product == pytest.approx(1000 * 1000 / np.hypot(1000, MUON_MASS), rel=1e-9)
    assert highland(product, RADIATION_LENGTH) == pytest.approx(13.6e-3 / 0.99446, rel=1e-4)


def course(rng, energy, length, step=0.5):
    """Course of a muon in argon; Highland's width of a segment of 3 cm shared by its steps."""
    n = int(length / step)
    rest = range_of_energy(energy, MUON_MASS) - step * (np.arange(n) + 0.5)
    product = momentum_beta(energy_of_range(rest, MUON_MASS))
    return scattered(rng, n, step, highland(product, 3.0) * np.sqrt(step / 3))


def kinks_of(nodes, step, segment):
    along = np.arange(len(nodes)) * step
    return kinks(nodes, np.ones(len(nodes)), along, along[-1], segment)


def covariances(angle):
    """Of kinks that are 0, 1, 2 apart."""
    return [np.mean(angle[k:] * angle[: len(angle) - k]) for k in range(3)]


def test_kinks_of_scatters_have_the_covariance_of_the_closed_form():
    width, segment, step = 0.001, 10.0, 0.5
    nodes = scattered(np.random.default_rng(0), 40_000, step, np.full(40_000, width))
    found = covariances(kinks_of(nodes, step, segment).angle)
    unit = width**2 * segment / step
    np.testing.assert_allclose(found, np.array(SPLINE) * unit, atol=0.03 * unit)


def test_kinks_of_errors_have_the_covariance_of_the_closed_form():
    """A straight line, every point off by a normal error; 20 points in a segment."""
    rng, error, segment, step = np.random.default_rng(1), 0.02, 10.0, 0.5
    nodes = np.outer(np.arange(80_000) * step, [0.6, 0, 0.8])
    found = covariances(kinks_of(nodes + rng.normal(0, error, nodes.shape), step, segment).angle)
    unit = error**2 / 20 / segment**2
    np.testing.assert_allclose(found, np.array(ERROR) * unit, atol=0.2 * unit)


def test_independent_parts_against_the_inverse():
    rng = np.random.default_rng(2)
    n = 7
    lower = np.tril(np.triu(rng.normal(size=(n, n)), -2)) + 3 * np.eye(n)
    matrix, angle = lower @ lower.T, rng.normal(size=(n, 2))
    band = [np.concatenate([np.zeros(k), np.diagonal(matrix, -k)])[:, None] for k in range(3)]
    variance, square = _independent(band, angle)
    assert np.log(variance).sum() == pytest.approx(np.linalg.slogdet(matrix)[1])
    wanted = np.trace(angle.T @ np.linalg.solve(matrix, angle))
    assert square.sum() == pytest.approx(wanted)


def test_lowest_of_a_parabola():
    x = np.array([0.0, 1.0, 3.0, 4.0])
    assert _lowest(x, 2 * (x - 1.7) ** 2, 1) == pytest.approx(1.7)


def test_twice_the_density_is_half_the_distance():
    """The same kinks on half the length in argon twice as dense: the same energy."""
    seen = kinks_of(course(np.random.default_rng(3), 600, 180.0), 0.5, 3.0)
    half = Kinks(seen.angle, seen.known, seen.distance / 2, seen.segment / 2)
    usual = most_likely_energy(seen, 180.0, SIZE)
    assert np.isfinite(usual)
    assert most_likely_energy(half, 90.0, SIZE / 2, 2 * DENSITY) == pytest.approx(usual, rel=0.02)


@pytest.mark.parametrize(("energy", "length"), [(500, 150), (1000, 200)])
def test_energy_of_exiting_muons(energy, length):
    """Scatters of the toy are normal, and so seem wider than Geant4's to what allows for tails."""
    rng = np.random.default_rng(energy)
    found = []
    for _ in range(20):
        points = voxels_along(course(rng, energy, length), spacing=0.1)
        path = trace(points, SIZE)
        path = path if np.linalg.norm(path.nodes[0]) < length / 2 else path.reversed()
        found.append(muon_energy(points, np.ones(len(points)), path.along, path.length, SIZE))
    relative = np.array(found) / energy
    assert np.median(relative) == pytest.approx(1, abs=0.12)
    assert np.subtract(*np.percentile(relative, [84, 16])) / 2 < 0.17


def test_a_stopping_muon_has_at_least_the_energy_of_its_range():
    rng = np.random.default_rng(5)
    nodes = course(rng, 300, float(range_of_energy(300, MUON_MASS)) - 0.5)
    seen = kinks_of(nodes, 0.5, 3.0)
    got = most_likely_energy(seen, 0.5 * (len(nodes) - 1), SIZE)
    assert 295 < got < 380


def test_too_short_or_too_straight():
    points = np.outer(np.arange(0, 200, SIZE), [1, 0, 0])
    for length in (27, 200):  # no kink, or no upper limit
        near = points[points[:, 0] <= length]
        assert np.isnan(muon_energy(near, np.ones(len(near)), near[:, 0], length, SIZE))
    assert np.isnan(muon_energy(points[:1], np.ones(1), np.zeros(1), 0.0, SIZE))


def test_kinks_beside_a_segment_without_points_are_not_known():
    points = np.outer(np.arange(0, 100, SIZE), [1, 0, 0])
    points = points[(points[:, 0] < 40) | (points[:, 0] > 60)]
    seen = kinks(points, np.ones(len(points)), points[:, 0], 100, 10.0)
    np.testing.assert_allclose(seen.distance, np.arange(15, 90, 10))
    assert seen.known.tolist() == [True, True, False, False, False, False, True, True]
    np.testing.assert_allclose(seen.angle, 0, atol=1e-9)
