"""The backbone as a stage: independence of the batch, smallest events, stored precision."""

import dataclasses

import numpy as np
import pytest
import torch

from reco.data.ragged import Ragged
from reco.detector import Dead
from reco.ops.symmetry import IDENTITY
from reco.sparse.vector import HAS_BFLOAT16
from reco.stages import weights
from reco.stages.segment import Segment, decode
from reco.stages.views import Opinion, look

from .voxel_events import CONTEXT, voxels, walk


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Segment:
    """A small backbone whose running statistics have seen an event."""
    torch.manual_seed(0)
    model = Segment.Model(filters=8, levels=3, blocks=1, hidden=8)
    fresh = Segment(Segment.Options(), CONTEXT)
    fresh.module = fresh.network(model)
    seen = voxels(walk(8, 500))
    index, energy = seen.index[0], seen.energy[0]
    look(fresh.module.train(), index, fresh.features(index, energy), [IDENTITY])
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    weights.write(path, fresh.module, "segment", model.model_dump(), {})
    return Segment(Segment.Options(weights=str(path)), CONTEXT)


def test_sizes_come_from_the_weights(stage):
    assert stage.model.levels == stage.module.levels == 3
    assert not stage.module.training
    assert len(stage.weights_sha256) == 64


def test_an_event_gives_the_same_bits_alone_and_in_a_batch(stage):
    events = [walk(1, 300), np.zeros((0, 3)), walk(2, 800), walk(3, 1)]
    together = stage(voxels(*events))
    for i, event in enumerate(events):
        alone = stage(voxels(event))
        for field in dataclasses.fields(alone):
            a, b = getattr(alone, field.name)[0], getattr(together, field.name)[i]
            assert a.tobytes() == b.tobytes(), field.name


def test_the_same_again_with_another_number_of_threads(stage):
    event = voxels(walk(4, 600))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = stage(event).scores.values
        torch.set_num_threads(2)
        two = stage(event).scores.values
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_smallest_events(stage, count):
    out = stage(voxels(np.array([[5, 5, 5], [5, 5, 6]])[:count]))
    assert len(out) == 1
    for field in dataclasses.fields(out):
        values = getattr(out, field.name).values
        assert len(values) == count
        assert np.isfinite(values).all()
    np.testing.assert_allclose(out.scores.values.sum(axis=1), 1, atol=1e-3)


def test_energies_out_of_any_range_give_finite_answers(stage):
    event = voxels(walk(5, 30))
    for energy in (0.0, 1e-30, 1e30):
        odd = dataclasses.replace(event, energy=Ragged.one(np.full(len(event.energy[0]), energy)))
        assert np.isfinite(stage(odd).scores.values).all()


def test_decoding_by_hand():
    seen = Opinion(
        semantic=torch.tensor([[0.1, 0.2, 0.4, 0.2, 0.1]]),
        features=torch.tensor([[1.0, 2.0]]),
        point_score=torch.tensor([0.5]),
        point_offset=torch.tensor([[1.5, 0.0, -2.0]]),
        point_type=torch.tensor([[0.1, 0.1, 0.1, 0.6, 0.1]]),
        affinity=torch.ones(1, 13),
    )
    out = decode(seen)
    half = np.array([[0.1, 0.2, 0.4, 0.2, 0.1]], np.float16)
    np.testing.assert_array_equal(out.scores[0], half)
    assert out.semantic[0].tolist() == [2]
    assert out.point_score[0].tolist() == [0.5]
    assert out.point_offset[0].tolist() == [[1.5, 0.0, -2.0]]
    assert out.point_type[0].tolist() == [3]
    assert out.affinity[0].tolist() == [[1.0] * 13]


def test_lower_precision_moves_scores_a_little_and_only_where_it_is_asked_for(stage):
    lowered = Segment(stage.options, dataclasses.replace(CONTEXT, precision=torch.bfloat16))
    event = voxels(walk(4, 600))
    full, low = stage(event), lowered(event)
    assert low.scores.values.dtype == np.float32
    np.testing.assert_allclose(low.scores.values, full.scores.values, rtol=0, atol=0.05)
    same = np.array_equal(low.scores.values, full.scores.values)
    assert same != HAS_BFLOAT16


def test_it_is_told_where_the_readout_is_dead(stage):
    event = voxels(walk(6, 200))
    index, energy = event.index[0], event.energy[0]
    assert not stage.features(index, energy)[:, 2].any()
    detector = CONTEXT.detector
    centre = event.position[0][100].astype(float)
    dead = (Dead(tuple(centre - 0.45), tuple(centre + 0.45)),)
    told = Segment(
        stage.options,
        dataclasses.replace(CONTEXT, detector=dataclasses.replace(detector, dead=dead)),
    )
    near = told.features(index, energy)[:, 2].numpy()
    touching = np.abs(index - index[100]).max(axis=1) <= 1
    assert (near[touching] == 1).all()
    beyond = np.abs(index - index[100]).max(axis=1) > 2
    assert (near[beyond] < 1).all()


def test_more_views_are_another_opinion(stage):
    event = voxels(walk(7, 300))
    one, two = (
        Segment(stage.options.model_copy(update={"views": n}), CONTEXT)(event) for n in (1, 2)
    )
    assert not np.array_equal(one.scores.values, two.scores.values)
    np.testing.assert_allclose(two.scores.values.sum(axis=1), 1, atol=2e-3)
