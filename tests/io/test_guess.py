"""Which branches look like hits: names that files really have."""

import pytest

from reco.io.guess import number_options, options


def asked(x: str, y: str, z: str, role: str, value: str) -> str:
    return f"--set input.x={x} --set input.y={y} --set input.z={z} --set input.{role}={value}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("EnDepE EnDepT EnDepX EnDepY EnDepZ HitsIntegral", "EnDepX EnDepY EnDepZ energy EnDepE"),
        ("pdg sim_numElectrons sim_x sim_y sim_z", "sim_x sim_y sim_z charge sim_numElectrons"),
        ("hit_q hit_x hit_y hit_z start_x start_y start_z", "hit_x hit_y hit_z charge hit_q"),
        ("SPx SPy SPz SPedep_MeV evt", "SPx SPy SPz energy SPedep_MeV"),
        ("x_mm y_mm z_mm e", "x_mm y_mm z_mm energy e"),
        ("sp_ax sp_ay sp_az sp_charge trk_charge", "sp_ax sp_ay sp_az charge sp_charge"),
        ("hx hy hz hq", "hx hy hz charge hq"),
        ("calo_X calo_Y calo_Z calo_dQ", "calo_X calo_Y calo_Z charge calo_dQ"),
        ("hx hy hz he px py pz energy_of_all", "hx hy hz energy he"),
        ("hx hy hz amplitude", "hx hy hz charge NAME"),
    ],
)
def test_names_of_files(names: str, expected: str) -> None:
    assert options(names.split(), lambda _: 1) == asked(*expected.split())


def test_branches_of_hits_are_equally_long() -> None:
    long = {"hx": 9, "hy": 9, "hz": 9, "amp": 9, "q": 9, "h_edep": 2, "sx": 3, "sy": 3, "sz": 2}
    assert options(long, long.__getitem__) == asked("hx", "hy", "hz", "charge", "q")
    assert options(["sx", "sy", "sz", "h_edep"], long.__getitem__) == ""


@pytest.mark.parametrize(
    "names",
    ["", "x", "hit_x hit_y energy", "end_x end_y end_z energy", "px qx charge", "px py pz energy"],
)
def test_nothing_that_looks_like_hits(names: str) -> None:
    assert options(names.split(), lambda _: 1) == ""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("runNo evtNo hits", "--set input.run=runNo --set input.event=evtNo"),
        ("event_no sub_run", "--set input.subrun=sub_run --set input.event=event_no"),
        ("RunID SubRunID EventID", "run=RunID subrun=SubRunID event=EventID"),
        ("ev nevents event_time prune", "--set input.event=ev"),
        ("hits tracks", ""),
    ],
)
def test_numbers_of_events(names: str, expected: str) -> None:
    words = [
        w if w.startswith(("--set", "input")) else f"--set input.{w}" for w in expected.split()
    ]
    assert number_options(names.split(), ["run", "subrun", "event"]) == " ".join(words)
