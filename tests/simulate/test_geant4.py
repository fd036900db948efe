import os
import subprocess
import sys
import threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from reco.data.tracks import PROCESSES
from reco.errors import ConfigError, InputError, RecoError
from reco.simulate import library
from reco.simulate.geant4 import Geant4, Options
from reco.simulate.primary import Primary
from reco.simulate.processes import category
from reco.simulate.recipes import Mixed

CENTRE = (0.0, 0.0, 0.0)
FORWARD = (1.0, 0.0, 0.0)
ELECTRON = Primary(0, 11, 100.0, CENTRE, FORWARD)


def equal(a, b):
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def mixed(event):
    return Mixed()(np.random.default_rng(event))


def test_an_event_depends_on_its_seed_alone(geant4):
    forwards = {i: geant4.simulate(mixed(i), seed=i) for i in range(12)}
    for i in (11, 3, 7, 0):
        again = geant4.simulate(mixed(i), seed=i)
        assert all(equal(a, b) for a, b in zip(again, forwards[i], strict=True))
    other = geant4.simulate(mixed(3), seed=4)
    assert not equal(other[1], forwards[3][1])


def test_large_seeds_are_told_apart(geant4):
    one, other = (geant4.simulate([ELECTRON], seed=seed)[1] for seed in (1 << 40, 2 << 40))
    assert not equal(one, other)


def test_tracks_come_first_the_primaries_and_with_all_their_ancestors(geant4):
    primaries = mixed(5)
    tracks, deposits = geant4.simulate(primaries, seed=5)
    first = slice(0, len(primaries))
    assert (tracks.parent_id[first] == 0).all()
    assert (tracks.parent_id[len(primaries) :] > 0).all()
    assert tracks.pdg[first].tolist() == [p.pdg for p in primaries]
    assert tracks.interaction[first].tolist() == [p.interaction for p in primaries]
    np.testing.assert_allclose(tracks.start[first], [p.position for p in primaries], rtol=1e-5)
    np.testing.assert_allclose(
        tracks.kinetic_energy[first], [p.kinetic_energy for p in primaries], rtol=1e-5
    )
    assert (np.diff(tracks.track_id) > 0).all()
    mother = np.searchsorted(tracks.track_id, tracks.parent_id)
    secondary = tracks.parent_id > 0
    assert (tracks.track_id[mother] == tracks.parent_id)[secondary].all()
    assert (tracks.interaction[mother] == tracks.interaction)[secondary].all()
    assert deposits.track.min() >= 0
    assert deposits.track.max() < len(tracks)


def test_deposits_lie_within_the_cube_in_short_steps(geant4):
    outwards = Primary(0, 13, 1000.0, (100.0, 0.0, 0.0), FORWARD)
    _, deposits = geant4.simulate([outwards], seed=1)
    assert np.abs(deposits.start).max() <= 115.2001
    assert deposits.end[:, 0].max() == pytest.approx(115.2, abs=1e-3)
    assert np.linalg.norm(deposits.end - deposits.start, axis=1).max() < 0.301
    assert (deposits.energy > 0).all()


def test_neutral_particles_deposit_at_a_point(geant4):
    tracks, deposits = geant4.simulate([replace(ELECTRON, pdg=22)], seed=2)
    of_photon = tracks.pdg[deposits.track] == 22
    assert of_photon.any()
    np.testing.assert_array_equal(deposits.start[of_photon], deposits.end[of_photon])
    length = np.linalg.norm(deposits.end - deposits.start, axis=1)
    assert length[~of_photon].max() > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_a_contained_electron_leaves_its_energy(geant4, seed):
    _, deposits = geant4.simulate([ELECTRON], seed=seed)
    assert 97.0 < deposits.energy.sum() < 100.01


def test_momentum_is_that_of_the_kinetic_energy(geant4):
    proton = Primary(0, 2212, 200.0, CENTRE, (0.0, 3.0, 4.0))
    tracks, _ = geant4.simulate([proton], seed=1)
    total = 200.0 + 938.272
    expected = np.sqrt(total**2 - 938.272**2) * np.array([0, 0.6, 0.8])
    np.testing.assert_allclose(tracks.momentum[0], expected, atol=0.01)


def test_times_are_microseconds_from_the_primarys(geant4):
    late = replace(ELECTRON, time=12.5)
    tracks, deposits = geant4.simulate([late], seed=1)
    assert tracks.time[0] == pytest.approx(12.5)
    assert 12.5 <= deposits.time.min() < 12.51


def test_no_primaries_no_event(geant4):
    tracks, deposits = geant4.simulate([], seed=1)
    assert (len(tracks), len(deposits)) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pdg": 99999}, "PDG code 99999"),
        ({"kinetic_energy": 0.0}, "kinetic energy"),
        ({"kinetic_energy": float("nan")}, "kinetic energy"),
        ({"direction": CENTRE}, "direction"),
        ({"position": (0.0, 200.0, 0.0)}, "outside the world"),
        ({"position": (0.0, float("nan"), 0.0)}, "outside the world"),
    ],
)
def test_primaries_that_cannot_be_followed(geant4, change, message):
    with pytest.raises(InputError, match=message):
        geant4.simulate([replace(ELECTRON, **change)], seed=1)


def test_negative_seed(geant4):
    with pytest.raises(InputError, match="negative"):
        geant4.simulate([ELECTRON], seed=-1)


def test_one_set_up_per_process(geant4):
    assert Geant4.shared(Options()) is geant4
    with pytest.raises(RecoError, match="one set-up per process"):
        Geant4()
    with pytest.raises(RecoError, match="another process"):
        Geant4.shared(Options(side=100.0))


@pytest.mark.parametrize(
    "wrong",
    [{"side": 0.0}, {"padding": -1.0}, {"hadronic": "QBBC"}, {"electromagnetic": "option4"}],
)
def test_options_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Options(**wrong)


@pytest.mark.parametrize(
    ("process", "parent", "name"),
    [
        ("", 0, "primary"),
        ("muIoni", 13, "ionisation"),
        ("compt", 22, "compton"),
        ("Decay", 13, "decay"),
        ("muMinusCaptureAtRest", 13, "capture"),
        ("hBertiniCaptureAtRest", -211, "capture"),
        ("pi+Inelastic", 211, "hadronic"),
        ("hadElastic", 2212, "hadronic"),
        ("hadElastic", 2112, "neutron"),
        ("neutronInelastic", 2112, "neutron"),
        ("nCapture", 2112, "neutron"),
        ("Decay", 2112, "decay"),
        ("somethingNew", 13, "other"),
    ],
)
def test_categories(process, parent, name):
    assert PROCESSES[category(process, parent)] == name


SCRIPT = """
from reco.simulate.geant4 import Geant4, Options
from reco.simulate.primary import Primary
engine = Geant4(Options({options}))
primaries = [Primary(0, pdg, 400.0, (0, 0, 0), (0, 0, 1)) for pdg in (11, 13, 211, -211, 2212)]
for seed in range(3):
    tracks, deposits = engine.simulate(primaries, seed)
    assert deposits.energy.sum() > 500
print("fine")
"""


def run_alone(options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(options=options)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_stdout_holds_nothing_of_geant4():
    done = run_alone("side=100.0")
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [f'hadronic="{name}"' for name in ("QGSP_BERT", "QGSP_BIC", "FTF_BIC", "NuBeam")]
    + [f'electromagnetic="{name}"' for name in ("option1", "option2", "option3", "WVI")],
)
def test_physics_lists_run_on_the_shipped_data(options):
    done = run_alone(options)
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


def test_the_users_own_data_directory_wins(tmp_path):
    done = run_alone("", GEANT4_DATA_DIR=str(tmp_path / "absent"))
    assert "GEANT4_DATA_DIR" in done.stderr
    assert "unset it" in done.stderr


def test_data_are_unpacked_once_by_whoever_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(library.unpacked())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0].parent == tmp_path / "reco"
    assert [p.name for p in (tmp_path / "reco").iterdir()] == [found[0].name]
    assert (found[0] / "G4EMLOW8.8" / "brem_SB" / "br18").is_file()


def test_data_go_to_the_temporary_directory_where_the_cache_cannot_be_written(
    tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(library.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    assert library.unpacked().is_relative_to(tmp_path / "tmp")


def test_missing_package_says_what_to_install(tmp_path):
    block = (
        "import sys; sys.modules['geant4_pybind'] = None\nfrom reco.simulate.library import load\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", block + "load()"], capture_output=True, text=True, check=False
    )
    assert 'pip install "lartpc-reco[sim]"' in done.stderr
