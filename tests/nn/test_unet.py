"""The U-Net: shapes, independence of the batch, translation, gradients, and that it learns."""

import numpy as np
import pytest
import torch

from reco.errors import InputError
from reco.nn.unet import UNet
from reco.sparse import build_pyramid


def walk(seed: int, count: int, batch: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    xyz = np.unique(np.cumsum(rng.integers(-1, 2, (count, 3)), axis=0), axis=0)
    return np.insert(xyz, 0, batch, axis=1).astype(np.int32)


@pytest.fixture(scope="module")
def net() -> UNet:
    """A small network whose running statistics have seen a batch."""
    torch.manual_seed(0)
    unet = UNet(2, filters=16, levels=4, blocks=1)
    voxels = walk(9, 600)
    unet(torch.randn(len(voxels), 2), build_pyramid(voxels, 4))
    return unet.eval()


def test_reference_size():
    count = sum(p.numel() for p in UNet(1).parameters())
    assert count == pytest.approx(4.74e6, rel=1e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 400])
@pytest.mark.parametrize("training", [False, True])
def test_shapes_of_all_levels(count, training):
    net = UNet(3, filters=8, levels=4, blocks=2).train(training)
    pyramid = build_pyramid(walk(1, count), 4)
    outputs = net(torch.randn(pyramid.sizes()[0], 3), pyramid)
    assert net.channels == (32, 24, 16, 8)
    expected = list(zip(reversed(pyramid.sizes()), net.channels, strict=True))
    assert [tuple(o.shape) for o in outputs] == expected
    assert all(torch.isfinite(o).all() for o in outputs)


def test_weights_take_part_in_the_state_under_stable_names(net):
    names = set(net.state_dict())
    assert {"stem.weight", "decoder.0.blocks.0.shortcut.weight", "up.0.conv.weight"} <= names


def test_an_event_gives_the_same_bits_alone_and_in_a_batch(net):
    events = [walk(s, 2000, batch=s) for s in range(3)]
    features = [torch.randn(len(e), 2) for e in events]
    with torch.no_grad():
        alone = net(features[1], build_pyramid(events[1], 4))
        pyramid = build_pyramid(np.concatenate(events), 4)
        batch = net(torch.cat(features), pyramid)
    for level, (one, many) in enumerate(zip(reversed(alone), reversed(batch), strict=True)):
        rows = torch.from_numpy(pyramid.coordinates[level][:, 0] == 1)
        assert torch.equal(one, many[rows])


def test_moving_an_event_by_a_coarse_voxel_changes_nothing(net):
    voxels = walk(2, 300)
    moved = voxels + np.array([0, 8, -16, 80], np.int32)
    x = torch.randn(len(voxels), 2)
    with torch.no_grad():
        assert torch.equal(
            net(x, build_pyramid(voxels, 4))[-1], net(x, build_pyramid(moved, 4))[-1]
        )


def test_single_precision_agrees_with_the_double_precision_reference():
    torch.manual_seed(1)
    net = UNet(2, filters=16, levels=3, blocks=1)
    pyramid = build_pyramid(walk(3, 200), 3)
    x = torch.randn(pyramid.sizes()[0], 2)
    net(x, pyramid)[-1].square().mean().backward()
    single = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net.double()(x.double(), pyramid)[-1].square().mean().backward()
    for got, parameter in zip(single, net.parameters(), strict=True):
        want = parameter.grad.float()
        torch.testing.assert_close(got, want, rtol=0, atol=1e-4 * float(want.abs().max()) + 1e-7)


def test_training_reduces_the_loss():
    torch.manual_seed(2)
    net = UNet(1, filters=8, levels=3, blocks=1)
    voxels = walk(4, 300)
    pyramid = build_pyramid(voxels, 3)
    target = torch.from_numpy((voxels[:, 1] > np.median(voxels[:, 1])).astype(np.float32))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        score = net(torch.ones(len(voxels), 1), pyramid)[-1].mean(dim=1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(score, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_refuses_another_number_of_levels(net):
    voxels = walk(5, 20)
    with pytest.raises(InputError, match="3 levels, expected 4"):
        net(torch.zeros(len(voxels), 2), build_pyramid(voxels, 3))
