import numpy as np

from reco.ops.geometry import trace
from reco.ops.orientation import Surroundings, start_score
from tests.ops.toys import SIZE, voxels_along

ALONE = Surroundings(0, 0, 0, False)
POINTS = voxels_along(np.array([[0, 0, 0], [30, 0, 0.0]]))
PATH = trace(POINTS, SIZE)
FLAT = np.full(len(POINTS), 0.6)


def test_a_track_starts_away_from_its_bragg_peak():
    rest = PATH.length - PATH.along + 0.2
    rising = 0.6 * rest**-0.42
    assert start_score(PATH, rising, ALONE, ALONE) > 0.5
    assert start_score(PATH.reversed(), rising, ALONE, ALONE) < -0.5


def test_the_score_is_odd():
    here, there = Surroundings(2, 1, 0, False), Surroundings(0, 0, 1, True)
    energy = np.random.default_rng(0).random(len(POINTS))
    forward = start_score(PATH, energy, here, there)
    assert forward == -start_score(PATH.reversed(), energy, there, here)


def test_vertices_are_starts_and_michels_and_walls_are_ends():
    assert start_score(PATH, FLAT, ALONE._replace(tracks=2), ALONE) > 1
    assert start_score(PATH, FLAT, ALONE._replace(showers=1), ALONE) > 1
    assert start_score(PATH, FLAT, ALONE._replace(michels=1), ALONE) < -1
    assert start_score(PATH, FLAT, ALONE._replace(at_wall=True), ALONE) < -1
