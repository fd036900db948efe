"""The formulas behind the shipped data, against what is known of argon otherwise."""

import subprocess
import sys

import numpy as np
import pytest

from reco.simulate import argon_formulas as argon
from reco.simulate.argon_data import pack
from reco.simulate.library import unpacked

MILLIBARN = 1e-27


def test_bremsstrahlung_gives_the_radiation_length():
    """PDG: 19.55 g/cm2; a fast electron radiates E/X0."""
    fractions = np.linspace(1e-6, 1 - 1e-6, 2001)
    spectrum = [argon.bremsstrahlung(fraction, 1e4) for fraction in fractions]
    per_atom = np.trapezoid(spectrum, fractions) * argon.Z**2 * MILLIBARN
    length = argon.MOLAR_MASS / argon.AVOGADRO / per_atom
    assert length == pytest.approx(19.55, rel=0.03)


@pytest.mark.parametrize(("fraction", "kinetic"), [(1e-9, 1e-3), (1.0, 1.0), (1.0, 1e4)])
def test_bremsstrahlung_at_its_ends(fraction, kinetic):
    spectrum = argon.bremsstrahlung(fraction, kinetic)
    assert spectrum == 0 if fraction == 1 else 0 < spectrum < 20


def test_photoeffect():
    """NIST, 10 keV: attenuation of 63.2 cm2/g, 2 % of it scattering."""
    found = argon.photoeffect(10.0) / argon.barn_per_atom(1.0)
    assert found == pytest.approx(61.9, rel=0.02)


def test_photoeffect_jumps_at_the_edges_of_k_and_l_alone():
    for edge, *_ in argon.PHOTOEFFECT[1:]:
        jump = argon.photoeffect(edge) / argon.photoeffect(edge * (1 - 1e-9))
        expected = 10.0 if edge in (0.245, 3.203) else 1.0
        assert jump == pytest.approx(expected, rel=0.05)


def test_photonuclear_obeys_the_sum_rule():
    """Thomas, Reiche and Kuhn: 60 NZ/A MeV mb; light nuclei have a part of it below 35 MeV."""
    energies = np.linspace(0, 35, 3501)
    area = 1e3 * np.trapezoid([argon.photonuclear(e) for e in energies], energies)
    assert 0.5 < area / (60 * 18 * 22 / 40) < 1.1


def test_neutron_cross_sections_have_no_steps():
    for curve, low in ((argon.neutron_inelastic, 1.6), (argon.neutron_elastic, 1e-9)):
        energies = np.geomspace(low, 1e4, 4001)
        values = np.array([curve(e) for e in energies])
        assert (np.diff(values) < 0.1).all()
        assert (values > 0).all()
    assert argon.neutron_capture(2.53e-8) == pytest.approx(0.66)
    assert argon.neutron_inelastic(1.0) == 0


def test_archives_of_equal_files_are_equal(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "folder" / "file").write_text("content")
        pack(tmp_path / name, tmp_path / f"{name}.tar.xz")
    assert (tmp_path / "one.tar.xz").read_bytes() == (tmp_path / "other.tar.xz").read_bytes()


@pytest.mark.slow
def test_the_shipped_data_are_what_the_script_writes(tmp_path):
    directory = tmp_path / "data"
    command = [sys.executable, "-m", "reco.simulate.argon_data", str(directory)]
    subprocess.run(command, check=True, capture_output=True)
    shipped = unpacked()
    names = {p.relative_to(shipped) for p in shipped.rglob("*") if p.is_file()}
    assert names == {p.relative_to(directory) for p in directory.rglob("*") if p.is_file()}
    for name in sorted(names):
        old, new = ((folder / name).read_text().split() for folder in (shipped, directory))
        if "README" in name.name or "ENSDF" in name.name:
            assert old == new
        else:
            # The last digit may differ from one C library to another.
            np.testing.assert_allclose(np.array(new, float), np.array(old, float), rtol=1e-5)
