"""The heads on the U-Net: shapes, independence of the batch, that they learn."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from reco.nn.backbone import Backbone, BackboneInput, voxel_features
from reco.sparse import build_pyramid


def event(seed: int, steps: int, batch: int = 0) -> np.ndarray:
    """Distinct voxels (N, 4) int32 of a random walk, sorted."""
    rng = np.random.default_rng(seed)
    path = np.unique(np.cumsum(rng.integers(-1, 2, (steps, 3)), axis=0), axis=0)
    return np.insert(path, 0, batch, axis=1).astype(np.int32)


def batch_of(*events: np.ndarray) -> BackboneInput:
    rows = np.concatenate(events)
    energy = torch.rand(len(rows), generator=torch.Generator().manual_seed(len(rows)))
    return BackboneInput(voxel_features(energy, torch.zeros(len(rows))), build_pyramid(rows, 3))


def small() -> Backbone:
    return Backbone(filters=8, levels=3, blocks=1, hidden=8)


def test_features_of_voxels_by_hand():
    energy = torch.tensor([0.0, 1.0, math.e, 50.0, 1e9])
    near_dead = torch.tensor([0.0, 0.5, 0.0, 1.0, 0.0])
    wanted = [
        [math.log(1e-3), 1e-3, 0.0],
        [0.0, 1.0, 0.5],
        [1.0, math.e, 0.0],
        [math.log(50), 10.0, 1.0],
        [math.log(1e3), 10.0, 0.0],
    ]
    torch.testing.assert_close(voxel_features(energy, near_dead), torch.tensor(wanted))


@pytest.mark.parametrize("steps", [0, 1, 2, 200])
def test_shapes(steps):
    batch = batch_of(event(1, steps))
    n = len(batch.features)
    with torch.inference_mode():
        out = small().eval()(batch)
    shapes = {f.name: tuple(getattr(out, f.name).shape) for f in dataclasses.fields(out)}
    assert shapes == {
        "semantic": (n, 5),
        "features": (n, 8),
        "point_score": (n,),
        "point_offset": (n, 3),
        "point_type": (n, 5),
        "affinity": (n, 13),
    }
    assert all(torch.isfinite(getattr(out, name)).all() for name in shapes)
    assert (out.features >= 0).all()


def test_an_event_in_a_batch_is_the_event_alone():
    """To rounding: the last layers are a BLAS of torch, which rounds by the size of its batch;
    the stage passes one event at a time, so that its answers agree to the bit."""
    net = small().eval()
    events = [event(s, 300, batch=s) for s in range(3)]
    whole = batch_of(*events)
    chosen = torch.from_numpy(np.concatenate(events)[:, 0] == 1)
    alone = BackboneInput(whole.features[chosen], build_pyramid(events[1], 3))
    with torch.inference_mode():
        many, one = net(whole), net(alone)
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(many, field.name)[chosen]
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_every_head_learns_and_every_weight_takes_part():
    net = small()
    batch = batch_of(event(2, 200))
    target = {f: torch.randn_like(v) for f, v in vars(net(batch)).items() if f != "features"}
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        out = vars(net(batch))
        terms = [torch.nn.functional.mse_loss(out[f], t) for f, t in target.items()]
        losses.append([float(t.detach()) for t in terms])
        torch.stack(terms).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
        optimizer.step()
    assert (np.array(losses[-1]) < 0.97 * np.array(losses[0])).all()
