import numpy as np
import pytest

from reco.data.classes import Status
from reco.display.facts import measured
from reco.display.scene import OWNERS, scene_of
from tests.display import events
from tests.display.events import BOXES, FOUND, PARTICLE, POSITION, SEMANTIC


def full() -> list:
    return [*events.data(), *events.truth(), *events.truth_voxels(), *events.matches()]


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (351.96, 5.09, "352.0 ± 5.1"),
        (657.3, 210.0, "657 ± 210"),
        (2.34, 0.5, "2.34 ± 0.50"),
        (12.0, 0.0, "12 ± 0"),
        (12.0, float("nan"), "12 ± –"),
    ],
)
def test_an_error_has_two_digits_that_count(value, sigma, text):
    assert measured(value, sigma) == text


def test_voxels_and_colourings_are_those_of_the_event():
    scene = scene_of(full(), BOXES)
    assert scene.title == "run 7 · subrun 7 · event 7"
    assert scene.note == ""
    found, true = scene.reconstruction.voxels, scene.truth.voxels
    np.testing.assert_array_equal(found.position, POSITION)
    np.testing.assert_allclose(true.position, POSITION + 0.3, rtol=1e-5)
    np.testing.assert_array_equal(found.labels["particle"], FOUND)
    np.testing.assert_array_equal(found.labels["truth_particle"], PARTICLE)
    np.testing.assert_array_equal(true.labels["semantic"], SEMANTIC)
    assert set(found.labels) == {
        *("semantic", "fragment", "particle", "interaction", "pid"),
        *("truth_semantic", "truth_fragment", "truth_particle", "truth_interaction"),
    }
    # the muon is number 2 among the reconstructed, 0 among the true
    assert set(found.labels["pid"][PARTICLE == 0]) == set(true.labels["pid"][PARTICLE == 0]) == {2}
    assert scene.outline.shape[1] == 3


def test_what_matches_has_one_colour():
    scene = scene_of(full(), BOXES)
    for owner in OWNERS:
        ours, theirs = (s.voxels.labels[owner] for s in (scene.reconstruction, scene.truth))
        np.testing.assert_array_equal(
            scene.reconstruction.slots[owner][ours], scene.truth.slots[owner][theirs]
        )
    assert scene.truth.slots["particle"].tolist() == [0, 1, 2, 3]  # by size
    assert scene.reconstruction.partner.tolist() == [1, 2, 0, -1]


def test_partners_come_from_the_voxels_where_there_are_no_matches():
    scene = scene_of([*events.data(), *events.truth()], BOXES)
    assert scene.reconstruction.partner.tolist() == [1, 2, 0, 3]
    assert scene.truth.partner.tolist() == [2, 0, 1, 3]


def test_starts_and_vertices_leave_the_low_energy_scatters_out():
    scene = scene_of(full(), BOXES)
    for side, rows in ((scene.reconstruction, [0, 1, 2]), (scene.truth, [0, 1, 2])):
        assert side.starts.row.tolist() == rows
        assert side.vertices.row.tolist() == [0]
    np.testing.assert_allclose(scene.reconstruction.starts.position[2], POSITION[0])
    np.testing.assert_allclose(
        scene.reconstruction.vertices.covariance[0], np.diag([0.04, 0.01, 0.09]), rtol=1e-6
    )
    assert np.isnan(scene.truth.vertices.covariance).all()


def test_facts_are_the_numbers_of_the_tables():
    scene = scene_of(full(), BOXES)
    facts = scene.reconstruction.particles
    assert facts["type"] == ("p", "e", "μ", "p")
    assert facts["energy [MeV]"][2] == "230 ± 12"
    assert facts["range [MeV]"] == ("80", "–", "231", "–")
    assert facts["calorimetric [MeV]"] == ("1", "2.5", "–", "1234")
    assert facts["match (IoU)"] == ("1 (1.00)", "2 (1.00)", "0 (1.00)", "–")
    assert scene.reconstruction.interactions["± [cm]"][0] == "0.2, 0.1, 0.3"
    assert scene.truth.particles["PDG"][3] == "2112"
    assert scene.truth.interactions["topology"] == ("1mu1p", "–")
    assert scene.truth.interactions["neutrino PDG"] == ("14", "–")


@pytest.mark.parametrize("stages", range(1, len(events.CHAIN) + 1))
@pytest.mark.parametrize("truth", [False, True])
def test_an_output_may_stop_at_any_stage(stages, truth):
    products = [*events.data(stages), *(events.truth() if truth and stages > 1 else [])]
    scene = scene_of(products, BOXES)
    side = scene.reconstruction
    wanted = ["semantic", "fragment", "particle", "interaction"][: max(stages - 2, 0)]
    assert [name for name in side.voxels.labels if not name.startswith("truth")] == [
        *wanted,
        *(["pid"] if stages == len(events.CHAIN) else []),
    ]
    assert (scene.truth is not None) == (truth and stages > 1)
    assert set(side.slots) == set(wanted) & set(OWNERS)
    assert len(side.points.type) == (2 if stages > 2 else 0)
    assert len(side.starts.row) == (3 if stages > 4 else 0)
    assert len(side.vertices.row) == (1 if stages > 5 else 0)
    if stages == 5:
        assert side.particles["type"] == ("track", "Michel", "track", "low energy")


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("truth", [False, True])
def test_tiny_events(n, truth):
    products = [*events.data(), *(events.truth() if truth else [])]
    scene = scene_of(events.first_voxels(products, n), BOXES)
    side = scene.reconstruction
    assert side.voxels.position.shape == (n, 3)
    assert all(len(labels) == n for labels in side.voxels.labels.values())
    assert side.starts.row.tolist() == ([2] if n else [])  # only particles that have voxels
    assert side.n_voxels.tolist() == [0, 0, n, 0]


def test_an_event_without_a_row_says_why():
    products = [*events.header(Status.FAILED, b"segment: out of memory"), *events.data()[2:]]
    scene = scene_of(events.emptied([*products, *events.truth()]), np.empty((0, 2, 3)))
    assert scene.note == "failed: segment: out of memory"
    assert scene.reconstruction.voxels.position.shape == (0, 3)
    assert scene.truth.voxels.position.shape == (0, 3)
    assert scene.outline.shape == (0, 3)


def test_numbers_that_are_not_finite_are_not_drawn():
    products = full()
    for product in products:
        if type(product).__name__ == "Kinematics":
            product.start.values[0] = np.nan
        if type(product).__name__ == "Estimates":
            product.vertex.values[0, 1] = np.inf
    side = scene_of(products, BOXES).reconstruction
    assert side.starts.row.tolist() == [1, 2]
    assert side.vertices.row.tolist() == []
