"""Batch normalization and leaky ReLU in one pass over memory, for narrow layers on the CPU."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from numba import njit, prange
from torch import nn
from torch.nn import functional as F

from reco.errors import InputError
from reco.sparse.cache import Cache
from reco.sparse.vector import lowered, put

BLOCK_ROWS = 512


class BatchNormLeakyReLU(nn.Module):
    """leaky_relu(batch_norm(x)) over the rows of (N, C), as torch composes it.

    In training, mean and variance are those of all voxels of the batch; in evaluation the
    running ones, so that a row does not depend on the others.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(
        self, channels: int, slope: float = 0.1, momentum: float = 0.1, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.channels, self.slope, self.momentum, self.eps = channels, slope, momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self._cache = Cache()

    def extra_repr(self) -> str:
        return f"{self.channels}, slope={self.slope}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C) to (N, C); N may be 0 or 1. Raises InputError for another number of channels."""
        if x.shape[1] != self.channels:
            raise InputError(f"x: shape {tuple(x.shape)}, expected {self.channels} channels")
        if self.training:
            return self._train(x)
        if torch.is_grad_enabled() or not (_is_fast(x) and _is_fast(self.weight)):
            scale, shift = self.affine()
            return F.leaky_relu(x * scale + shift, self.slope)
        x = x.detach().contiguous()
        half = lowered(x.device)
        out = torch.empty_like(x, dtype=torch.bfloat16 if half else None)
        bits = out.view(torch.int16) if half else out
        _scale_shift_leaky(x.numpy(), *self.affine_arrays(), self.slope, bits.numpy())
        return out

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """scale, shift (C,) of evaluation: leaky_relu(x * scale + shift)."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def affine_arrays(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """`affine` for the CPU, without gradients."""
        # not by their names: a hundred look-ups by name take longer than a small layer
        tensors = cast(
            "tuple[torch.Tensor, ...]", (*self._parameters.values(), *self._buffers.values())
        )
        return self._cache.get(tensors, self._affine_arrays, self.eps)

    def _affine_arrays(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        scale, shift = self.affine()
        return scale.detach().numpy(), shift.detach().numpy()

    def _train(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) == 0:
            return x
        if _is_fast(x):
            arguments = (x, self.weight, self.bias, self.slope, self.eps)
            out, mean, variance = _Fused.apply(*arguments)  # type: ignore[no-untyped-call]
        else:
            mean, variance = x.mean(dim=0), x.var(dim=0, unbiased=False)
            scale = self.weight * torch.rsqrt(variance + self.eps)
            out = F.leaky_relu((x - mean) * scale + self.bias, self.slope)
        self._track(mean.detach(), variance.detach(), len(x))
        return out

    def _track(self, mean: torch.Tensor, variance: torch.Tensor, rows: int) -> None:
        unbiased = variance * (rows / max(rows - 1, 1))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased, self.momentum)


def _is_fast(x: torch.Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu"


class _Fused(torch.autograd.Function):
    """(out, mean, biased variance) of rows (N, C); mean and variance carry no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        slope: float,
        eps: float,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = x.contiguous()
        out = torch.empty_like(x)
        state = _normalize(x.numpy(), weight.numpy(), bias.numpy(), slope, eps, out.numpy())
        ctx.save_for_backward(x)
        ctx.state, ctx.slope = state, slope
        mean, variance = torch.from_numpy(state[0]), torch.from_numpy(state[1])
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        (x,) = ctx.saved_tensors
        result = torch.empty_like(x)
        gradient = gradients[0].contiguous().numpy()
        weight_gradient, bias_gradient = _normalize_backward(
            x.numpy(), gradient, *ctx.state, ctx.slope, result.numpy()
        )
        return (
            result,
            torch.from_numpy(weight_gradient),
            torch.from_numpy(bias_gradient),
            None,
            None,
        )


@njit(cache=True)
def _normalize(x, weight, bias, slope, eps, out):  # type: ignore[no-untyped-def]
    """Write leaky_relu(scale * x + shift); return mean, variance, 1 / deviation, scale, shift."""
    n, channels = x.shape
    sums = _block_moments(x)
    mean = np.zeros(channels, np.float64)
    variance = np.zeros(channels, np.float64)
    for block in range(len(sums)):
        mean += sums[block, 0]
    mean /= n
    for block in range(len(sums)):
        count = min(n - block * BLOCK_ROWS, BLOCK_ROWS)
        variance += sums[block, 1] + count * (sums[block, 0] / count - mean) ** 2
    variance /= n
    inverse = 1.0 / np.sqrt(variance + eps)
    scale = (weight * inverse).astype(np.float32)
    shift = (bias - mean * weight * inverse).astype(np.float32)
    _scale_shift_leaky(x, scale, shift, slope, out)
    mean32, variance32 = mean.astype(np.float32), variance.astype(np.float32)
    return mean32, variance32, inverse.astype(np.float32), scale, shift


@njit(cache=True)
def _normalize_backward(x, gradient, mean, _, inverse, scale, shift, slope, out):  # type: ignore[no-untyped-def]
    """Write the gradient of x; return those of weight and bias.

    With g the gradient before the activation and u = (x - mean) * inverse, mean and inverse
    being functions of x: dx = scale * (g - sum(g) / n - u * sum(g u) / n).
    """
    n, channels = x.shape
    sums = _block_gradient_sums(x, gradient, mean, scale, shift, slope)
    sum_g = np.zeros(channels, np.float64)
    sum_gu = np.zeros(channels, np.float64)
    for block in range(len(sums)):
        sum_g += sums[block, 0]
        sum_gu += sums[block, 1] * inverse
    slope_x = (-scale * inverse * sum_gu / n).astype(np.float32)
    constant = (-scale * sum_g / n - slope_x * mean).astype(np.float32)
    _input_gradient(x, gradient, scale, shift, slope, slope_x, constant, out)
    return sum_gu.astype(np.float32), sum_g.astype(np.float32)


@njit(cache=True, parallel=True)
def _block_moments(x):  # type: ignore[no-untyped-def]
    """Per block of rows: the sum, and the sum of squared deviations from the block's mean."""
    n, channels = x.shape
    blocks = (n + BLOCK_ROWS - 1) // BLOCK_ROWS
    result = np.zeros((blocks, 2, channels), np.float64)
    for block in prange(blocks):
        begin = block * BLOCK_ROWS
        end = min(n, begin + BLOCK_ROWS)
        # Deviations from the first row keep the squares small whatever the mean.
        origin = x[begin]
        total = np.zeros(channels, np.float32)
        squares = np.zeros(channels, np.float32)
        for i in range(begin, end):
            for c in range(channels):
                d = x[i, c] - origin[c]
                total[c] += d
                squares[c] += d * d
        for c in range(channels):
            shift = np.float64(total[c]) / (end - begin)
            result[block, 0, c] = (origin[c] + shift) * (end - begin)
            result[block, 1, c] = squares[c] - shift * total[c]
    return result


@njit(cache=True, parallel=True)
def _scale_shift_leaky(x, scale, shift, slope, out):  # type: ignore[no-untyped-def]
    n, channels = x.shape
    leak = np.float32(slope)
    for block in prange((n + BLOCK_ROWS - 1) // BLOCK_ROWS):
        for i in range(block * BLOCK_ROWS, min(n, (block + 1) * BLOCK_ROWS)):
            for c in range(channels):
                z = x[i, c] * scale[c] + shift[c]
                put(out, i, c, z if z > 0 else leak * z)


@njit(cache=True, parallel=True)
def _block_gradient_sums(x, gradient, mean, scale, shift, slope):  # type: ignore[no-untyped-def]
    """Per block: sums of g and of g (x - mean), g being the gradient before the activation."""
    n, channels = x.shape
    leak = np.float32(slope)
    blocks = (n + BLOCK_ROWS - 1) // BLOCK_ROWS
    result = np.zeros((blocks, 2, channels), np.float64)
    for block in prange(blocks):
        sum_g = np.zeros(channels, np.float32)
        sum_gx = np.zeros(channels, np.float32)
        for i in range(block * BLOCK_ROWS, min(n, (block + 1) * BLOCK_ROWS)):
            for c in range(channels):
                z = x[i, c] * scale[c] + shift[c]
                g = gradient[i, c] if z > 0 else leak * gradient[i, c]
                sum_g[c] += g
                sum_gx[c] += g * (x[i, c] - mean[c])
        for c in range(channels):
            result[block, 0, c] = sum_g[c]
            result[block, 1, c] = sum_gx[c]
    return result


@njit(cache=True, parallel=True)
def _input_gradient(x, gradient, scale, shift, slope, slope_x, constant, out):  # type: ignore[no-untyped-def]
    n, channels = x.shape
    leak = np.float32(slope)
    for block in prange((n + BLOCK_ROWS - 1) // BLOCK_ROWS):
        for i in range(block * BLOCK_ROWS, min(n, (block + 1) * BLOCK_ROWS)):
            for c in range(channels):
                z = x[i, c] * scale[c] + shift[c]
                g = gradient[i, c] if z > 0 else leak * gradient[i, c]
                out[i, c] = scale[c] * g + slope_x[c] * x[i, c] + constant[c]
