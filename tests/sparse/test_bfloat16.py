"""Inference with products of bfloat16 on the CPU, against float64 on numbers rounded beforehand."""

import numba
import numpy as np
import pytest
import torch

from reco.sparse import BatchNormLeakyReLU, KernelMap, conv
from reco.sparse.cache import Cache
from reco.sparse.functional import conv_norm
from reco.sparse.vector import HAS_BFLOAT16

from .conftest import walk
from .test_conv import KINDS, kernel_map, tensors

pytestmark = pytest.mark.skipif(not HAS_BFLOAT16, reason="the processor has no bfloat16")


def rounded(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.bfloat16).double()


def lower() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def norm_of(channels: int) -> BatchNormLeakyReLU:
    torch.manual_seed(1)
    norm = BatchNormLeakyReLU(channels)
    norm(torch.randn(50, channels) + 1)
    return norm.eval()


def run(m: KernelMap, channels: int = 48, tensors_of: slice = slice(None)) -> list[torch.Tensor]:
    """x and norm(x) of a convolution of this width with a residual."""
    x, weight = tensors(5, (3000, 32), (m.offsets, 32, channels))
    with torch.no_grad(), lower():
        return list(conv_norm(x[tensors_of][: m.inputs], weight, m, norm=norm_of(channels)))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("channels", [(1, 16), (16, 16), (5, 24), (33, 48), (64, 13), (6, 112)])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_agrees_with_dense_convolution_of_rounded_numbers(event, kind, channels, given):
    m = kernel_map(kind, event)
    shapes = ((m.inputs, channels[0]), (m.offsets, *channels), (m.outputs, channels[1]))
    x, weight, plus = tensors(3, *shapes)
    norm = norm_of(channels[1])
    want = KINDS[kind][1](event, rounded(x), rounded(weight)) + plus.double()
    with torch.no_grad(), lower():
        got, activated = conv_norm(x.to(given), weight, m, norm=norm, plus=plus)
    with torch.no_grad():
        follows = norm(got)
    scale = max(float(want.abs().max()), 1.0) if want.numel() else 1.0
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want.float(), rtol=0, atol=3e-6 * scale)
    assert torch.equal(activated, follows.to(torch.bfloat16))


@pytest.mark.parametrize("rows", [1, 3, 100, 512, 4000])
def test_same_bits_for_any_tile(rows, monkeypatch):
    expected = run(kernel_map("same", walk(6, 3000)))
    monkeypatch.setattr("reco.sparse.cpu._tile_rows", lambda *_: rows)
    result = run(kernel_map("same", walk(6, 3000)))
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_same_bits_on_one_and_two_threads():
    results, before = [], numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results.append(run(kernel_map("same", walk(6, 3000))))
    numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_same_bits_alone_and_in_a_batch():
    events = [walk(s, 700, batch=s, low=-400 * s) for s in range(3)]
    together = kernel_map("same", np.concatenate(events))
    own = slice(len(events[0]), len(events[0]) + len(events[1]))
    alone = run(kernel_map("same", events[1]), tensors_of=own)
    assert all(torch.equal(a, b[own]) for a, b in zip(alone, run(together), strict=True))


def test_numbers_are_rounded_as_torch_rounds_them():
    x = torch.randint(-(2**31), 2**31, (4096, 16), dtype=torch.int64).to(torch.int32)
    x = x.view(torch.float32)  # NaN, infinities, ties and denormals among them
    x[0, :3] = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, torch.inf])
    norm = BatchNormLeakyReLU(16, slope=1.0, eps=0.0).eval()
    with torch.no_grad(), lower():
        got = norm(x)
    want = (x * 1.0 + 0.0).to(torch.bfloat16)
    assert torch.equal(got.isnan(), want.isnan())
    assert torch.equal(got.nan_to_num(), want.nan_to_num())


def test_training_is_never_lowered():
    m = kernel_map("same", walk(3, 300))
    x, weight = tensors(0, (m.inputs, 16), (27, 16, 16))
    weight.requires_grad_()
    with lower():
        got, _ = conv_norm(x, weight, m)
    assert torch.equal(got, conv(x, weight, m))


def test_a_processor_without_it_computes_in_single_precision(monkeypatch):
    m = kernel_map("same", walk(3, 300))
    x, weight = tensors(0, (m.inputs, 16), (27, 16, 16))
    monkeypatch.setattr("reco.sparse.vector.HAS_BFLOAT16", False)
    with torch.no_grad(), lower():
        got, activated = conv_norm(x, weight, m, norm=norm_of(16))
        assert torch.equal(got, conv(x, weight, m))
    assert activated.dtype == torch.float32


@pytest.mark.parametrize("precise", [True, False])
def test_weights_that_change_are_packed_again(precise):
    m, cache = kernel_map("same", walk(3, 300)), Cache()
    x, weight = tensors(0, (m.inputs, 16), (27, 16, 16))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=not precise):
        before, _ = conv_norm(x, weight, m, cache=cache)
        again, _ = conv_norm(x, weight, m, cache=cache)
        weight *= 2
        after, _ = conv_norm(x, weight, m, cache=cache)
    assert torch.equal(before, again)
    assert torch.equal(after, 2 * before)


def test_what_needs_a_gradient_elsewhere_needs_none_here():
    m = kernel_map("same", walk(3, 300))
    x, weight, plus = (
        t.requires_grad_() for t in tensors(0, (m.inputs, 16), (27, 16, 16), (m.outputs, 16))
    )
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            got = conv_norm(x, weight, m, norm=norm_of(16), plus=plus)
        assert not any(t.requires_grad for t in got)
