"""Sparse convolution in Triton: implicit GEMM over the neighbour table, with sums in float32.

Output rows are sorted by the offsets that exist for them, so that a tile of rows skips the offsets
that none of its rows has. A row is summed over offsets and channels in ascending order, in blocks
whose size depends on the channels alone: not on the number of rows, and not on other events.
The kernels run on a GPU, and in Triton's interpreter (TRITON_INTERPRET=1) on the CPU.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from reco.sparse.maps import KernelMap

BLOCK_ROWS = 64
PAIRS_PER_SPLIT = 4096
MOST_SPLITS = 16
MASK_BITS = 62


@dataclass(frozen=True)
class Gather:
    """A map on a device, for `_gather_multiply`.

    table: (K, outputs) int32, columns in the order of `rows`. rows: (outputs,) int32.
    """

    table: torch.Tensor
    rows: torch.Tensor


@dataclass(frozen=True)
class DevicePairs:
    """Pairs on a device, sorted by offset; starts: (K + 1,) int32. longest: pairs of an offset."""

    sources: torch.Tensor
    targets: torch.Tensor
    starts: torch.Tensor
    longest: int


class GpuConv(torch.autograd.Function):
    """The Triton backend; arguments as for `reco.sparse.functional.conv`, unchecked.

    Under autocast the products are of its precision; sums and results are those of the features.
    """

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap
    ) -> torch.Tensor:
        dtype = features.dtype
        features, weight = _lowered(features), _lowered(weight)
        ctx.save_for_backward(features, weight)
        ctx.kernel_map, ctx.dtype = kernel_map, dtype
        return _multiply(features, weight, kernel_map, dtype)

    @staticmethod
    def backward(
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        features, weight = ctx.saved_tensors
        gradient = gradients[0].to(features.dtype)
        feature_gradient = weight_gradient = None
        if ctx.needs_input_grad[0]:
            turned = weight.transpose(1, 2)
            feature_gradient = _multiply(gradient, turned, ctx.kernel_map.transposed, ctx.dtype)
        if ctx.needs_input_grad[1]:
            weight_gradient = _outer(features, gradient, ctx.kernel_map).to(ctx.dtype)
        return feature_gradient, weight_gradient, None


def on_interpreter() -> bool:
    """Whether Triton interprets, so that tensors may be on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _lowered(x: torch.Tensor) -> torch.Tensor:
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def _gather(kernel_map: KernelMap, device: torch.device) -> Gather:
    table = torch.from_numpy(kernel_map.table).to(device)
    bits = min(kernel_map.offsets, MASK_BITS)
    weights = 2 ** torch.arange(bits, device=device)
    mask = torch.zeros(kernel_map.outputs, dtype=torch.int64, device=device)
    for k in range(bits):
        mask += (table[k] >= 0) * weights[k]
    rows = torch.argsort(mask, stable=True)
    return Gather(table[:, rows].contiguous(), rows.to(torch.int32))


def _pairs(kernel_map: KernelMap, device: torch.device) -> DevicePairs:
    sources, targets, starts = kernel_map.by_offset
    if kernel_map.outputs == 0:
        starts = np.zeros(kernel_map.offsets + 1, np.int64)
    return DevicePairs(
        torch.from_numpy(sources).to(device),
        torch.from_numpy(targets).to(device),
        torch.from_numpy(starts.astype(np.int32)).to(device),
        longest=int(np.diff(starts).max(initial=0)),
    )


def _blocks(inputs: int, outputs: int) -> tuple[int, int]:
    """Sizes of a block of input and of output channels: powers of 2 that tensor cores take."""
    return min(32, _power_of_2(inputs)), min(64, _power_of_2(outputs))


def _power_of_2(channels: int) -> int:
    return max(16, 1 << (channels - 1).bit_length())


def _multiply(
    x: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap, dtype: torch.dtype
) -> torch.Tensor:
    offsets, inputs, outputs = weight.shape
    out = torch.empty(kernel_map.outputs, outputs, dtype=dtype, device=x.device)
    if out.numel() == 0:
        return out
    gather = kernel_map.derived(_gather, x.device)
    block_in, block_out = _blocks(inputs, outputs)
    grid = (triton.cdiv(len(out), BLOCK_ROWS), triton.cdiv(outputs, block_out))
    _gather_multiply[grid](
        x.contiguous(), weight, gather.table, gather.rows, out, len(out), offsets, inputs, outputs,
        *weight.stride(), BLOCK_ROWS, block_in, block_out, on_interpreter(),
    )  # fmt: skip
    return out


def _outer(x: torch.Tensor, gradient: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    inputs, outputs = x.shape[1], gradient.shape[1]
    pairs = kernel_map.derived(_pairs, x.device)
    splits = max(1, min(MOST_SPLITS, pairs.longest // PAIRS_PER_SPLIT))
    shape = (splits, kernel_map.offsets, inputs, outputs)
    partial = torch.empty(shape, dtype=torch.float32, device=x.device)
    block_in, block_out = _blocks(inputs, outputs)
    grid = (
        kernel_map.offsets * splits,
        triton.cdiv(inputs, block_in),
        triton.cdiv(outputs, block_out),
    )
    if partial.numel():
        _outer_products[grid](
            x.contiguous(), gradient.contiguous(), pairs.sources, pairs.targets, pairs.starts,
            partial, splits, inputs, outputs, BLOCK_ROWS, block_in, block_out,
            on_interpreter(),
        )  # fmt: skip
    return partial.sum(0)


@triton.jit
def _gather_multiply(  # type: ignore[no-untyped-def]
    x, weight, table, rows, out, n, offsets, inputs, outputs, step_k, step_in, step_out,
    BLOCK_ROWS: tl.constexpr, BLOCK_IN: tl.constexpr, BLOCK_OUT: tl.constexpr,
    WIDEN: tl.constexpr,
):  # fmt: skip
    """out[rows[i]] = sum over k of x[table[k, i]] @ weight[k], for a block of i and columns."""
    i = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = tl.program_id(1) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    total = tl.zeros((BLOCK_ROWS, BLOCK_OUT), tl.float32)
    for k in range(offsets):
        source = tl.load(table + k * n + i, mask=i < n, other=-1)
        if tl.max(source, axis=0) >= 0:
            for first in range(0, inputs, BLOCK_IN):
                channel = first + tl.arange(0, BLOCK_IN)
                row = x + source.to(tl.int64)[:, None] * inputs
                there = (source >= 0)[:, None] & (channel < inputs)[None, :]
                a = tl.load(row + channel[None, :], mask=there, other=0.0)
                there = (channel < inputs)[:, None] & (column < outputs)[None, :]
                place = channel[:, None] * step_in + column[None, :] * step_out
                b = tl.load(weight + k * step_k + place, mask=there, other=0.0)
                if WIDEN:  # the interpreter multiplies the bits of a bfloat16
                    a, b = a.to(tl.float32), b.to(tl.float32)
                total = tl.dot(a, b, total, input_precision="ieee")
    target = tl.load(rows + i, mask=i < n, other=0).to(tl.int64)
    there = (i < n)[:, None] & (column < outputs)[None, :]
    place = out + target[:, None] * outputs + column[None, :]
    tl.store(place, total.to(out.dtype.element_ty), mask=there)


@triton.jit
def _outer_products(  # type: ignore[no-untyped-def]
    x, gradient, sources, targets, starts, out, splits, inputs, outputs,
    BLOCK_ROWS: tl.constexpr, BLOCK_IN: tl.constexpr, BLOCK_OUT: tl.constexpr,
    WIDEN: tl.constexpr,
):  # fmt: skip
    """out[split, k] = sum over the pairs of offset k of x[source]^T @ gradient[target]."""
    k = tl.program_id(0) // splits
    split = tl.program_id(0) % splits
    channel = tl.program_id(1) * BLOCK_IN + tl.arange(0, BLOCK_IN)
    column = tl.program_id(2) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    begin, end = tl.load(starts + k), tl.load(starts + k + 1)
    share = tl.cdiv(end - begin, splits)
    begin += split * share
    end = tl.minimum(end, begin + share)
    total = tl.zeros((BLOCK_IN, BLOCK_OUT), tl.float32)
    for first in range(begin, end, BLOCK_ROWS):
        pair = first + tl.arange(0, BLOCK_ROWS)
        source = tl.load(sources + pair, mask=pair < end, other=0).to(tl.int64)
        target = tl.load(targets + pair, mask=pair < end, other=0).to(tl.int64)
        there = (channel < inputs)[:, None] & (pair < end)[None, :]
        a = tl.load(x + source[None, :] * inputs + channel[:, None], mask=there, other=0.0)
        there = (pair < end)[:, None] & (column < outputs)[None, :]
        b = tl.load(gradient + target[:, None] * outputs + column[None, :], mask=there, other=0.0)
        if WIDEN:
            a, b = a.to(tl.float32), b.to(tl.float32)
        total = tl.dot(a, b, total, input_precision="ieee")
    offsets = tl.num_programs(0) // splits
    group = out + (split * offsets + k).to(tl.int64) * inputs * outputs
    there = (channel < inputs)[:, None] & (column < outputs)[None, :]
    tl.store(group + channel[:, None] * outputs + column[None, :], total, mask=there)
