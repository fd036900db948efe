"""Every backend against torch's dense convolution in float64, forward and backward."""

import numba
import numpy as np
import pytest
import torch

from reco.errors import InputError
from reco.sparse import BACKENDS, KernelMap, conv, strided_map, submanifold_map

from .conftest import dense_down, dense_same, dense_up, walk

CHANNELS = [(1, 16), (16, 16), (5, 3), (32, 16), (48, 96), (33, 40)]
INSTALLED = [
    pytest.param(
        name, marks=pytest.mark.skipif(not BACKENDS[name].installed, reason="not installed")
    )
    for name in sorted(BACKENDS)
]
FORWARD_ONLY = {"spconv"}
DEVICES = {"gpu": "cuda"} if torch.cuda.is_available() else {}


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


def compute(
    m: KernelMap, backend: str, x: torch.Tensor, w: torch.Tensor, g: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Result and, where the engine has them, gradients; on the CPU whatever the device."""
    device, backward = DEVICES.get(backend, "cpu"), backend not in FORWARD_ONLY
    x, w = (t.to(device, copy=True).requires_grad_(backward) for t in (x, w))
    out = conv(x, w, m, backend)
    results = {"forward": out}
    if backward:
        out.backward(g.to(device))
        results |= {"input gradient": x.grad, "weight gradient": w.grad}
    return {name: t.detach().cpu() for name, t in results.items()}


def random(m: KernelMap, channels: tuple[int, int], seed: int = 0) -> list[torch.Tensor]:
    """Features, weights, and the gradient of the result."""
    return tensors(seed, (m.inputs, channels[0]), (m.offsets, *channels), (m.outputs, channels[1]))


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("channels", CHANNELS)
def test_agrees_with_dense_convolution(event, channels, kind, backend):
    if backend == "gpu" and not DEVICES:  # the interpreter is slow
        if channels not in [(5, 3), (33, 40)]:
            pytest.skip("one block of channels, and several, are enough in the interpreter")
        event = event[:20]
    oracle = KINDS[kind][1]
    m = kernel_map(kind, event)
    x, w, g = random(m, channels)
    x64, w64 = x.double().requires_grad_(), w.double().requires_grad_()
    forward = oracle(event, x64, w64)
    forward.backward(g.double())
    expected = {"forward": forward, "input gradient": x64.grad, "weight gradient": w64.grad}
    for name, got in compute(m, backend, x, w, g).items():
        want = torch.zeros_like(got) if expected[name] is None else expected[name].detach().float()
        scale = max(float(want.abs().max()), 1.0) if want.numel() else 1.0
        assert got.dtype == torch.float32
        torch.testing.assert_close(
            got, want, rtol=0, atol=3e-6 * scale, msg=lambda s, n=name: n + s
        )


@pytest.mark.parametrize("backend", [p for p in INSTALLED if p.values[0] != "cpu"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_gradients_in_float64(kind, backend):
    if torch.float64 not in (BACKENDS[backend].dtypes or (torch.float64,)):
        pytest.skip("float32 alone, compared with float64 above")
    m = kernel_map(kind, walk(3, 25))
    x, w = tensors(1, (m.inputs, 2), (m.offsets, 2, 3))
    arguments = (x.double().requires_grad_(), w.double().requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: conv(a, b, m, backend), arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.skipif(not BACKENDS["gpu"].installed, reason="not installed")
def test_half_precision_sums_in_single(dtype):
    """Of products of rounded numbers, only the result is rounded again."""
    m = kernel_map("same", walk(4, 40))
    arguments = [t.to(dtype) for t in random(m, (33, 20))]
    expected = compute(m, "reference", *(t.float() for t in arguments))
    for name, got in compute(m, "gpu", *arguments).items():
        assert got.dtype == dtype
        want = expected[name]
        torch.testing.assert_close(
            got.float(), want, rtol=torch.finfo(dtype).eps, atol=1e-4, msg=lambda s, n=name: n + s
        )


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_output_is_written(kind, backend, monkeypatch):
    """Buffers that start as NaN must not show: nothing may rely on fresh memory being zero."""
    m = kernel_map(kind, walk(4, 50 if backend == "gpu" else 300))
    empty, empty_like = torch.empty, torch.empty_like
    arguments = random(m, (16, 32), seed=2)
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(torch.nan))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: empty_like(*a, **k).fill_(torch.nan))
    assert all(torch.isfinite(t).all() for t in compute(m, backend, *arguments).values())


def run(m: KernelMap, backend: str = "cpu") -> list[torch.Tensor]:
    return list(compute(m, backend, *random(m, (16, 32), seed=5)).values())


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
    monkeypatch.setattr("reco.sparse.cpu._tile_rows", lambda *_: rows)
    result = run(kernel_map("same", walk(6, 3000)))
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("channels", [(16, 16), (3, 80)])
def test_same_result_alone_and_in_a_batch(kind, channels, backend):
    """Forward and input gradient of an event, whatever surrounds it and wherever it is.

    Engines of our own give the same bits; a BLAS rounds a row differently in a larger batch, and so
    does numpy, which stands in for the tensor cores where there is no GPU.
    """
    size = 700
    if backend == "gpu" and not DEVICES:
        if channels != (16, 16):
            pytest.skip("one block of channels is enough in the interpreter")
        size = 60
    events = [walk(s, size, batch=s, low=-400 * s) for s in range(3)]
    alone = kernel_map(kind, events[1])
    together = kernel_map(kind, np.concatenate(events))
    before = kernel_map(kind, events[0])
    own_in = slice(before.inputs, before.inputs + alone.inputs)
    own_out = slice(before.outputs, before.outputs + alone.outputs)
    x, w, g = random(together, channels, seed=8)
    many = compute(together, backend, x, w, g)
    one = compute(alone, backend, x[own_in], w, g[own_out])
    exact = backend == "cpu" or (backend == "gpu" and DEVICES)
    tolerance = 0.0 if exact else 1e-5
    for name, rows in (("forward", own_out), ("input gradient", own_in)):
        if name in one:
            torch.testing.assert_close(many[name][rows], one[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_refuses_what_does_not_fit(backend):
    m = submanifold_map(walk(7, 10))
    x, w = tensors(0, (m.inputs, 4), (27, 4, 5))
    for features, weight, match in (
        (x[:-1], w, "features: shape"),
        (x[:, :3], w, "weight: shape"),
        (x, w[:8], "weight: shape"),
        (x, w[0], "weight: shape"),
        (x, w[..., :0], "weight: shape .* at least one of each"),
        (x, w.double(), "weight: torch.float64"),
    ):
        with pytest.raises(InputError, match=match):
            conv(features, weight, m, backend)


def test_refuses_an_unknown_backend_and_a_wrong_dtype():
    m = submanifold_map(walk(7, 10))
    x, w = tensors(0, (m.inputs, 4), (27, 4, 5))
    with pytest.raises(InputError, match="backend: 'tpu', expected 'auto' or one of"):
        conv(x, w, m, "tpu")
    with pytest.raises(InputError, match=r"torch\.float64 on cpu"):
        conv(x.double(), w.double(), m, "cpu")


@pytest.mark.parametrize("backend", [n for n in BACKENDS if not BACKENDS[n].installed])
def test_says_how_to_get_what_is_not_installed(backend):
    m = submanifold_map(walk(7, 10))
    x, w = tensors(0, (m.inputs, 4), (27, 4, 5))
    with pytest.raises(InputError, match=f"backend: '{backend}' needs .*: "):
        conv(x, w, m, backend)


@pytest.mark.skipif(not BACKENDS["spconv"].installed, reason="not installed")
def test_spconv_says_that_it_has_no_gradients():
    m = submanifold_map(walk(7, 10))
    x, w = tensors(0, (m.inputs, 4), (27, 4, 5))
    out = conv(x.requires_grad_(), w, m, "spconv")
    with pytest.raises(InputError, match="computes no gradients"):
        out.sum().backward()


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
