import dataclasses
import math

import h5py
import numpy as np
import pytest
import torch

from reco.data.products import Hits, Quantity
from reco.data.ragged import Ragged
from reco.detector import Detector
from reco.errors import ConfigError, InputError
from reco.ops import recombination as law
from reco.stages.base import Context
from reco.stages.voxelize import Voxelize

from .grid_maps import write_map

DETECTOR = Detector.load("generic")


def stage(**options):
    return Voxelize(Voxelize.Options(**options), Context(DETECTOR, torch.device("cpu")))


def hits(*events, quantity=Quantity.ENERGY):
    """One (N, 4) array of x, y, z, value per event."""
    rows = Ragged.of([np.asarray(e, np.float32).reshape(-1, 4) for e in events])
    return Hits(
        position=rows.like(rows.values[:, :3]),
        value=rows.like(rows.values[:, 3]),
        time=rows.like(np.zeros(len(rows.values))),
        quantity=np.full(len(rows), quantity),
    )


def test_sums_per_voxel_sorts_and_counts():
    out = stage(threshold=0.1)(
        hits(
            [(50, 0.1, 0.1, 0.3), (0.1, 0.1, 0.1, 0.2), (0.2, 0.2, 0.2, 0.4), (0, 0, 116, 9)],
            [],
            [(0.1, 0.1, 0.1, 0.05)],
        )
    )
    np.testing.assert_array_equal(out.energy.counts, [2, 0, 0])
    np.testing.assert_array_equal(out.index[0], [[384, 384, 384], [550, 384, 384]])
    np.testing.assert_allclose(out.energy[0], [0.6, 0.3], rtol=1e-6)
    np.testing.assert_allclose(out.position[0][0], [0.15, 0.15, 0.15], atol=1e-5)
    np.testing.assert_array_equal(out.n_hits, [4, 0, 1])
    np.testing.assert_array_equal(out.n_hits_outside, [1, 0, 0])


def test_energy_inside_is_conserved():
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.uniform(-120, 120, (5000, 3)), rng.exponential(0.5, 5000)])
    out = stage(threshold=0)(hits(rows))
    inside = (np.abs(rows[:, :3].astype(np.float32)) <= 115.2).all(1)
    assert out.energy.values.sum() == pytest.approx(rows[inside, 3].sum(), rel=1e-5)
    assert out.n_hits_outside[0] == (~inside).sum()
    assert (np.diff(np.ravel_multi_index(out.index[0].T, (768, 768, 768))) > 0).all()


@pytest.mark.parametrize("offset", [0.0, 0.15])
def test_single_precision_faces_and_centres_fall_where_they_belong(offset):
    edge = (-115.2 + 0.3 * np.arange(768) + offset).astype(np.float32)
    rows = np.column_stack([edge, edge, edge, np.ones(768)])
    out = stage()(hits(rows))
    np.testing.assert_array_equal(out.index[0], np.repeat(np.arange(768), 3).reshape(-1, 3))


@pytest.mark.parametrize("recombination", ["mip", "local"])
def test_charge_of_a_minimum_ionising_track_comes_back_as_energy(recombination):
    path = 0.2
    energy = law.MIP_DEDX * path
    survived = law.modified_box(law.MIP_DEDX, 0.5) * energy / law.W_ION / 1000
    drift = (115.2 - 0.15) / 0.16
    row = (0.15, 0.15, 0.15, survived * np.exp(-drift / 10_000))
    out = stage(recombination=recombination, path=path)(hits([row], quantity=Quantity.CHARGE))
    assert out.energy.values == pytest.approx([energy], rel=1e-5)


def test_local_recombination_inverts_the_law_at_high_loss():
    dedx, path = np.array([5.0, 10.0, 20.0]), 0.2
    charge = law.modified_box(dedx, 0.5) * dedx * path / law.W_ION / 1000
    rows = np.column_stack([np.full((3, 3), 0.15) + np.arange(3)[:, None], charge])
    out = stage(recombination="local", path=path, lifetime=False)(
        hits(rows, quantity=Quantity.CHARGE)
    )
    np.testing.assert_allclose(out.energy.values, dedx * path, rtol=1e-5)


LAWS = {"box": {"model": "box"}, "birks": {"model": "birks"}}
LAWS["ellipsoid"] = {"model": "ellipsoid", "alpha": 0.904, "beta": 0.204}
ONE = {
    "name": "one",
    "volumes": [{"name": "a", "lower": [0, 0, 0], "upper": [80, 9, 9], "drift": "-x"}],
}


@pytest.mark.parametrize(
    # by hand, as in test_recombination: the factors at 2.105 MeV/cm, 0.5 kV/cm, 1.396 g/cm3
    ("law_name", "factor"),
    [("box", 0.70488), ("birks", 0.69774), ("ellipsoid", 0.67975)],
)
def test_a_known_charge_becomes_a_known_energy(law_name, factor):
    detector = Detector.of({**ONE, "gain": 0.05, "lifetime": 1000, "recombination": LAWS[law_name]})
    # 40 cm at 0.16 cm/us are 250 us: exp(-0.25) of the electrons arrive; 20 of them make a count
    electrons = 4.0 / 23.6e-6 * factor
    counts = electrons * math.exp(-0.25) / 50
    voxelize = Voxelize(Voxelize.Options(), Context(detector, torch.device("cpu")))
    out = voxelize(hits([(40, 4.4, 4.4, counts)], quantity=Quantity.CHARGE))
    assert out.energy.values == pytest.approx([4.0], rel=1e-4)


def test_a_late_clock_moves_each_volume_towards_its_own_anode():
    late = [dataclasses.replace(v, t0=10.0 * (i + 1)) for i, v in enumerate(DETECTOR.volumes)]
    detector = dataclasses.replace(DETECTOR, volumes=tuple(late))
    voxelize = Voxelize(Voxelize.Options(), Context(detector, torch.device("cpu")))
    out = voxelize(hits([(-50.1, 0.1, 0.1, 1), (50.1, 0.1, 0.1, 2), (114.9, 0.1, 0.1, 3)]))
    # 1.6 cm towards -x, 3.2 cm towards +x; what would lie behind the anode is outside
    np.testing.assert_allclose(out.position[0][:, 0], [-51.75, 53.25], atol=1e-4)
    assert out.n_hits_outside[0] == 1


def test_a_map_of_displacements_moves_hits(tmp_path):
    path = tmp_path / "map.h5"
    grid = np.array([-100.0, 0.0, 100.0])
    x, y, z = np.meshgrid(grid, grid, grid, indexing="ij")
    shift = np.stack([0.03 * x, 0 * x, 0.02 * z + 0.01 * y], axis=-1)  # linear: exact
    write_map(path, grid, shift=shift)
    detector = dataclasses.replace(DETECTOR, displacement=str(path))
    voxelize = Voxelize(Voxelize.Options(), Context(detector, torch.device("cpu")))
    rows = np.array([[40.0, -20, 60, 1], [110, 0, 0, 2]])  # the second beyond the map
    out = voxelize(hits(rows))
    expected = [[41.2, -20, 61], [113, 0, 0]]
    np.testing.assert_allclose(out.position[0], expected, atol=0.15 + 1e-4)
    with h5py.File(path, "a") as file:
        del file["y"]
    with pytest.raises(ConfigError, match=r"map.h5: .*must hold rising x, y, z"):
        Voxelize(Voxelize.Options(), Context(detector, torch.device("cpu")))


GRID = np.array([-120.0, 10.0, 120.0])


def with_field(path, strength, law_name, grid=GRID, **options):
    """The stage with a map of the field: strength is a function of x, y, z in cm."""
    write_map(path, grid, field=strength(*np.meshgrid(grid, grid, grid, indexing="ij")))
    recombination = Detector.of({**ONE, "recombination": LAWS[law_name]}).recombination
    detector = dataclasses.replace(DETECTOR, field_map=str(path), recombination=recombination)
    options = Voxelize.Options(lifetime=False, path=0.2, **options)
    return Voxelize(options, Context(detector, torch.device("cpu")))


def escaping(law_name, dedx, field):
    """The laws as they are printed, for 1.396 g/cm3."""
    strength = 1.396 * field
    if law_name == "birks":
        return 0.8 / (1 + 0.0486 * dedx / strength)
    alpha, beta = {"box": (0.93, 0.212), "ellipsoid": (0.904, 0.204)}[law_name]
    return np.log(alpha + beta * dedx / strength) / (beta * dedx / strength)


@pytest.mark.parametrize("law_name", LAWS)
@pytest.mark.parametrize("recombination", ["mip", "local"])
@pytest.mark.parametrize(
    "strength", [lambda x, y, z: 0.35 + 0 * x, lambda x, y, z: 0.5 + 1e-3 * x - 5e-4 * y + 2e-4 * z]
)
def test_a_map_of_the_field_gives_each_place_its_own_recombination(
    tmp_path, law_name, recombination, strength
):
    place = 0.3 * np.random.default_rng(3).integers(-380, 380, (50, 3)) + 0.15  # of voxels
    dedx = np.full(50, 2.105) if recombination == "mip" else np.linspace(2.2, 12, 50)
    charge = escaping(law_name, dedx, strength(*place.T)) * dedx * 0.2 / 23.6e-6 / 1000
    rows = np.column_stack([place, charge])
    voxelize = with_field(tmp_path / "map.h5", strength, law_name, recombination=recombination)
    out = voxelize(hits(rows, [], quantity=Quantity.CHARGE))
    order = np.lexsort(place.T[::-1])
    np.testing.assert_allclose(out.position[0], place[order], atol=1e-4)
    np.testing.assert_allclose(out.energy[0], (dedx * 0.2)[order], rtol=1e-5)


def test_beyond_its_map_the_field_is_that_of_the_nearest_face(tmp_path):
    grid = np.array([-50.0, 50.0])
    voxelize = with_field(tmp_path / "map.h5", lambda x, y, z: 0.5 + 2e-3 * x, "birks", grid)
    rows = [(x, 0.1, 0.1, 1.0) for x in (-110, 110)]
    out = voxelize(hits(rows, [(0, 0, 900, 1)], quantity=Quantity.CHARGE))
    np.testing.assert_array_equal(out.energy.counts, [2, 0])
    expected = [0.0236 / escaping("birks", 2.105, field) for field in (0.4, 0.6)]
    np.testing.assert_allclose(out.energy.values, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("strength", "message"),
    [
        (lambda x, y, z: 500.0 + 0 * x, r"500 to 500 kV/cm, and must be 0.01 .*500 V/cm are 0.5"),
        (lambda x, y, z: 0.3 + 0.003 * x, r"map.h5: field is -0.06 to"),
        (lambda x, y, z: 0.5 + np.nan * x, r"map.h5: field and its places must be finite"),
        (lambda x, y, z: np.stack([x, y, z]), r"field \(x, y, z\) \[kV/cm\]"),
    ],
)
def test_maps_of_the_field_that_cannot_be(tmp_path, strength, message):
    with pytest.raises(ConfigError, match=message):
        with_field(tmp_path / "map.h5", strength, "box")


def test_a_map_that_has_no_end_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="its places must be finite"):
        with_field(
            tmp_path / "map.h5", lambda x, y, z: np.full(x.shape, 0.5), "box", np.array([0, np.inf])
        )


def test_absurd_charge_stays_finite():
    out = stage(recombination="local")(hits([(0, 0, 0, 1e8)], quantity=Quantity.CHARGE))
    assert np.isfinite(out.energy.values).all()


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((np.nan, 0, 0, 1), "x, y, z"),
        ((0, 0, np.inf, 1), "x, y, z"),
        ((0, 0, 0, np.nan), "value"),
        ((0, 0, 0, -0.1), "value"),
    ],
)
def test_unusable_hits_are_refused_by_column_and_row(row, column):
    with pytest.raises(InputError, match=f"{column}.*row 1 of event 1"):
        stage()(hits([(0, 0, 0, 1)], [(0, 0, 0, 1), row]))


def test_events_do_not_depend_on_their_batch():
    rng = np.random.default_rng(2)
    events = [np.column_stack([rng.uniform(-9, 9, (n, 3)), rng.random(n)]) for n in (0, 1, 400)]
    whole = stage()(hits(*events))
    for event, rows in enumerate(events):
        alone = stage()(hits(rows))
        np.testing.assert_array_equal(alone.energy[0], whole.energy[event])
        np.testing.assert_array_equal(alone.index[0], whole.index[event])
