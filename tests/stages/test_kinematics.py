import dataclasses

import numpy as np
import pytest
import torch

from reco.data.classes import Semantic
from reco.data.products import Fragments, Particles, Points, Voxels
from reco.data.ragged import Ragged
from reco.detector import Detector
from reco.ops.csda import MUON_MASS, energy_of_range
from reco.stages.base import Context
from reco.stages.kinematics import MakeKinematics
from tests.ops.toys import SIZE, voxels_along

CONTEXT = Context(Detector.load("generic"), torch.device("cpu"))
STAGE = MakeKinematics(MakeKinematics.Options(), CONTEXT)


def event(*particles, points=(), core=20.0):
    """Products of one event; a particle is (class, (N, 3) positions, (N,) energies).

    Each is two fragments: what is within core cm of its first position, and the rest.
    """
    size = [len(p[1]) for p in particles]
    rows = np.repeat(np.arange(len(particles)), size)
    position = np.concatenate([p[1] for p in particles] + [np.zeros((0, 3))])
    energy = np.concatenate([p[2] for p in particles] + [np.zeros(0)])
    first = np.array([p[1][0] for p in particles]).reshape(-1, 3)
    far = np.linalg.norm(position - first[rows], axis=1) > core
    order = np.lexsort(position.T[::-1])
    position, energy, rows, far = (x[order] for x in (position, energy, rows, far))
    one = Ragged.one
    voxels = Voxels(
        one(CONTEXT.detector.index_of(position)), one(position), one(energy), np.ones(1), np.ones(1)
    )
    semantic = np.array([p[0] for p in particles], int)
    number = np.arange(len(particles))
    found = np.array([p for p, _ in points], float).reshape(-1, 3)
    return (
        voxels,
        Points(one(found), one(np.array([t for _, t in points], int)), one(np.ones(len(points)))),
        Fragments(
            one(rows + far * len(size)),
            one(np.tile(semantic, 2)),
            one(np.bincount(rows + far * len(size), minlength=2 * len(size))),
        ),
        Particles(
            one(rows),
            one(np.tile(number, 2)),
            one(np.repeat([1.0, 0.0], len(size))),
            one(number),
            one(semantic),
            one(np.array(size, int)),
        ),
    )


def track(a, b, bragg=True):
    """A track from a to b that stops at b."""
    a, b = np.array(a, float), np.array(b, float)
    points = voxels_along(np.array([a, b]))
    rest = np.linalg.norm(points - b, axis=1) + SIZE
    energy = 2.1 * SIZE * (1 + 2 * bragg * np.exp(-rest))
    return Semantic.TRACK, points, energy


def shower(start, axis, n=600, seed=0):
    rng = np.random.default_rng(seed)
    along = rng.gamma(2, 7, n)
    points = start + along[:, None] * axis + rng.normal(size=(n, 3)) * 0.06 * along[:, None]
    stem = start + np.arange(0, 6, 0.1)[:, None] * axis
    points = np.unique(np.floor(np.concatenate([points, stem]) / SIZE), axis=0) * SIZE + SIZE / 2
    points = points[np.argsort(np.linalg.norm(points - start, axis=1))]
    return Semantic.SHOWER, points, np.full(len(points), 0.7)


def test_a_stopping_track():
    start, end = np.array([-20.0, 5, 3]), np.array([30.0, 25, 13])
    out = STAGE(*event(track(start, end)))
    length = np.linalg.norm(end - start)
    np.testing.assert_allclose(out.start.values[0], start, atol=0.4)
    np.testing.assert_allclose(out.end.values[0], end, atol=0.4)
    assert out.direction.values[0] @ (end - start) / length > 0.999
    assert out.length.values[0] == pytest.approx(length, rel=0.01)
    assert out.energy_csda.values[0, 0] == pytest.approx(
        energy_of_range(length, MUON_MASS), rel=0.01
    )
    assert (np.diff(out.energy_csda.values[0][[0, 1, 3, 2]]) > 0).all()  # by mass
    assert np.isnan(out.energy_mcs.values[0])  # shorter than ten segments
    assert out.contained.values[0]


def test_denser_argon_stops_more_energy():
    detector = dataclasses.replace(CONTEXT.detector, density=1.45)
    stage = MakeKinematics(STAGE.options, Context(detector, torch.device("cpu")))
    out = stage(*event(track([0, 0, 0], [30, 0, 0])))
    expected = energy_of_range(out.length.values[0] * 1.45 / 1.396, MUON_MASS)
    assert out.energy_csda.values[0, 0] == pytest.approx(expected, rel=1e-6)


def test_crossing_a_cathode_is_no_exit_but_reaching_the_inner_wall_of_a_cryostat_is():
    detector = Detector.load("icarus")
    stage = MakeKinematics(STAGE.options, Context(detector, torch.device("cpu")))
    out = stage(*event(track([-250, 0, 0], [-180, 5, 0]), track([-100, 0, 50], [-62, 5, 50])))
    np.testing.assert_array_equal(out.contained.values, [True, False])


@pytest.mark.parametrize("forward", [True, False])
def test_a_long_muon_through_a_wall_is_not_contained(forward):
    wall, inside = [20, 115.1, 0], [-20, -95, 30]
    out = STAGE(*event(track(*([wall, inside] if forward else [inside, wall]))))
    assert out.length.values[0] > 200
    assert not out.contained.values[0]


def test_predicted_points_replace_the_ends_nearby():
    start, end = np.array([-20.0, 5, 3]), np.array([30.0, 25, 13])
    points = [(start + 0.2, Semantic.TRACK), (end + 5, Semantic.TRACK)]
    out = STAGE(*event(track(start, end), points=points))
    np.testing.assert_allclose(out.start.values[0], start + 0.2, atol=1e-5)
    np.testing.assert_allclose(out.end.values[0], end, atol=0.4)


def test_a_track_with_a_michel_electron_ends_there():
    forward = track([0, 0, 0], [40, 0, 0], bragg=False)
    place = voxels_along(np.array([[0, 0.3, 0], [-1, 4, 0]]))
    michel = (Semantic.MICHEL, place, np.full(len(place), 0.5))
    out = STAGE(*event(forward, michel))
    np.testing.assert_allclose(out.start.values[0], [40, 0, 0], atol=0.4)
    np.testing.assert_allclose(out.start.values[1], [0, 0.3, 0], atol=0.6)


@pytest.mark.parametrize("known", [True, False])
def test_a_shower_opens_from_its_start(known):
    start, axis = np.array([-10.0, 4, 2]), np.array([2, -1, 2]) / 3
    points = [(start, Semantic.SHOWER), (start + 20 * axis, Semantic.TRACK)] if known else []
    kind, place, energy = shower(start, axis)
    out = STAGE(*event((kind, place, energy), points=points))
    np.testing.assert_allclose(out.start.values[0], start, atol=1e-5 if known else 0.6)
    assert out.direction.values[0] @ axis > np.cos(np.radians(5))
    assert out.energy_calo.values[0] == pytest.approx(energy.sum(), rel=1e-5)
    assert np.isnan(out.energy_csda.values).all()


def test_walls_and_the_shower_factor():
    stage = MakeKinematics(MakeKinematics.Options(shower_factor=1.25), CONTEXT)
    kind, place, energy = shower(np.array([-10.0, 4, 2]), np.array([1.0, 0, 0]))
    out = stage(*event(track([100, 0, 0], [115, 3, 0]), (kind, place, energy)))
    np.testing.assert_array_equal(out.contained.values, [False, True])
    assert out.energy_calo.values[1] == pytest.approx(1.25 * energy.sum(), rel=1e-5)


@pytest.mark.parametrize("kind", list(Semantic)[1:])
@pytest.mark.parametrize("n", [1, 2])
def test_the_smallest_particles_have_finite_values(kind, n):
    place = np.array([[0.15, 0.15, 0.15], [0.45, 0.15, 0.15]])[:n]
    out = STAGE(*event((kind, place, np.ones(n))))
    for column in (out.start, out.end, out.direction, out.length, out.start_dedx, out.energy_calo):
        assert np.isfinite(column.values).all()
    assert out.energy_calo.values == n


def test_no_particles_and_unassigned_voxels():
    voxels, points, fragments, _ = event((Semantic.TRACK, np.full((1, 3), 0.15), np.ones(1)))
    nobody = Particles(
        voxel_particle=Ragged.one(np.array([-1])),
        fragment_particle=Ragged.one(np.array([-1, -1])),
        fragment_primary_score=Ragged.one(np.zeros(2)),
        id=Ragged.one(np.zeros(0)),
        semantic=Ragged.one(np.zeros(0)),
        n_voxels=Ragged.one(np.zeros(0)),
    )
    assert len(STAGE(voxels, points, fragments, nobody).start.values) == 0
    out = STAGE(*(p.concat([p, p]) for p in event()))
    assert len(out) == 2
    assert len(out.energy_csda.values) == 0
