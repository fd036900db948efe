"""Batch normalization and leaky ReLU in one pass over memory, for narrow layers on the CPU."""

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import nn
from torch.nn import functional as F

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
        self.slope, self.momentum, self.eps = slope, momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, slope={self.slope}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C) to (N, C); N may be 0 or 1."""
        if self.training:
            return self._train(x)
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        if torch.is_grad_enabled() or not _is_fast(x):
            return F.leaky_relu(x * scale + shift, self.slope)
        x = x.detach().contiguous()
        out = torch.empty_like(x)
        _scale_shift_leaky(x.numpy(), scale.numpy(), shift.numpy(), self.slope, out.numpy())
        return out

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
        mean, variance = _moments(x.numpy())
        inverse = 1.0 / np.sqrt(variance + eps)
        scale = (weight.numpy() * inverse).astype(np.float32)
        shift = (bias.numpy() - mean * weight.numpy() * inverse).astype(np.float32)
        out = torch.empty_like(x)
        _scale_shift_leaky(x.numpy(), scale, shift, slope, out.numpy())
        ctx.save_for_backward(x)
        ctx.state = mean, inverse, scale, shift, slope
        mean32 = torch.from_numpy(mean.astype(np.float32))
        variance32 = torch.from_numpy(variance.astype(np.float32))
        ctx.mark_non_differentiable(mean32, variance32)
        return out, mean32, variance32

    @staticmethod
    def backward(
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        (x,) = ctx.saved_tensors
        mean, inverse, scale, shift, slope = ctx.state
        rows, gradient = x.numpy(), gradients[0].contiguous().numpy()
        sum_g, sum_gx = _gradient_sums(rows, gradient, scale, shift, slope)
        sum_gn = (sum_gx - mean * sum_g) * inverse
        # d/dx of (x - mean) * inverse * weight, with mean and inverse functions of x:
        # dx = scale * (g - sum_g / n - normalized * sum_gn / n) = scale * g + a * x + b
        n = len(rows)
        a = -scale * inverse * sum_gn / n
        b = -scale * sum_g / n - a * mean
        result = torch.empty_like(x)
        _input_gradient(
            rows, gradient, scale, shift, slope, a.astype(np.float32), b.astype(np.float32),
            result.numpy(),
        )  # fmt: skip
        weight_gradient = torch.from_numpy(sum_gn.astype(np.float32))
        return result, weight_gradient, torch.from_numpy(sum_g.astype(np.float32)), None, None


def _moments(x: Any) -> tuple[Any, Any]:
    """Mean and biased variance per column, float64; summed by fixed blocks, in a fixed order."""
    sums = _block_moments(x)
    counts = np.full(len(sums), BLOCK_ROWS, np.float64)
    counts[-1] = len(x) - BLOCK_ROWS * (len(sums) - 1)
    means = sums[:, 0] / counts[:, None]
    mean = sums[:, 0].sum(axis=0) / len(x)
    between = (counts[:, None] * (means - mean) ** 2).sum(axis=0)
    return mean, (sums[:, 1].sum(axis=0) + between) / len(x)


def _gradient_sums(x: Any, gradient: Any, scale: Any, shift: Any, slope: float) -> tuple[Any, Any]:
    sums = _block_gradient_sums(x, gradient, scale, shift, slope).sum(axis=0)
    return sums[0], sums[1]


@njit(cache=True, parallel=True)
def _block_moments(x):  # type: ignore[no-untyped-def]
    """Per block of rows: the sum, and the sum of squared deviations from the block's mean."""
    n, channels = x.shape
    blocks = (n + BLOCK_ROWS - 1) // BLOCK_ROWS
    result = np.zeros((blocks, 2, channels), np.float64)
    for block in prange(blocks):
        begin = block * BLOCK_ROWS
        end = min(n, begin + BLOCK_ROWS)
        mean = np.zeros(channels, np.float32)
        total = np.zeros(channels, np.float32)
        squares = np.zeros(channels, np.float32)
        for i in range(begin, end):
            for c in range(channels):
                total[c] += x[i, c]
        for c in range(channels):
            mean[c] = total[c] / (end - begin)
        for i in range(begin, end):
            for c in range(channels):
                d = x[i, c] - mean[c]
                squares[c] += d * d
        for c in range(channels):
            result[block, 0, c] = total[c]
            result[block, 1, c] = squares[c]
    return result


@njit(cache=True, parallel=True)
def _scale_shift_leaky(x, scale, shift, slope, out):  # type: ignore[no-untyped-def]
    n, channels = x.shape
    leak = np.float32(slope)
    for block in prange((n + BLOCK_ROWS - 1) // BLOCK_ROWS):
        for i in range(block * BLOCK_ROWS, min(n, (block + 1) * BLOCK_ROWS)):
            for c in range(channels):
                z = x[i, c] * scale[c] + shift[c]
                out[i, c] = z if z > 0 else leak * z


@njit(cache=True, parallel=True)
def _block_gradient_sums(x, gradient, scale, shift, slope):  # type: ignore[no-untyped-def]
    """Per block: sums of g and of g x, g being the gradient before the leaky ReLU."""
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
                sum_gx[c] += g * x[i, c]
        for c in range(channels):
            result[block, 0, c] = sum_g[c]
            result[block, 1, c] = sum_gx[c]
    return result


@njit(cache=True, parallel=True)
def _input_gradient(x, gradient, scale, shift, slope, a, b, out):  # type: ignore[no-untyped-def]
    n, channels = x.shape
    leak = np.float32(slope)
    for block in prange((n + BLOCK_ROWS - 1) // BLOCK_ROWS):
        for i in range(block * BLOCK_ROWS, min(n, (block + 1) * BLOCK_ROWS)):
            for c in range(channels):
                z = x[i, c] * scale[c] + shift[c]
                g = gradient[i, c] if z > 0 else leak * gradient[i, c]
                out[i, c] = scale[c] * g + a[c] * x[i, c] + b[c]
