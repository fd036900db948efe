"""Which branches look like hits: names that files really have."""

import pytest

from reco.io.guess import options


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
    ],
)
def test_names_of_files(names: str, expected: str) -> None:
    assert options(names.split()) == asked(*expected.split())


@pytest.mark.parametrize(
    "names", ["", "x", "x y z", "hit_x hit_y energy", "end_x end_y end_z energy", "px qx charge"]
)
def test_nothing_that_looks_like_hits(names: str) -> None:
    assert options(names.split()) == ""
