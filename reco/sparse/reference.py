"""Sparse convolution in plain torch: gather, multiply, add. For reading, checking and float64."""

from typing import Any

import torch

from reco.sparse.maps import KernelMap


class ReferenceConv(torch.autograd.Function):
    """out[i] = sum over k of features[map.table[k, i]] @ weight[k], and its gradients.

    features (inputs, C_in), weight (K, C_in, C_out), result (outputs, C_out); any float dtype.
    """

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap
    ) -> torch.Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        out = features.new_zeros(kernel_map.outputs, weight.shape[2])
        # a lower precision would be that of the products alone: sums are kept in that of features
        with torch.autocast(features.device.type, enabled=False):
            for k, (sources, targets) in enumerate(kernel_map.derived(_pairs, features.device)):
                out.index_add_(0, targets, features[sources] @ weight[k])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        features, weight = ctx.saved_tensors
        (gradient,) = gradients
        feature_gradient = torch.zeros_like(features)
        weight_gradient = torch.zeros_like(weight)
        for k, (sources, targets) in enumerate(ctx.kernel_map.derived(_pairs, features.device)):
            rows = gradient[targets]
            feature_gradient.index_add_(0, sources, rows @ weight[k].T)
            weight_gradient[k] = features[sources].T @ rows
        return feature_gradient, weight_gradient, None


def _pairs(kernel_map: KernelMap, device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    sources, targets, starts = kernel_map.by_offset
    if kernel_map.outputs == 0:
        return []
    all_sources = torch.from_numpy(sources).long().to(device)
    all_targets = torch.from_numpy(targets).long().to(device)
    counts = [int(n) for n in starts[1:] - starts[:-1]]
    return list(
        zip(torch.split(all_sources, counts), torch.split(all_targets, counts), strict=True)
    )
