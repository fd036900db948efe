"""Sparse convolution on the CPU: gather a tile, multiply by BLAS, scatter while it is in cache."""

from typing import Any

import numba
import numpy as np
import torch
from numba import njit, prange

from reco.sparse.maps import KernelMap

TILE_ROWS = 512
CHUNK_ROWS = 512


class CpuConv(torch.autograd.Function):
    """The float32 CPU backend; arguments as for `reco.sparse.functional.conv`, unchecked."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap
    ) -> torch.Tensor:
        features, weight = features.contiguous(), weight.contiguous()
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        out = torch.empty(kernel_map.outputs, weight.shape[2])
        _run(features, weight, kernel_map, out, False)
        return out

    @staticmethod
    def backward(
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        features, weight = ctx.saved_tensors
        kernel_map = ctx.kernel_map
        gradient = gradients[0].contiguous()
        feature_gradient = weight_gradient = None
        if ctx.needs_input_grad[0]:
            feature_gradient = torch.empty_like(features)
            _run(gradient, weight, kernel_map.transposed, feature_gradient, True)
        if ctx.needs_input_grad[1]:
            weight_gradient = torch.empty_like(weight)
            pairs = kernel_map.by_offset
            _weight_gradient(
                features.numpy(), gradient.numpy(), *pairs, weight_gradient.numpy(), CHUNK_ROWS
            )
        return feature_gradient, weight_gradient, None


def _run(
    x: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap, out: torch.Tensor, transpose: bool
) -> None:
    if kernel_map.outputs == 0:
        return
    rows = _tile_rows(kernel_map.outputs)
    pairs = kernel_map.tiled(rows)
    _convolve(
        x.numpy(), weight.detach().numpy(), *pairs, out.numpy(), rows, kernel_map.centre, transpose
    )


def _tile_rows(rows: int) -> int:
    """Tiles of the size that stays in L2; smaller where a deep level has few voxels."""
    threads = numba.get_num_threads()
    return TILE_ROWS if threads == 1 else max(32, min(TILE_ROWS, -(-rows // threads)))


@njit(cache=True, parallel=True)
def _convolve(x, weight, sources, targets, starts, out, rows, centre, transpose):  # type: ignore[no-untyped-def]
    offsets = weight.shape[0]
    n = out.shape[0]
    for tile in prange((n + rows - 1) // rows):
        begin = tile * rows
        end = min(n, begin + rows)
        gathered = np.empty((rows, x.shape[1]), np.float32)
        product = np.empty((rows, out.shape[1]), np.float32)
        if centre < 0:
            out[begin:end] = 0
        elif transpose:
            np.dot(x[begin:end], weight[centre].T, out[begin:end])
        else:
            np.dot(x[begin:end], weight[centre], out[begin:end])
        for k in range(offsets):
            first = starts[tile * offsets + k]
            count = starts[tile * offsets + k + 1] - first
            if count == 0:
                continue
            for r in range(count):
                for c in range(x.shape[1]):
                    gathered[r, c] = x[sources[first + r], c]
            if transpose:
                np.dot(gathered[:count], weight[k].T, product[:count])
            else:
                np.dot(gathered[:count], weight[k], product[:count])
            for r in range(count):
                for c in range(out.shape[1]):
                    out[targets[first + r], c] += product[r, c]


@njit(cache=True, parallel=True)
def _weight_gradient(x, gradient, sources, targets, starts, result, chunk):  # type: ignore[no-untyped-def]
    for k in prange(result.shape[0]):
        result[k] = 0
        a = np.empty((chunk, x.shape[1]), np.float32)
        b = np.empty((chunk, gradient.shape[1]), np.float32)
        part = np.empty((x.shape[1], gradient.shape[1]), np.float32)
        stop = starts[k + 1] if len(starts) > k + 1 else 0
        for begin in range(starts[k] if stop > 0 else 0, stop, chunk):
            count = min(chunk, stop - begin)
            for r in range(count):
                for c in range(x.shape[1]):
                    a[r, c] = x[sources[begin + r], c]
                for c in range(gradient.shape[1]):
                    b[r, c] = gradient[targets[begin + r], c]
            np.dot(a[:count].T, b[:count], part)
            for i in range(part.shape[0]):
                for j in range(part.shape[1]):
                    result[k, i, j] += part[i, j]
