"""Views of an event against the plain network on the event turned by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from reco.nn.backbone import Backbone, BackboneInput
from reco.ops.neighbours import OFFSETS
from reco.ops.symmetry import IDENTITY, Symmetry
from reco.sparse import build_pyramid, submanifold_map
from reco.stages.views import VIEWS, _shares, look, opinion


def event(n: int, seed: int = 0) -> tuple[np.ndarray, torch.Tensor]:
    """About n voxels of a dense box, sorted, with three features."""
    rng = np.random.default_rng(seed)
    side = max(2, round((2 * n) ** (1 / 3)))
    index = np.unique(rng.integers(0, side, (n, 3)), axis=0).astype(np.int32)
    return index, torch.from_numpy(rng.normal(size=(len(index), 3)).astype(np.float32))


@pytest.fixture(scope="module")
def net() -> Backbone:
    torch.manual_seed(3)
    return Backbone(filters=4, levels=3, blocks=1, hidden=8).eval()


def linked(index: np.ndarray, affinity: torch.Tensor) -> torch.Tensor:
    """Of neighbours that exist; the others mean nothing."""
    table = torch.from_numpy(submanifold_map(np.insert(index, 0, 0, axis=1)).table[:13])
    return affinity[table.T >= 0]


def by_hand(net: Backbone, index: np.ndarray, features: torch.Tensor, view: Symmetry):
    """What the network says of each voxel and each pair of the turned event, by their places."""
    turned = [tuple(i[view.axes] * view.sign + view.shift) for i in index]
    order = sorted(range(len(index)), key=turned.__getitem__)
    rows = np.array([(0, *turned[i]) for i in order], np.int32)
    with torch.inference_mode():
        out = net(BackboneInput(features[order], build_pyramid(rows, net.levels)))
    place = {turned[i]: i for i in order}
    links = {}
    for row, i in enumerate(order):
        for k in range(13):
            j = place.get(tuple(np.array(turned[i]) + OFFSETS[k]))
            if j is not None:
                links[frozenset((i, j))] = float(out.affinity[row, k].sigmoid())
    return out, order, links


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("n", [1, 2, 150])
def test_a_view_is_the_network_on_the_turned_event(net, view, n):
    index, features = event(n)
    with torch.inference_mode():
        (seen,) = look(net, index, features, [view])
    out, order, links = by_hand(net, index, features, view)
    torch.testing.assert_close(seen.semantic[order], out.semantic.softmax(dim=1))
    torch.testing.assert_close(seen.point_score[order], out.point_score.sigmoid())
    torch.testing.assert_close(seen.features[order], out.features)
    for row, i in enumerate(order):  # the step, turned by hand, is the network's
        step = seen.point_offset[i].numpy()[view.axes] * view.sign
        np.testing.assert_allclose(step, out.point_offset[row], rtol=1e-4, atol=1e-5)
    place = {tuple(i): row for row, i in enumerate(index)}
    for row, i in enumerate(index):
        for k in range(13):
            other = place.get(tuple(i + OFFSETS[k]))
            if other is not None:
                assert links[frozenset((row, other))] == pytest.approx(
                    float(seen.affinity[row, k]), abs=1e-5
                )


def test_the_opinion_is_the_mean_of_the_views(net):
    index, features = event(120)
    with torch.inference_mode():
        views = [look(net, index, features, [view])[0] for view in VIEWS[:4]]
        mean = opinion(net, index, features, VIEWS[:4])
    *views, mean = (replace(part, affinity=linked(index, part.affinity)) for part in (*views, mean))
    for name in ("semantic", "features", "point_score", "point_type", "affinity"):
        wanted = torch.stack([getattr(view, name) for view in views]).mean(dim=0)
        torch.testing.assert_close(getattr(mean, name), wanted)
    score = torch.stack([view.point_score for view in views])[..., None]
    offset = torch.stack([view.point_offset for view in views])
    wanted = (score * offset).sum(dim=0) / score.sum(dim=0)
    torch.testing.assert_close(mean.point_offset, wanted)


def test_a_large_event_has_the_same_mean(net, monkeypatch):
    """Its views go through the network one after the other."""
    index, features = event(200)
    with torch.inference_mode():
        together = opinion(net, index, features, VIEWS[:3])
        monkeypatch.setattr("reco.stages.views.AT_ONCE", 100)
        apart = opinion(net, index, features, VIEWS[:3])
    for name, value in vars(together).items():
        parts = (getattr(apart, name), value)
        if name == "affinity":
            parts = tuple(linked(index, part) for part in parts)
        torch.testing.assert_close(*parts)


def test_shares_are_the_same_bits_with_any_number_of_threads():
    logits = torch.randn(40_003, 5, generator=torch.Generator().manual_seed(1)) * 4
    before = torch.get_num_threads()
    try:
        found = []
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found.append(_shares(logits))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found)
    torch.testing.assert_close(found[0], logits.double().softmax(dim=1).float())


def test_views_differ_in_direction_and_in_the_coarse_grids():
    assert VIEWS[0] is IDENTITY
    turns = {(*view.axes, *view.sign) for view in VIEWS}
    assert len(turns) == len(VIEWS)
    for one, next_one in pairwise(VIEWS):
        assert ((one.shift - next_one.shift) % 32 != 0).all()
