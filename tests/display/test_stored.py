import numpy as np
import pytest

from reco.detector import Detector
from reco.display.stored import StoredScenes, boxes_of, boxes_of_provenance
from reco.errors import FormatError, InputError
from reco.io.store import Writer
from tests.display import events


def test_scenes_of_a_file(output, data_output):
    with StoredScenes(output) as scenes:
        assert len(scenes) == 3
        sizes = [len(scenes[i].reconstruction.voxels.energy) for i in range(3)]
        assert sizes == [events.N, 0, 0]
        assert len(scenes[0].outline) == 2 * 17
        for number in (-1, 3):
            with pytest.raises(InputError, match=rf"no event {number}; the file has 3 \(0 to 2\)"):
                scenes[number]
    with StoredScenes(data_output) as scenes:
        assert scenes[0].truth is None


def test_what_is_no_output_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        StoredScenes(tmp_path / "none.h5")
    with Writer(tmp_path / "hits.h5", {}) as out:
        out.write(events.header())
    with pytest.raises(FormatError, match="holds no voxels"):
        StoredScenes(tmp_path / "hits.h5")


def test_an_output_that_names_no_detector_has_no_outline(tmp_path):
    with Writer(tmp_path / "a.h5", {}) as out:
        out.write(events.data(2))
    with StoredScenes(tmp_path / "a.h5") as scenes:
        assert len(scenes[0].outline) == 0


def test_corners_of_a_detector_are_those_of_its_provenance():
    detector = Detector.load("icarus")
    volumes = [{"lower": v.lower, "upper": v.upper} for v in detector.volumes]
    boxes = boxes_of(detector)
    assert boxes.shape == (len(volumes), 2, 3)
    np.testing.assert_array_equal(boxes, boxes_of_provenance({"detector": {"volumes": volumes}}))
