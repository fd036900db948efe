"""Every backend against torch's dense convolution in float64, forward and backward."""

import numba
import numpy as np
import pytest
import torch

from reco.errors import InputError
from reco.sparse import KernelMap, conv, strided_map, submanifold_map
from reco.sparse.functional import BACKENDS

from .conftest import dense_down, dense_same, dense_up, walk

CHANNELS = [(1, 16), (16, 16), (5, 3), (32, 16), (48, 96), (33, 40)]


def dense_pointwise(_, x, weight):
    return x @ weight[0]


KINDS = {
    "same": (27, dense_same),
    "down": (8, dense_down),
    "up": (8, dense_up),
    "pointwise": (1, dense_pointwise),
}


def kernel_map(kind: str, event: np.ndarray) -> KernelMap:
    if kind == "same":
        return submanifold_map(event)
    if kind == "pointwise":
        return submanifold_map(event).pointwise
    down = strided_map(event)[1]
    return down if kind == "down" else down.transposed


def tensors(seed: int, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("channels", CHANNELS)
def test_agrees_with_dense_convolution(event, channels, kind, backend):
    offsets, oracle = KINDS[kind]
    m = kernel_map(kind, event)
    values = tensors(0, (m.inputs, channels[0]), (offsets, *channels), (m.outputs, channels[1]))
    x, w, g = values
    x64, w64 = x.double().requires_grad_(), w.double().requires_grad_()
    expected = oracle(event, x64, w64)
    expected.backward(g.double())
    x, w = x.requires_grad_(), w.requires_grad_()
    result = conv(x, w, m, backend)
    result.backward(g)
    assert result.dtype == torch.float32
    for name, got, want in (
        ("forward", result, expected),
        ("input gradient", x.grad, x64.grad),
        ("weight gradient", w.grad, w64.grad),
    ):
        want = torch.zeros_like(got) if want is None else want.float()
        want = want.detach()
        scale = max(float(want.abs().max()), 1.0) if want.numel() else 1.0
        torch.testing.assert_close(
            got, want, rtol=0, atol=3e-6 * scale, msg=lambda s, n=name: n + s
        )


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_reference_gradients_in_float64(kind):
    m = kernel_map(kind, walk(3, 25))
    x, w = tensors(1, (m.inputs, 2), (m.offsets, 2, 3))
    arguments = (x.double().requires_grad_(), w.double().requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: conv(a, b, m), arguments)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_output_is_written(kind, monkeypatch):
    """Buffers that start as NaN must not show: nothing may rely on fresh memory being zero."""
    m = kernel_map(kind, walk(4, 300))
    x, w, g = tensors(2, (m.inputs, 16), (m.offsets, 16, 32), (m.outputs, 32))
    empty, empty_like = torch.empty, torch.empty_like
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(torch.nan))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: empty_like(*a, **k).fill_(torch.nan))
    x, w = x.requires_grad_(), w.requires_grad_()
    out = conv(x, w, m, "cpu")
    out.backward(g)
    assert all(torch.isfinite(t).all() for t in (out, x.grad, w.grad))


def run(m: KernelMap, seed: int = 5, backend: str = "cpu") -> list[torch.Tensor]:
    x, w, g = tensors(seed, (m.inputs, 16), (m.offsets, 16, 32), (m.outputs, 32))
    x, w = x.requires_grad_(), w.requires_grad_()
    out = conv(x, w, m, backend)
    out.backward(g)
    return [out.detach(), x.grad, w.grad]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_same_result_each_time(kind):
    m = kernel_map(kind, walk(6, 3000))
    assert all(torch.equal(a, b) for a, b in zip(run(m), run(m), strict=True))


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_same_bits_on_one_and_two_threads(kind):
    results = []
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results.append(run(kernel_map(kind, walk(6, 3000))))
    numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("rows", [1, 2, 3, 40, 100, 512, 4000])
def test_same_bits_for_any_tile(rows, monkeypatch):
    """What two threads do on a machine that has them: other tiles, same rows."""
    expected = run(kernel_map("same", walk(6, 3000)))
    monkeypatch.setattr("reco.sparse.cpu._tile_rows", lambda _: rows)
    result = run(kernel_map("same", walk(6, 3000)))
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("channels", [(16, 16), (3, 80)])
def test_same_bits_alone_and_in_a_batch(kind, channels):
    """Forward and input gradient of an event, whatever surrounds it and wherever they are."""
    events = [walk(s, 700, batch=s, low=-400 * s) for s in range(3)]
    alone = kernel_map(kind, events[1])
    together = kernel_map(kind, np.concatenate(events))
    before = kernel_map(kind, events[0])
    first, last = before.inputs, before.inputs + alone.inputs
    out_first, out_last = before.outputs, before.outputs + alone.outputs
    x, w, g = tensors(
        8,
        (together.inputs, channels[0]),
        (alone.offsets, *channels),
        (together.outputs, channels[1]),
    )
    x = x.requires_grad_()
    out = conv(x, w, together, "cpu")
    out.backward(g)
    single = x.detach()[first:last].clone().requires_grad_()
    out_single = conv(single, w, alone, "cpu")
    out_single.backward(g[out_first:out_last])
    assert torch.equal(out[out_first:out_last], out_single)
    assert torch.equal(x.grad[first:last], single.grad)


@pytest.mark.parametrize("backend", sorted(BACKENDS))
def test_refuses_what_does_not_fit(backend):
    m = submanifold_map(walk(7, 10))
    x, w = tensors(0, (m.inputs, 4), (27, 4, 5))
    for features, weight, match in (
        (x[:-1], w, "features: shape"),
        (x[:, :3], w, "weight: shape"),
        (x, w[:8], "weight: shape"),
        (x, w[0], "weight: shape"),
        (x, w.double(), "weight: torch.float64"),
    ):
        with pytest.raises(InputError, match=match):
            conv(features, weight, m, backend)


def test_refuses_an_unknown_backend_and_a_wrong_dtype():
    m = submanifold_map(walk(7, 10))
    x, w = tensors(0, (m.inputs, 4), (27, 4, 5))
    with pytest.raises(InputError, match="backend: 'gpu'"):
        conv(x, w, m, "gpu")
    with pytest.raises(InputError, match=r"torch\.float64 on cpu"):
        conv(x.double(), w.double(), m, "cpu")


def test_the_reference_keeps_its_precision_in_mixed_training():
    """As on a GPU with precision bf16-mixed."""
    voxels = walk(3, 40)
    kernel_map = submanifold_map(voxels)
    x = torch.randn(len(voxels), 4, requires_grad=True)
    weight = torch.randn(27, 4, 6, requires_grad=True)
    wanted = conv(x, weight, kernel_map, backend="reference")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = conv(x, weight, kernel_map, backend="reference")
    assert torch.equal(got, wanted)
    got.sum().backward()
    assert x.grad.dtype == weight.grad.dtype == torch.float32
