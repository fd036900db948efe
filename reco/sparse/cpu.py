"""Sparse convolution on the CPU: tiles of output rows that stay in cache, vector blocks inside.

A row of the result is summed over the kernel offsets in ascending order, and over the channels
in ascending order, whatever the tile, the number of threads and the other rows: the same voxels
give the same bits alone or in a batch. The weight gradient sums over pairs in a fixed order.
"""

from typing import Any

import numba
import torch
from numba import njit, prange
from torch.nn import functional as F

from reco.sparse.maps import KernelMap
from reco.sparse.vector import BLOCKING, LANES, multiply_block, outer_block

TILE_ROWS = 512
CHUNK_PAIRS = 128


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


def _forward(
    x: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap, reverse: bool = False
) -> torch.Tensor:
    channels = weight.shape[2]
    weight = _pad_columns(weight.detach()).contiguous()
    out = torch.empty(kernel_map.outputs, weight.shape[2])
    rows = _tile_rows(kernel_map.outputs)
    _convolve(x.numpy(), weight.numpy(), *kernel_map.tiled(rows), out.numpy(), rows, reverse)
    return _drop_columns(out, channels)


def _feature_gradient(
    gradient: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap
) -> torch.Tensor:
    turned = weight.detach().transpose(1, 2)
    if kernel_map.symmetric:
        return _forward(gradient, turned, kernel_map, reverse=True)
    return _forward(gradient, turned, kernel_map.transposed)


def _weight_gradient(
    x: torch.Tensor, gradient: torch.Tensor, kernel_map: KernelMap
) -> torch.Tensor:
    channels = gradient.shape[1]
    gradient = _pad_columns(gradient).contiguous()
    out = torch.zeros(kernel_map.offsets, x.shape[1], gradient.shape[1])
    _add_outer_products(x.numpy(), gradient.numpy(), *kernel_map.by_offset, out.numpy())
    return _drop_columns(out, channels)


def _pad_columns(x: torch.Tensor) -> torch.Tensor:
    missing = -x.shape[-1] % LANES
    return F.pad(x, (0, missing)) if missing else x


def _drop_columns(x: torch.Tensor, channels: int) -> torch.Tensor:
    return x if x.shape[-1] == channels else x[..., :channels].contiguous()


def _tile_rows(rows: int) -> int:
    """Tiles of the size that stays in L2; smaller where a deep level has few voxels."""
    return max(32, min(TILE_ROWS, -(-rows // numba.get_num_threads())))


_multiply1, _multiply2, _multiply3 = (
    multiply_block(rows, vectors) for vectors, rows in enumerate(BLOCKING.multiply, start=1)
)
_outer1, _outer2, _outer3 = (outer_block(BLOCKING.outer, vectors) for vectors in (1, 2, 3))
_outer_row = outer_block(1, 1)
_ROWS1, _ROWS2, _ROWS3 = BLOCKING.multiply
_OUTER_ROWS = BLOCKING.outer


@njit(inline="always")
def _vectors(columns):  # type: ignore[no-untyped-def]
    """Vectors in the next block of columns: 3 at a time, but 4 as 2 + 2."""
    left = columns // LANES
    if left == 3 or left > 4:
        return 3
    return 2 if left > 1 else 1


@njit(cache=True, parallel=True)
def _convolve(x, weight, sources, targets, starts, out, rows, reverse):  # type: ignore[no-untyped-def]
    offsets, _, columns = weight.shape
    n = len(out)
    for tile in prange((n + rows - 1) // rows):
        out[tile * rows : min(n, (tile + 1) * rows)] = 0
        for k in range(offsets):
            first = starts[tile * offsets + k]
            stop = starts[tile * offsets + k + 1]
            w = offsets - 1 - k if reverse else k
            column = 0
            while column < columns:
                vectors = _vectors(columns - column)
                if vectors == 3:
                    for p in range(first, stop, _ROWS3):
                        valid = min(_ROWS3, stop - p)
                        _multiply3(x, sources, targets, p, valid, weight, w, column, out)
                elif vectors == 2:
                    for p in range(first, stop, _ROWS2):
                        valid = min(_ROWS2, stop - p)
                        _multiply2(x, sources, targets, p, valid, weight, w, column, out)
                else:
                    for p in range(first, stop, _ROWS1):
                        valid = min(_ROWS1, stop - p)
                        _multiply1(x, sources, targets, p, valid, weight, w, column, out)
                column += vectors * LANES


@njit(cache=True, parallel=True)
def _add_outer_products(x, gradient, sources, targets, starts, out):  # type: ignore[no-untyped-def]
    offsets, channels, columns = out.shape
    blocked = channels - channels % _OUTER_ROWS
    for k in prange(min(offsets, len(starts) - 1)):
        for first in range(starts[k], starts[k + 1], CHUNK_PAIRS):
            stop = min(first + CHUNK_PAIRS, starts[k + 1])
            column = 0
            while column < columns:
                vectors = _vectors(columns - column)
                for row in range(0, blocked, _OUTER_ROWS):
                    if vectors == 3:
                        _outer3(x, gradient, sources, targets, first, stop, k, row, column, out)
                    elif vectors == 2:
                        _outer2(x, gradient, sources, targets, first, stop, k, row, column, out)
                    else:
                        _outer1(x, gradient, sources, targets, first, stop, k, row, column, out)
                column += vectors * LANES
            for row in range(blocked, channels):
                for c in range(0, columns, LANES):
                    _outer_row(x, gradient, sources, targets, first, stop, k, row, c, out)
