"""Sparse convolution on the CPU: tiles of output rows that stay in cache, vector blocks inside.

A row of the result is one chain of multiply-adds, over the kernel offsets in ascending order and
over the channels in ascending order, whatever the tile, the number of threads and the other rows:
the same voxels give the same bits alone or in a batch. The weight gradient sums over pairs in a
fixed order.

In bfloat16, for inference alone, features and weights are rounded; products are summed in float32.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import get_num_threads, njit, prange
from torch.nn import functional as F

from reco.sparse.cache import Cache
from reco.sparse.maps import KernelMap
from reco.sparse.norm import BatchNormLeakyReLU
from reco.sparse.vector import (
    BLOCKING,
    LANES,
    LINE,
    finish_row,
    multiply_block,
    next_task,
    outer_block,
)

Float32 = npt.NDArray[np.float32]
Words = npt.NDArray[Any]
"""float32, or bfloat16: two as an int32, one as an int16."""

TILE_ROWS = 512
"""Of the weight gradient, whose sums go from tile to tile."""


class After(NamedTuple):
    """What follows a convolution, each where it is not empty, see `vector.finish_row`.

    scale, shift: (C_out,) float32. plus: (outputs, C_out) float32.
    """

    scale: Float32
    shift: Float32
    slope: float
    plus: Float32


_NO_OUT = torch.empty(0, 0)
_NO_ROWS, _NO_BITS = np.empty((0, 0), np.float32), np.empty((0, 0), np.int16)
_NOTHING = After(np.empty(0, np.float32), np.empty(0, np.float32), 0.0, _NO_ROWS)


def fusible(
    features: torch.Tensor,
    weight: torch.Tensor,
    norm: BatchNormLeakyReLU | None,
    plus: torch.Tensor | None,
    half: bool,
) -> bool:
    """Whether `fused` may be called: for inference on the CPU, with all but features float32."""
    if torch.is_grad_enabled() or (norm is not None and norm.training):
        return False
    for t in (weight, plus, norm and norm.weight):
        if t is not None and not (t.dtype == torch.float32 and t.is_cpu):
            return False
    lower = half and features.dtype == torch.bfloat16
    return features.is_cpu and (features.dtype == torch.float32 or lower)


def fused(
    features: torch.Tensor,
    weight: torch.Tensor,
    kernel_map: KernelMap,
    norm: BatchNormLeakyReLU | None,
    plus: torch.Tensor | None,
    cache: Cache,
    keep: bool,
    half: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `reco.sparse.functional.conv_norm`, unchecked; the first without rows unless to `keep`.

    The bits are those of one after the other: they are done to a tile while it is in cache.
    """
    packed = cache.get((weight,), partial(_packed, weight, half), half)
    features = features.detach()
    x = (_pairs_of_channels(features) if half else features.contiguous()).numpy()
    residual = _NO_ROWS if plus is None else plus.detach().contiguous().numpy()
    rows, columns = kernel_map.outputs, weight.shape[2]
    if norm is None:
        out = torch.empty(rows, columns)
        none = _NO_BITS if half else _NO_ROWS
        _run(x, packed, True, kernel_map, out.numpy(), none, _NOTHING._replace(plus=residual))
        return out, out
    after = After(*norm.affine_arrays(), norm.slope, residual)
    out = torch.empty(rows, columns) if keep else _NO_OUT
    kept = out.numpy() if keep else _NO_ROWS
    if half:
        activated = torch.empty(rows, columns, dtype=torch.bfloat16)
        bits = activated.view(torch.int16).numpy()
    else:
        activated = torch.empty(rows, columns)
        bits = activated.numpy()
    _run(x, packed, True, kernel_map, kept, bits, after)
    return out, activated


def _pairs_of_channels(features: torch.Tensor) -> torch.Tensor:
    """(N, C) to (N, C / 2 rounded up) int32: bfloat16 of an even channel and of the next."""
    if features.shape[1] % 2:
        features = F.pad(features, (0, 1))
    return features.to(torch.bfloat16).contiguous().view(torch.int32)


def _packed(weight: torch.Tensor, half: bool) -> Words:
    """(K, C_in, C_out) to one vector: block of columns by block of columns, each (K, C_in, .).

    half: to bfloat16, in int32 as `_pairs_of_channels`.
    """
    weight = _pad_columns(weight.detach())
    if half:
        weight = F.pad(weight, (0, 0, 0, weight.shape[1] % 2)).to(torch.bfloat16)
        offsets, channels, columns = weight.shape
        weight = weight.view(offsets, channels // 2, 2, columns).transpose(2, 3).contiguous()
        weight = weight.view(torch.int32)[..., 0]
    columns = weight.shape[2]
    blocks = _column_blocks(columns)
    firsts = [_column_block(columns, block, blocks) for block in range(blocks)]
    parts = [weight[..., c : c + n * LANES].flatten() for c, n in firsts]
    packed: Words = torch.cat(parts).numpy()
    return packed


class CpuConv(torch.autograd.Function):
    """The float32 CPU backend; arguments as for `reco.sparse.functional.conv`, unchecked."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap
    ) -> torch.Tensor:
        features = features.contiguous()
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        return _forward(features, weight, kernel_map)

    @staticmethod
    def backward(
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        features, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        feature_gradient = weight_gradient = None
        if ctx.needs_input_grad[0]:
            feature_gradient = _feature_gradient(gradient, weight, ctx.kernel_map)
        if ctx.needs_input_grad[1]:
            weight_gradient = _weight_gradient(features, gradient, ctx.kernel_map)
        return feature_gradient, weight_gradient, None


def _forward(x: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    out = torch.empty(kernel_map.outputs, weight.shape[2])
    weight = _pad_columns(weight.detach()).flatten()
    _run(x.numpy(), weight.numpy(), False, kernel_map, out.numpy(), _NO_ROWS, _NOTHING)
    return out


def _run(
    x: Words,
    weight: Words,
    packed: bool,
    kernel_map: KernelMap,
    out: Float32,
    activated: Words,
    after: After,
) -> None:
    threads = _threads()
    rows = _tile_rows(kernel_map.outputs, threads)
    channels = max(out.shape[1], activated.shape[1])
    arrays = (x, weight, packed, *kernel_map.runs(rows), channels, out, activated)
    _convolve(*arrays, *after, rows, threads)


def _feature_gradient(
    gradient: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap
) -> torch.Tensor:
    turned = torch.empty(weight.shape[0], weight.shape[2], weight.shape[1])
    symmetric = kernel_map.symmetric
    _turn(weight.detach().contiguous().numpy(), symmetric, turned.numpy())
    return _forward(gradient, turned, kernel_map if symmetric else kernel_map.transposed)


def _weight_gradient(
    x: torch.Tensor, gradient: torch.Tensor, kernel_map: KernelMap
) -> torch.Tensor:
    channels = gradient.shape[1]
    gradient = _pad_columns(gradient).contiguous()
    out = torch.zeros(kernel_map.offsets, x.shape[1], gradient.shape[1])
    arrays = (x.numpy(), gradient.numpy(), *kernel_map.tiled(TILE_ROWS), out.numpy())
    _add_outer_products(*arrays, _threads())
    return _drop_columns(out, channels)


def _threads() -> int:
    return int(get_num_threads())


def _pad_columns(x: torch.Tensor) -> torch.Tensor:
    missing = -x.shape[-1] % LANES
    return F.pad(x, (0, missing)) if missing else x


def _drop_columns(x: torch.Tensor, channels: int) -> torch.Tensor:
    return x if x.shape[-1] == channels else x[..., :channels].contiguous()


def _tile_rows(rows: int, threads: int) -> int:
    """Tiles of equal size that stay in L2; smaller where few voxels are left to many threads."""
    most = 1024 if threads == 1 else max(128, min(640, -(-rows // (4 * threads))))
    return max(1, -(-rows // max(1, round(rows / most))))


_multiply1, _multiply2, _multiply3 = (
    multiply_block(rows, vectors) for vectors, rows in enumerate(BLOCKING.multiply, start=1)
)
_ROWS1, _ROWS2, _ROWS3 = BLOCKING.multiply
_outer1, _outer2, _outer3 = (outer_block(BLOCKING.outer, vectors) for vectors in (1, 2, 3))
_outer_row = outer_block(1, 1)
_OUTER_ROWS = BLOCKING.outer


@njit(cache=True)
def _column_blocks(columns):  # type: ignore[no-untyped-def]
    return (columns // LANES + 2) // 3


@njit(cache=True)
def _column_block(columns, block, blocks):  # type: ignore[no-untyped-def]
    """First column and number of vectors of a block; they differ by one vector at most."""
    first = columns // LANES * block // blocks
    return first * LANES, columns // LANES * (block + 1) // blocks - first


@njit(cache=True, parallel=True)
def _convolve(  # type: ignore[no-untyped-def]
    x, weight, packed, sources, targets, starts, offsets, lengths, channels, out, activated, scale,
    shift, slope, plus, rows, threads,
):  # fmt: skip
    """Threads take tasks, a tile of rows and a block of columns each, until none is left."""
    outputs = max(len(out), len(activated))
    columns = (channels + LANES - 1) // LANES * LANES
    blocks = _column_blocks(columns)
    tasks = (outputs + rows - 1) // rows * blocks
    counter = np.zeros(1, np.int64)
    for _ in prange(threads):
        sums = np.empty((rows, 3 * LANES), np.float32)
        task = next_task(counter)
        while task < tasks:
            column, vectors = _column_block(columns, task % blocks, blocks)
            tile = task // blocks
            first, stop = tile * rows, min(outputs, (tile + 1) * rows)
            sums[: stop - first] = 0
            _add_products(
                x, weight, packed, sources, targets, starts[tile], offsets, lengths, columns,
                column, vectors, sums,
            )  # fmt: skip
            end = min(channels, column + vectors * LANES)
            for i in range(first, stop):
                finish_row(
                    sums, i - first, column, end, out, activated, i, scale, shift, slope, plus
                )
            task = next_task(counter)


@njit(cache=True)
def _add_products(  # type: ignore[no-untyped-def]
    x, weight, packed, sources, targets, starts, offsets, lengths, columns, column, vectors, sums
):
    """Add to sums, of the rows of a tile and `vectors` * LANES columns from `column` on."""
    channels = x.shape[1]
    step = vectors * LANES if packed else columns
    begin = column * (len(weight) // columns) if packed else column
    end = starts[-1]
    rows = _ROWS3 if vectors == 3 else _ROWS2 if vectors == 2 else _ROWS1
    ahead = stop_ahead = 0
    for g in range(len(offsets)):
        length = lengths[g]
        w = begin + offsets[g] * channels * step
        if packed and length == lengths[0]:  # the weights that come after those of this column
            ahead = w + length * channels * step
            stop_ahead = min(len(weight), ahead + length * channels * step)
        for p in range(starts[g], starts[g + 1], rows):
            n, ask = min(rows, starts[g + 1] - p), w
            if ahead < stop_ahead:
                ask = ahead
                ahead += length * channels * LINE
            if vectors == 3:
                _multiply3(x, sources, targets, p, n, end, length, weight, w, step, ask, sums)
            elif vectors == 2:
                _multiply2(x, sources, targets, p, n, end, length, weight, w, step, ask, sums)
            else:
                _multiply1(x, sources, targets, p, n, end, length, weight, w, step, ask, sums)


@njit(cache=True, parallel=True)
def _turn(weight, reverse, out):  # type: ignore[no-untyped-def]
    """Transpose the matrix of each offset, so many rows at a time as a cache line holds."""
    offsets, rows, columns = weight.shape
    for k in prange(offsets):
        to = offsets - 1 - np.int64(k) if reverse else np.int64(k)
        for first in range(0, rows, 16):
            for c in range(columns):
                for r in range(first, min(rows, first + 16)):
                    out[to, c, r] = weight[k, r, c]


@njit(cache=True, parallel=True)
def _add_outer_products(x, gradient, sources, targets, starts, out, threads):  # type: ignore[no-untyped-def]
    """Threads take tasks: some rows of out each, of a few offsets where rows alone are too few."""
    offsets, channels, _ = out.shape
    blocks = (channels + _OUTER_ROWS - 1) // _OUTER_ROWS
    rows = (blocks + threads - 1) // threads * _OUTER_ROWS
    parts = (channels + rows - 1) // rows
    group = offsets if parts >= threads else (offsets + 2) // 3
    tasks = (offsets + group - 1) // group * parts
    counter = np.zeros(1, np.int64)
    for _ in prange(threads):
        task = next_task(counter)
        while task < tasks:
            row, k0 = task % parts * rows, task // parts * group
            stop_row, stop_k = min(channels, row + rows), min(offsets, k0 + group)
            for tile in range((len(starts) - 1) // offsets):
                for k in range(k0, stop_k):
                    first, stop = starts[tile * offsets + k], starts[tile * offsets + k + 1]
                    if first < stop:
                        _add_rows(x, gradient, sources, targets, first, stop, k, row, stop_row, out)
            task = next_task(counter)


@njit(cache=True)
def _add_rows(x, gradient, sources, targets, first, stop, k, row, stop_row, out):  # type: ignore[no-untyped-def]
    columns = out.shape[2]
    blocks = _column_blocks(columns)
    whole = stop_row - (stop_row - row) % _OUTER_ROWS
    for block in range(blocks):
        column, vectors = _column_block(columns, block, blocks)
        for r in range(row, whole, _OUTER_ROWS):
            if vectors == 3:
                _outer3(x, gradient, sources, targets, first, stop, k, r, column, out)
            elif vectors == 2:
                _outer2(x, gradient, sources, targets, first, stop, k, r, column, out)
            else:
                _outer1(x, gradient, sources, targets, first, stop, k, r, column, out)
    for r in range(whole, stop_row):
        for c in range(0, columns, LANES):
            _outer_row(x, gradient, sources, targets, first, stop, k, r, c, out)
