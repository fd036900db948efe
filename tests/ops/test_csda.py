import numpy as np
import pytest

from reco.ops.csda import (
    KAON_MASS,
    MUON_MASS,
    PION_MASS,
    PROTON_MASS,
    dedx,
    energy_of_range,
    range_of_energy,
)

ENERGY = np.array([20, 50, 100, 200, 300, 500, 1000.0])
RANGE = {
    MUON_MASS: [2.38, 10.8, 30.4, 76.2, 123.6, 217, 441],  # PDG tables, liquid argon
    PROTON_MASS: [0.45, 2.30, 7.82, 26.0, 51.2, 115.6, 319],  # NIST PSTAR, argon
    PION_MASS: [1.95, 9.2, 26.9, 70.6, 117.5, 212, 442],
}


@pytest.mark.parametrize("mass", RANGE)
def test_range_agrees_with_the_tables(mass):
    np.testing.assert_allclose(range_of_energy(ENERGY, mass), RANGE[mass], rtol=0.015)


@pytest.mark.parametrize("mass", RANGE)
def test_energy_of_range_agrees_with_the_tables(mass):
    np.testing.assert_allclose(energy_of_range(np.array(RANGE[mass]), mass), ENERGY, rtol=0.015)


@pytest.mark.parametrize("mass", [MUON_MASS, PION_MASS, PROTON_MASS, KAON_MASS])
def test_inverse(mass):
    energy = np.geomspace(1e-3, 1e5, 200)
    np.testing.assert_allclose(energy_of_range(range_of_energy(energy, mass), mass), energy)


def test_range_is_the_integral_of_the_loss():
    energy = np.linspace(50, 60, 2001)
    step = range_of_energy(energy[-1], KAON_MASS) - range_of_energy(energy[0], KAON_MASS)
    assert step == pytest.approx(np.trapezoid(1 / dedx(energy, KAON_MASS), energy), rel=1e-4)


def test_minimum_of_the_loss():
    loss = dedx(np.geomspace(50, 2000, 500), MUON_MASS)
    assert loss.min() == pytest.approx(2.105, rel=0.002)  # PDG


def test_equal_velocities_have_ranges_in_proportion_to_the_masses():
    muon, proton = (
        range_of_energy(0.3 * MUON_MASS, MUON_MASS),
        range_of_energy(0.3 * PROTON_MASS, PROTON_MASS),
    )
    assert proton / muon == pytest.approx(PROTON_MASS / MUON_MASS, rel=0.02)


def test_edges():
    got = energy_of_range(np.array([0.0, np.nan, 1e-6]), PROTON_MASS)
    assert got[0] == 0
    assert np.isnan(got[1])
    assert 0 < got[2] < 0.1
