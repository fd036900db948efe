"""The fused batch normalization against torch's own, in training and in evaluation."""

import pytest
import torch
from torch import nn

from reco.errors import InputError
from reco.sparse import BatchNormLeakyReLU, conv, submanifold_map
from reco.sparse.functional import conv_norm

from .conftest import walk


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


@pytest.mark.parametrize("rows", [0, 1, 700])
@pytest.mark.parametrize("channels", [16, 112, 5, 24, 61])
@pytest.mark.parametrize("with_norm", [False, True])
@pytest.mark.parametrize("with_plus", [False, True])
def test_inference_in_one_pass_gives_the_same_bits(rows, channels, with_norm, with_plus):
    fused, _ = pair(channels)
    same = submanifold_map(walk(5, rows))
    fused(torch.randn(50, channels) + 1)
    fused.eval()
    x, weight = torch.randn(same.inputs, 7), torch.randn(27, 7, channels)
    plus = torch.randn(same.outputs, channels) if with_plus else None
    with torch.no_grad():
        got = conv_norm(x, weight, same, norm=fused if with_norm else None, plus=plus)
        want = conv(x, weight, same)
        want = want if plus is None else want + plus
        assert torch.equal(got[0], want)
        assert torch.equal(got[1], fused(want) if with_norm else want)


def test_refuses_a_residual_of_another_shape():
    same = submanifold_map(walk(5, 20))
    x, weight = torch.randn(same.inputs, 4), torch.randn(27, 4, 16)
    with torch.no_grad(), pytest.raises(InputError, match=r"plus: shape \(1, 16\)"):
        conv_norm(x, weight, same, plus=torch.zeros(1, 16))


def test_a_norm_of_other_channels_is_refused():
    m, norm = submanifold_map(walk(3, 20)), BatchNormLeakyReLU(8).eval()
    x, weight = torch.randn(m.inputs, 16), torch.randn(27, 16, 16)
    with torch.inference_mode():
        with pytest.raises(InputError, match="norm: of 8 channels, expected 16"):
            conv_norm(x, weight, m, norm=norm)
        with pytest.raises(InputError, match="expected 8 channels"):
            norm(x)
        plus = torch.randn(m.outputs, 16, dtype=torch.float64)
        got, _ = conv_norm(x, weight, m, plus=plus)
        torch.testing.assert_close(got, conv(x, weight, m) + plus)
