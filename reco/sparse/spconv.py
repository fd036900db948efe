"""Sparse convolution by spconv 2 on the CPU, forward only: for comparison."""

from typing import Any

import numpy as np
import torch
from spconv.core import ConvAlgo
from spconv.pytorch import ops

from reco.errors import InputError
from reco.sparse.maps import KernelMap


class SpconvConv(torch.autograd.Function):
    """Arguments as for `reco.sparse.functional.conv`, unchecked."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap
    ) -> torch.Tensor:
        if kernel_map.outputs == 0 or kernel_map.pair_count == 0:
            return features.new_zeros(kernel_map.outputs, weight.shape[2])
        pairs, counts = kernel_map.derived(_pairs, None)
        size = round(kernel_map.offsets ** (1 / 3))
        filters = weight.permute(2, 0, 1).reshape(weight.shape[2], size, size, size, -1)
        return ops.indice_conv(
            features.detach(), filters.detach().contiguous(), pairs, counts, kernel_map.outputs,
            algo=ConvAlgo.Native,
        )  # fmt: skip

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, None, None]:
        raise InputError(
            "backend: 'spconv' computes no gradients; use 'auto', or torch.inference_mode()"
        )


def _pairs(kernel_map: KernelMap, _: None) -> tuple[torch.Tensor, torch.Tensor]:
    """(2, K, most) int32, inputs and outputs per offset, padded with -1; (K,) int32 counts."""
    sources, targets, starts = kernel_map.by_offset
    counts = np.diff(starts)
    pairs = np.full((2, kernel_map.offsets, counts.max()), -1, np.int32)
    there = np.arange(counts.max()) < counts[:, None]
    pairs[0][there], pairs[1][there] = sources, targets
    return torch.from_numpy(pairs), torch.from_numpy(counts.astype(np.int32))
