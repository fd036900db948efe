import math
import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import yaml

from reco.detector import Detector, find, names
from reco.errors import ConfigError, InputError

TWO = {
    "name": "two",
    "volumes": [
        {"name": "left", "lower": [-10, 0, 0], "upper": [0, 6, 6], "drift": "-x"},
        {"name": "right", "lower": [0, 0, 0], "upper": [10, 6, 6], "drift": "+x"},
    ],
    "drift_velocity": 0.2,
}


def changed(path, value):
    """TWO with one key, given by its path, set to value."""
    content = yaml.safe_load(yaml.safe_dump(TWO))
    inner = content
    for key in path[:-1]:
        inner = inner.setdefault(key, {}) if isinstance(inner, dict) else inner[key]
    inner[path[-1]] = value
    return content


def test_generic_is_the_cube_of_the_public_samples():
    detector = Detector.load("generic")
    assert detector.grid_shape == (768, 768, 768)
    np.testing.assert_allclose(detector.upper - detector.lower, 230.4)


@pytest.mark.parametrize("name", names())
def test_shipped_detectors(name):
    detector = Detector.load(name)
    assert detector.name == name
    for row, volume in enumerate(detector.volumes):
        middle = (np.array(volume.lower) + volume.upper) / 2
        assert detector.volume_of(middle[None])[0] == row
        time = volume.drift_length / 2 / detector.drift_velocity
        assert detector.drift_time(middle[None])[0] == pytest.approx(time)


def test_volumes_of_points():
    detector = Detector.of(TWO)
    points = np.array(
        [[-5, 1, 1], [5, 1, 1], [0, 1, 1], [10, 6, 6], [10.1, 1, 1], [np.nan, 1, 1]], np.float32
    )
    np.testing.assert_array_equal(detector.volume_of(points), [0, 1, 0, 1, -1, -1])
    np.testing.assert_allclose(detector.drift_time(points), [25, 25, 50, 0, np.nan, np.nan])
    assert len(detector.volume_of(np.zeros((0, 3)))) == 0
    with pytest.raises(InputError, match=r"\(N, 3\)"):
        detector.volume_of(np.zeros(3))


def test_grid_and_centres_are_inverse():
    detector = Detector.of({**TWO, "voxel_size": 0.4})
    assert detector.grid_shape == (50, 15, 15)
    index = np.argwhere(np.ones(detector.grid_shape))
    np.testing.assert_array_equal(detector.index_of(detector.centre_of(index)), index)


def test_a_detector_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Detector.of(TWO).field = 1.0


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["feild"], 0.5, "feild: unknown key; did you mean 'field'"),
        (["volumes", 0, "uper"], 3, r"volumes.0.uper: unknown key; did you mean 'upper'"),
        (["recombination", "gamma"], 3, r"recombination.gamma: unknown key.*beta"),
        (["recombination", "model"], "new", r"recombination.model: .*'box'"),
        (["volumes", 0, "upper"], [-20, 6, 6], r"volumes.0: .*lower must be below upper along x"),
        (["volumes", 0, "upper"], [1, 6, 6], r"volumes: .*'left' and 'right' overlap"),
        (["volumes", 0, "name"], "right", r"volumes: .*two volumes are named 'right'"),
        (["volumes", 0, "drift"], "x", r"volumes.0.drift"),
        (["volumes"], [], "volumes: "),
        (["volumes", 0, "lower"], [-2560, 0, 0], "left is 2560 x 6 x 6 cm.*10 mm are 1.0"),
        (["volumes", 0, "lower"], [-2.56, 0, 0], "drifts 2.56 cm"),
        (["volumes", 1, "upper"], [10, 6, 10368], "lengths are in cm"),
        (["field"], 500, "field: .* 500 V/cm are 0.5"),
        (["drift_velocity"], 1.6, "drift_velocity: .*1.6 mm/us are 0.16"),
        (["lifetime"], 10, "lifetime: .*10 ms are 10000"),
        (["voxel_size"], -0.3, "voxel_size: "),
        (["voxel_size"], 3, "voxel_size: .*3 mm are 0.3"),
        (["temperature"], -186, "temperature: "),
        (["dead"], [{"lower": [0, 0, 0], "upper": [1, 0, 1]}], "dead.0: lower .* along y"),
        (["dead"], [{"lower": [0, 0, 0], "upper": [1, 1, math.inf]}], "dead.0: lower .* along z"),
        (["dead"], [{"lower": [0, 0, 0], "uper": [1, 1, 1]}], "dead.0.uper: .*'upper'"),
        (["dead"], [{"lower": [0, 0, 9e3], "upper": [1, 1, 9.1e3]}], "dead: box 0, .*10 mm"),
    ],
)
def test_wrong_descriptions_are_refused_by_file_and_key(tmp_path, path, value, message):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(changed(path, value)))
    with pytest.raises(ConfigError, match=re.escape(str(file)) + ": .*" + message):
        Detector.load(file)


@pytest.mark.parametrize("text", ["a: [", "\x00", "", "- 1", "3"])
def test_files_that_are_no_description(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(file))):
        Detector.load(file)


def test_files_are_looked_for_beside_the_description(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({**TWO, "displacement": "map.h5", "field_map": "e.h5"}))
    detector, plain = Detector.load(file), Detector.of(TWO)
    assert detector.displacement == str(tmp_path / "map.h5")
    assert detector.field_map == str(tmp_path / "e.h5")
    assert plain.displacement is plain.field_map is None


def test_what_is_dead_in_voxels_of_the_grid():
    box = {"lower": [-10, 3, -1e4], "upper": [0, 4.5, 1e4]}
    detector = Detector.of({**TWO, "dead": [box, box]})
    lower, upper = detector.dead_boxes
    np.testing.assert_allclose(lower, [[0, 10, -1e4 / 0.3]] * 2)
    np.testing.assert_allclose(upper, [[10 / 0.3, 15, 1e4 / 0.3]] * 2)
    assert Detector.of(TWO).dead_boxes.shape == (2, 0, 3)


def test_unknown_names_list_the_known():
    with pytest.raises(ConfigError, match=r"did you mean 'icarus'\?.*generic"):
        find("icaruss")
    with pytest.raises(ConfigError, match="generic"):
        find("../detectors/generic")


@pytest.mark.parametrize("name", names())
def test_baths_hold_every_volume_once(name):
    detector = Detector.load(name)
    for volume in detector.volumes:
        inside = [
            (low <= volume.lower).all() and (volume.upper <= high).all()
            for low, high in detector.baths
        ]
        assert sum(inside) == 1
    assert len(detector.baths) == (2 if name == "icarus" else 1)


def test_cathodes_are_no_walls_but_the_sides_of_a_cryostat_are():
    icarus = Detector.load("icarus")
    points = np.array(
        [
            [-210.2, -23, 0],  # in the cathode of the east cryostat
            [-61.95, 0, 0],  # 0.1 mm from its inner wall, 3 m from the outer ones
            [0, 0, 0],  # between the cryostats
            [359.49, 0, 0],  # 1 cm outside
        ]
    )
    np.testing.assert_allclose(icarus.wall_distance(points), [148.26, 0.01, -61.94, -1], atol=1e-9)
    np.testing.assert_allclose(icarus.bath_of(points)[1, :, 0], [-358.49, -61.94])
    assert icarus.wall_distance(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize("name", [name for name in names() if name != "generic"])
def test_every_value_of_an_experiment_has_its_source(name):
    """A comment on the line of each key, or on the first line of those below it."""
    text = find(name).read_text()
    for key in yaml.safe_load(text).keys() - {"name"}:
        assert re.search(rf"^{key}:[^\n]*(\n +\w+:[^\n]*)?#", text, re.MULTILINE), key
