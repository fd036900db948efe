import numpy as np
import pytest

from reco.ops.csda import DENSITY, MUON_MASS, energy_of_range, range_of_energy
from reco.ops.geometry import trace
from reco.ops.scattering import (
    LINE_FACTOR,
    RADIATION_LENGTH,
    Angles,
    highland,
    line_resolution,
    momentum_beta,
    most_likely_energy,
    muon_energy,
    scatters,
)
from tests.ops.toys import SIZE, scattered, voxels_along


def test_highland_by_hand():
    # a 1 GeV/c muon: beta 0.99446; PDG 2022 eq. 34.16 for one radiation length
    energy = np.hypot(1000, MUON_MASS) - MUON_MASS
    product = momentum_beta(np.array(energy))
    assert product == pytest.approx(1000 * 1000 / np.hypot(1000, MUON_MASS), rel=1e-9)
    assert highland(product, RADIATION_LENGTH) == pytest.approx(13.6e-3 / 0.99446, rel=1e-4)


def test_twice_the_density_is_half_the_distance():
    """The same scatters on half the length in argon twice as dense: the same energy."""
    rng = np.random.default_rng(3)
    angles = scatters(course(rng, 600, 180.0), np.arange(361) * 0.5, 180.0, 14.0)
    half = Angles(angles.theta, angles.distance / 2, angles.segment / 2)
    usual = most_likely_energy(angles, 180.0, 1e-3)
    assert np.isfinite(usual)
    assert most_likely_energy(half, 90.0, 1e-3, 2 * DENSITY) == pytest.approx(usual, rel=0.02)


def course(rng, energy, length, step=0.5):
    """Course of a muon in argon; Highland's width of a segment shared by the steps in it."""
    n = int(length / step)
    rest = range_of_energy(energy, MUON_MASS) - step * (np.arange(n) + 0.5)
    product = momentum_beta(energy_of_range(rest, MUON_MASS))
    return scattered(rng, n, step, highland(product, RADIATION_LENGTH) * np.sqrt(step / 14))


def test_angles_between_lines_have_the_variance_of_the_closed_form():
    rng = np.random.default_rng(0)
    width, segment, step = 0.004, 14.0, 0.5
    nodes = scattered(rng, 40_000, step, np.full(40_000, width))
    along = np.arange(len(nodes)) * step
    angles = scatters(nodes, along, along[-1], segment)
    expected = LINE_FACTOR * width**2 * segment / step
    assert angles.theta.var() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("energy", "length"), [(500, 150), (1000, 200)])
def test_energy_of_exiting_muons(energy, length):
    rng = np.random.default_rng(energy)
    found = []
    for _ in range(20):
        points = voxels_along(course(rng, energy, length), spacing=0.1)
        path = trace(points, SIZE)
        path = path if np.linalg.norm(path.nodes[0]) < length / 2 else path.reversed()
        found.append(muon_energy(points, path.along, path.length, SIZE))
    relative = np.array(found) / energy
    assert np.median(relative) == pytest.approx(1, abs=0.1)
    assert np.subtract(*np.percentile(relative, [84, 16])) / 2 < 0.25


def test_a_stopping_muon_has_at_least_the_energy_of_its_range():
    rng = np.random.default_rng(5)
    nodes = course(rng, 300, float(range_of_energy(300, MUON_MASS)) - 0.5)
    along = np.arange(len(nodes)) * 0.5
    angles = scatters(nodes, along, along[-1], 10.0)
    got = most_likely_energy(angles, along[-1], line_resolution(10.0, SIZE))
    assert 295 < got < 380


def test_too_short_or_too_straight():
    points = np.outer(np.arange(0, 50, SIZE), [1, 0, 0])
    assert np.isnan(muon_energy(points, points[:, 0], 50, SIZE))
    points = np.outer(np.arange(0, 200, SIZE), [1, 0, 0])
    assert np.isnan(muon_energy(points, points[:, 0], 200, SIZE))  # no upper limit


def test_segments_without_points_are_left_out():
    points = np.outer(np.arange(0, 100, SIZE), [1, 0, 0])
    points = points[(points[:, 0] < 40) | (points[:, 0] > 60)]
    angles = scatters(points, points[:, 0], 100, 10.0)
    np.testing.assert_allclose(angles.distance, [10, 20, 30, 70, 80, 90])
    np.testing.assert_allclose(angles.theta, 0, atol=1e-9)
