import numpy as np
import pytest
import torch

from reco.data.products import Hits, Quantity
from reco.data.ragged import Ragged
from reco.detector import Detector
from reco.errors import InputError
from reco.ops import recombination as law
from reco.stages.base import Context
from reco.stages.voxelize import Voxelize

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
