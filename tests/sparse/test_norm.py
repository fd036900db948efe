"""The fused batch normalization against torch's own, in training and in evaluation."""

import pytest
import torch
from torch import nn

from reco.sparse import BatchNormLeakyReLU


def pair(channels: int) -> tuple[BatchNormLeakyReLU, nn.Sequential]:
    torch.manual_seed(0)
    fused, plain = BatchNormLeakyReLU(channels), nn.BatchNorm1d(channels)
    with torch.no_grad():
        fused.weight.copy_(torch.randn(channels))
        fused.bias.copy_(torch.randn(channels))
        plain.weight.copy_(fused.weight)
        plain.bias.copy_(fused.bias)
    return fused, nn.Sequential(plain, nn.LeakyReLU(0.1)).double()


@pytest.mark.parametrize("rows", [2, 3, 511, 512, 513, 2000])
@pytest.mark.parametrize("channels", [1, 16, 33])
@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_training_agrees_with_torch(rows, channels, offset):
    fused, plain = pair(channels)
    x = torch.randn(rows, channels) * 3 + offset
    g = torch.randn(rows, channels)
    a, b = x.clone().requires_grad_(), x.double().requires_grad_()
    out, expected = fused(a), plain(b)
    out.backward(g)
    expected.backward(g.double())
    assert a.grad is not None
    assert b.grad is not None
    tolerance = 2e-4 if offset else 2e-5
    for got, want in (
        (out, expected),
        (a.grad, b.grad),
        (fused.weight.grad, plain[0].weight.grad),
        (fused.bias.grad, plain[0].bias.grad),
        (fused.running_mean, plain[0].running_mean),
        (fused.running_var, plain[0].running_var),
    ):
        scale = max(1.0, float(want.detach().abs().max()))
        torch.testing.assert_close(got.double(), want, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("grad", [False, True])
def test_evaluation_agrees_with_torch_and_is_independent_of_other_rows(grad):
    fused, plain = pair(16)
    x = torch.randn(100, 16)
    fused(x)
    plain(x.double())
    fused.eval()
    plain.eval()
    with torch.set_grad_enabled(grad):
        out = fused(x)
        torch.testing.assert_close(out.double(), plain(x.double()), rtol=0, atol=2e-6)
        assert torch.equal(out[40:50], fused(x[40:50]))


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("training", [False, True])
def test_none_and_one_row(rows, training):
    fused = BatchNormLeakyReLU(4).train(training)
    x = torch.randn(rows, 4, requires_grad=True)
    out = fused(x)
    out.sum().backward()
    assert out.shape == (rows, 4)
    assert torch.isfinite(out).all()
    assert torch.isfinite(fused.running_var).all()


def test_double_precision_agrees_with_single():
    fused, _ = pair(16)
    x = torch.randn(50, 16)
    single = fused(x)
    torch.testing.assert_close(fused.double()(x.double()).float(), single, rtol=0, atol=1e-5)
