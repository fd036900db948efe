"""Pooling: of the voxels that become one coarser voxel, and of all voxels of an event."""

from typing import Literal

import torch
from torch import nn

from reco.errors import InputError
from reco.sparse.maps import KernelMap

Reduction = Literal["amax", "mean", "sum"]
REDUCTIONS = ("amax", "mean", "sum")


class SparsePool3d(nn.Module):
    """Largest value, mean or sum of the at most 8 voxels below each coarser voxel."""

    def __init__(self, reduction: Reduction = "amax") -> None:
        super().__init__()
        self.reduction: Reduction = reduction

    def extra_repr(self) -> str:
        return self.reduction

    def forward(self, features: torch.Tensor, down: KernelMap) -> torch.Tensor:
        """(N_fine, C) to (N_coarse, C); `down` from `strided_map` or `Pyramid.down`."""
        return pool(features, down, self.reduction)


def pool(features: torch.Tensor, kernel_map: KernelMap, reduction: Reduction) -> torch.Tensor:
    """Reduce over the inputs of each output that exist: (inputs, C) to (outputs, C).

    Differentiable; equal largest values share the gradient. Raises InputError for features that
    do not fit the map, and for an unknown reduction.
    """
    _check(features, kernel_map.inputs, reduction)
    sources, targets = kernel_map.derived(_pairs, features.device)
    return _reduce(features[sources], targets, kernel_map.outputs, reduction)


def pool_events(
    features: torch.Tensor, batch: torch.Tensor, events: int, reduction: Reduction
) -> torch.Tensor:
    """Reduce over all voxels of each event: (N, C) to (events, C), zeros for one without voxels.

    batch: (N,) event of each row, in [0, events). Raises InputError where that does not fit.
    """
    _check(features, len(batch), reduction)
    if len(batch) and (int(batch.min()) < 0 or int(batch.max()) >= events):
        raise InputError(
            f"batch: from {int(batch.min())} to {int(batch.max())}, expected 0 to {events - 1}"
        )
    return _reduce(features, batch.to(features.device, torch.int64), events, reduction)


def _check(features: torch.Tensor, rows: int, reduction: str) -> None:
    if features.ndim != 2 or len(features) != rows or not features.is_floating_point():
        raise InputError(
            f"features: shape {tuple(features.shape)}, {features.dtype}; expected ({rows}, C), "
            "floating point: one row per input voxel"
        )
    if reduction not in REDUCTIONS:
        raise InputError(f"reduction: {reduction!r}, expected one of {REDUCTIONS}")


def _pairs(kernel_map: KernelMap, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    sources, targets, _ = kernel_map.by_offset
    return tuple(torch.from_numpy(rows).long().to(device) for rows in (sources, targets))  # type: ignore[return-value]


def _reduce(
    rows: torch.Tensor, targets: torch.Tensor, outputs: int, reduction: Reduction
) -> torch.Tensor:
    out = rows.new_zeros(outputs, rows.shape[1])
    index = targets[:, None].expand_as(rows)
    return out.scatter_reduce(0, index, rows, reduction, include_self=False)
