"""Against tables and an independent code, not against earlier runs of the same."""

import numpy as np
import pytest

from reco.data.tracks import PROCESSES
from reco.simulate.primary import Primary

CENTRE = (0.0, 0.0, 0.0)
CORNER = (-160.0, -160.0, -160.0)
DIAGONAL = (1.0, 1.0, 1.0)
FORWARD = (1.0, 0.0, 0.0)
MICHEL_ENDPOINT = 52.83


def fire(geant4, pdg, energy, events, position=CENTRE, direction=FORWARD):
    primary = Primary(0, pdg, energy, position, direction)
    return [geant4.simulate([primary], seed) for seed in range(events)]


def path_lengths(events):
    return np.array([tracks.length[0] for tracks, _ in events])


def made_by(tracks, process):
    return tracks.process == PROCESSES.index(process)


def michel_energies(geant4, pdg, events):
    energies = []
    for tracks, _ in fire(geant4, pdg, 60.0, events):
        electron = np.isin(tracks.pdg, (11, -11)) & (tracks.parent_id == 1)
        made = made_by(tracks, "decay") | made_by(tracks, "capture")
        energies.append(tracks.kinetic_energy[electron & made & (tracks.kinetic_energy > 1)])
    return energies


@pytest.mark.parametrize(("energy", "expected"), [(100.0, 30.44), (200.0, 76.15)])
def test_range_of_muons(geant4, energy, expected):
    """PDG (Groom et al. 2001), CSDA range over 1.396 g/cm3."""
    lengths = path_lengths(fire(geant4, 13, energy, 20))
    assert lengths.mean() == pytest.approx(expected, rel=0.02)


def test_range_of_protons(geant4):
    """NIST PSTAR, argon."""
    lengths = path_lengths(fire(geant4, 2212, 100.0, 20))
    assert np.median(lengths) == pytest.approx(7.82, rel=0.02)


def test_energetic_protons_stop_or_interact(geant4):
    """NIST PSTAR; over an interaction length of 90 cm, 57 of 100 come to rest."""
    lengths = path_lengths(fire(geant4, 2212, 300.0, 60))
    stopped = lengths[lengths > 48]
    assert np.median(stopped) == pytest.approx(51.2, rel=0.02)
    assert 0.4 < len(stopped) / len(lengths) < 0.75


def test_positive_muons_decay(geant4):
    energies = michel_energies(geant4, -13, 40)
    assert all(len(e) == 1 for e in energies)
    assert np.concatenate(energies).max() < MICHEL_ENDPOINT + 0.1
    # The mean of the Michel spectrum is 7/20 of the muon's mass, less the electron's.
    assert np.concatenate(energies).mean() == pytest.approx(36.5, abs=5.0)


def test_michel_electrons_come_late(geant4):
    times = []
    for tracks, _ in fire(geant4, -13, 60.0, 60):
        times.append(tracks.time[made_by(tracks, "decay") & (tracks.pdg == -11)][0])
    assert np.mean(times) == pytest.approx(2.197, abs=0.9)


def test_most_negative_muons_are_captured(geant4):
    found = np.mean([len(e) for e in michel_energies(geant4, 13, 120)])
    assert 0.15 < found < 0.38


def test_delta_electrons_are_ionisation_of_their_muon(geant4):
    tracks, _ = geant4.simulate([Primary(0, 13, 600.0, (-110.0, 0.0, 0.0), FORWARD)], seed=1)
    delta = made_by(tracks, "ionisation") & (tracks.parent_id == 1)
    assert delta.sum() > 5
    assert (tracks.pdg[delta] == 11).all()
    assert np.abs(tracks.start[delta][:, 1:]).max() < 20


def test_a_neutral_pion_is_two_photons(geant4):
    tracks, _ = geant4.simulate([Primary(0, 111, 300.0, CENTRE, FORWARD)], seed=2)
    photons = (tracks.parent_id == 1) & made_by(tracks, "decay")
    assert tracks.pdg[photons].tolist() == [22, 22]
    assert tracks.kinetic_energy[photons].sum() == pytest.approx(300 + 134.98, abs=0.1)


@pytest.mark.slow
def test_range_of_energetic_muons(geant4):
    """PDG; the world's diagonal is long enough, and a track is followed beyond the cube."""
    lengths = path_lengths(fire(geant4, 13, 1000.0, 200, CORNER, DIAGONAL))
    assert np.median(lengths) == pytest.approx(441.5, rel=0.015)


@pytest.mark.slow
def test_minimum_ionising_loss(geant4):
    """PDG: 2.105 MeV/cm at the minimum, which 100 to 150 cm of range left bracket."""
    losses = []
    for tracks, deposits in fire(geant4, 13, 400.0, 200, (-110.0, 0.0, 0.0)):
        depth = (deposits.start + deposits.end)[:, 0] / 2
        left = tracks.end[0, 0] - depth
        losses.append(deposits.energy[(left > 100) & (left < 150)].sum() / 50)
    assert np.mean(losses) == pytest.approx(2.12, rel=0.02)


@pytest.mark.slow
def test_depth_of_electron_showers(geant4):
    """EGSnrc, an independent code: mean depth 50.4 cm of 500 MeV electrons."""
    energy, moment = 0.0, 0.0
    for _, deposits in fire(geant4, 11, 500.0, 200, (-115.0, 0.0, 0.0)):
        depth = (deposits.start + deposits.end)[:, 0].astype(float) / 2 + 115
        energy += deposits.energy.sum()
        moment += (deposits.energy * depth).sum()
    assert moment / energy == pytest.approx(50.4, rel=0.03)


@pytest.mark.slow
def test_interaction_length_of_protons(geant4):
    """90 cm at 300 MeV (Barashenkov): path travelled per inelastic end."""
    lengths = path_lengths(fire(geant4, 2212, 300.0, 300))
    assert lengths.sum() / (lengths < 48).sum() == pytest.approx(90, rel=0.2)


@pytest.mark.slow
def test_michel_fraction_of_negative_muons(geant4):
    """Capture in argon: 26 % decay in orbit (Suzuki, Measday, Roalsvig 1987)."""
    found = np.mean([len(e) for e in michel_energies(geant4, 13, 600)])
    assert found == pytest.approx(0.26, abs=0.055)
