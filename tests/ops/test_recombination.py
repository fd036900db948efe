import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco.ops import drift
from reco.ops import recombination as law

fields = st.floats(0.2, 0.6)
losses = st.floats(2.0, 60.0)


def ellipsoid(box, value, field, cos_field):
    """The modified box, or its inverse, with the constants of ICARUS at an angle to the field."""
    return box(value, field, law.DENSITY, 0.904, law.ellipsoid_beta(cos_field))


def test_known_factors_of_a_minimum_ionising_track_at_500_volts_per_cm():
    # by hand: xi = 0.212 * 2.105 / (1.396 * 0.5) = 0.63934, ln(0.93 + xi) / xi = 0.70488
    assert law.modified_box(2.105, 0.5) == pytest.approx(0.70488, abs=2e-5)
    # 0.8 / (1 + 0.0486 * 2.105 / 0.698) = 0.69774
    assert law.birks(2.105, 0.5) == pytest.approx(0.69774, abs=2e-5)
    # xi = 0.204 * 2.105 / 0.698 = 0.61522, ln(0.904 + xi) / xi = 0.67975
    assert ellipsoid(law.modified_box, 2.105, 0.5, 0.0) == pytest.approx(0.67975, abs=2e-5)


@given(losses, fields)
def test_box_goes_there_and_back(dedx, field):
    dqdx = law.modified_box(dedx, field) * dedx / law.W_ION
    assert law.modified_box_dedx(dqdx, field) == pytest.approx(dedx, rel=1e-9)


@given(losses, fields)
def test_birks_goes_there_and_back(dedx, field):
    dqdx = law.birks(dedx, field) * dedx / law.W_ION
    assert law.birks_dedx(dqdx, field) == pytest.approx(dedx, rel=1e-9)


@given(losses, fields, st.floats(-1, 1))
def test_ellipsoid_goes_there_and_back(dedx, field, cos_field):
    dqdx = ellipsoid(law.modified_box, dedx, field, cos_field) * dedx / law.W_ION
    assert ellipsoid(law.modified_box_dedx, dqdx, field, cos_field) == pytest.approx(dedx, rel=1e-9)


@given(losses, fields)
def test_more_electrons_escape_in_a_stronger_field_and_from_thinner_tracks(dedx, field):
    for escaping in (law.birks, law.modified_box):
        assert 0 < escaping(dedx, field) < escaping(dedx, field * 1.1) < 1
        assert escaping(dedx * 1.1, field) < escaping(dedx, field)


def test_birks_saturates_and_its_inverse_says_so():
    limit = law.BIRKS_A * law.DENSITY * 0.5 / law.BIRKS_K / law.W_ION
    inverse = law.birks_dedx(np.array([0.999, 1.0, 2.0]) * limit, 0.5)
    assert np.isfinite(inverse[0])
    assert np.isinf(inverse[1:]).all()


def test_box_is_never_negative():
    assert (law.modified_box(np.array([0.0, 1e-6, 0.1]), 0.5) == 0).all()


def test_ellipsoid_has_the_axes_of_its_definition():
    assert law.ellipsoid_beta(0.0) == pytest.approx(0.204)
    assert law.ellipsoid_beta(1.0) == pytest.approx(0.204 * 1.25)
    assert law.ellipsoid_beta(-0.3) == law.ellipsoid_beta(0.3)


def test_drift_velocity_at_working_points_of_experiments():
    # ICARUS, JINST 20 P01033: 0.1572 cm/us at 0.4938 kV/cm, 87.5 K; MicroBooNE: 0.1098 at 0.2739
    assert drift.drift_velocity(0.4938, 87.5) == pytest.approx(0.1572, rel=0.04)
    assert drift.drift_velocity(0.2739, 89.0) == pytest.approx(0.1098, rel=0.04)
    # ATLAS, arXiv:1002.4189: 0.461 cm/us at 10 kV/cm, 88.5 K
    assert drift.drift_velocity(10.0, 88.5) == pytest.approx(0.461, rel=0.04)


@given(st.floats(0.05, 12.0), st.floats(86.0, 93.0))
def test_electrons_drift_faster_in_stronger_fields_and_colder_argon(field, temperature):
    v = drift.drift_velocity(field, temperature)
    assert v < drift.drift_velocity(field * 1.05, temperature)
    assert v > drift.drift_velocity(field, temperature + 1)


def test_diffusion_and_survival_follow_their_formulas():
    assert drift.diffusion_sigma(1000.0, 8.8) == pytest.approx(math.sqrt(2 * 8.8e-3))
    assert drift.diffusion_sigma(-1.0, 8.8) == 0
    assert drift.survival(3000.0, 3000.0) == pytest.approx(1 / math.e)
    assert drift.survival(np.array([0.0, 1e9]), math.inf).tolist() == [1, 1]
