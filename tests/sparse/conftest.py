"""Small events that look like tracks, and an oracle that imports nothing from reco.sparse."""

import os

import numpy as np
import pytest
import torch
from torch.nn import functional as F

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before any kernel is imported


def walk(seed: int, count: int, batch: int = 0, low: int = 0) -> np.ndarray:
    """At most `count` unique voxels (N, 4) int32 along a random walk, sorted."""
    rng = np.random.default_rng(seed)
    xyz = np.cumsum(rng.integers(-1, 2, (count, 3)), axis=0) + low
    rows = np.unique(xyz, axis=0).astype(np.int32)
    return np.concatenate([np.full((len(rows), 1), batch, np.int32), rows], axis=1)


def dense(coordinates: np.ndarray, features: torch.Tensor) -> torch.Tensor:
    """Voxels of one event with coordinates in [0, 16) on a grid (1, C, 16, 16, 16)."""
    grid = features.new_zeros(1, features.shape[1], 16, 16, 16)
    b, x, y, z = torch.from_numpy(coordinates).long().T
    grid[b * 0, :, x, y, z] = features
    return grid


def dense_same(coordinates: np.ndarray, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Submanifold 3^3 convolution by torch's dense conv3d; (N, C_out)."""
    kernel = weight.view(3, 3, 3, *weight.shape[1:]).permute(4, 3, 0, 1, 2)
    out = F.conv3d(dense(coordinates, x), kernel, padding=1)
    _, i, j, k = torch.from_numpy(coordinates).long().T
    return out[0, :, i, j, k].T


def dense_down(coordinates: np.ndarray, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """2^3 stride-2 convolution by torch's dense conv3d, on existing coarse voxels, sorted."""
    kernel = weight.view(2, 2, 2, *weight.shape[1:]).permute(4, 3, 0, 1, 2)
    out = F.conv3d(dense(coordinates, x), kernel, stride=2)
    i, j, k = np.unique(coordinates[:, 1:] // 2, axis=0).T
    return out[0, :, i, j, k].T


def dense_up(coordinates: np.ndarray, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Transposed 2^3 stride-2 convolution by torch's dense conv_transpose3d; (N_fine, C_out)."""
    kernel = weight.view(2, 2, 2, *weight.shape[1:]).permute(3, 4, 0, 1, 2)
    coarse = np.unique(coordinates // [1, 2, 2, 2], axis=0).astype(np.int32)
    out = F.conv_transpose3d(dense(coarse, x)[..., :8, :8, :8], kernel, stride=2)
    _, i, j, k = torch.from_numpy(coordinates).long().T
    return out[0, :, i, j, k].T


@pytest.fixture(params=[0, 1, 2, 150])
def event(request: pytest.FixtureRequest) -> np.ndarray:
    """Sorted voxels in [0, 16)^3: none, one, two neighbours, or a blob-like walk."""
    if request.param == 2:
        return np.array([[0, 3, 4, 5], [0, 3, 5, 4]], np.int32)
    voxels = walk(1, request.param, low=8)
    return voxels[np.all((voxels[:, 1:] >= 0) & (voxels[:, 1:] < 16), axis=1)]
