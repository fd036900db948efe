"""Pooling against torch's dense pooling, and against one event after another."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reco.errors import InputError
from reco.sparse import SparsePool3d, pool, pool_events, strided_map

from .conftest import dense


def dense_pool(event: np.ndarray, x: torch.Tensor, reduction: str) -> torch.Tensor:
    grid, there = dense(event, x), dense(event, torch.ones(len(event), 1, dtype=x.dtype))
    if reduction == "amax":
        out = F.max_pool3d(torch.where(there > 0, grid, -torch.inf), 2)
    else:
        out = F.avg_pool3d(grid, 2) * 8
        if reduction == "mean":
            out = out / (F.avg_pool3d(there, 2) * 8).clamp(min=1)
    i, j, k = np.unique(event[:, 1:] // 2, axis=0).T
    return out[0, :, i, j, k].T


@pytest.mark.parametrize("reduction", ["amax", "mean", "sum"])
def test_agrees_with_dense_pooling(event, reduction):
    down = strided_map(event)[1]
    x = torch.randn(len(event), 5, dtype=torch.float64, requires_grad=True)
    out, expected = SparsePool3d(reduction)(x, down), dense_pool(event, x, reduction)
    torch.testing.assert_close(out, expected)
    weights = torch.randn_like(out)
    (gradient,) = torch.autograd.grad((out * weights).sum(), x)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), x)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("reduction", ["amax", "mean", "sum"])
def test_pools_each_event(reduction):
    x, batch = torch.randn(7, 3), torch.tensor([0, 0, 0, 2, 2, 3, 3])
    parts = [getattr(x[batch == e], reduction)(0) if e != 1 else torch.zeros(3) for e in range(4)]
    torch.testing.assert_close(pool_events(x, batch, 4, reduction), torch.stack(parts))
    assert pool_events(x[:0], batch[:0], 2, reduction).tolist() == [[0.0] * 3] * 2


def test_refuses_what_does_not_fit(event):
    down = strided_map(event)[1]
    with pytest.raises(InputError, match=r"features: shape \(\d+, 2\).*expected \(\d+, C\)"):
        pool(torch.zeros(len(event) + 1, 2), down, "mean")
    with pytest.raises(InputError, match=r"features: .* torch\.int64"):
        pool(torch.zeros(len(event), 2, dtype=torch.long), down, "mean")
    with pytest.raises(InputError, match="reduction: 'median'"):
        pool(torch.zeros(len(event), 2), down, "median")
    with pytest.raises(InputError, match="batch: from 0 to 4, expected 0 to 3"):
        pool_events(torch.zeros(2, 2), torch.tensor([0, 4]), 4, "sum")
