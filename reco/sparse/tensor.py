"""Voxels with features: the one container that enters the sparse networks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from reco.errors import InputError

KEY_LIMIT = 2**62


@dataclass(frozen=True)
class SparseTensor:
    """Features on voxels.

    coordinates: (N, 4) int32, columns batch, x, y, z; no voxel twice.
    features: (N, C) floating point, one row per voxel.

    Raises InputError where shapes or dtypes do not agree.
    """

    coordinates: torch.Tensor
    features: torch.Tensor

    def __post_init__(self) -> None:
        check_coordinates(self.coordinates)
        shape = tuple(self.features.shape)
        if len(shape) != 2 or shape[0] != self.coordinates.shape[0]:
            raise InputError(
                f"features: shape {shape}, expected ({self.coordinates.shape[0]}, channels): "
                "one row per row of coordinates"
            )
        if not self.features.is_floating_point():
            raise InputError(f"features: dtype {self.features.dtype}, expected floating point")

    def __len__(self) -> int:
        return int(self.coordinates.shape[0])

    def sorted(self) -> "SparseTensor":
        """The same voxels in lexicographic order of (batch, x, y, z)."""
        order = torch.from_numpy(lexicographic_order(self.coordinates.numpy()))
        return SparseTensor(self.coordinates[order], self.features[order])


def check_coordinates(coordinates: Any) -> None:
    """Raise InputError unless `coordinates` is an (N, 4) int32 tensor or array."""
    shape, dtype = tuple(coordinates.shape), str(coordinates.dtype).removeprefix("torch.")
    if len(shape) != 2 or shape[1] != 4:
        raise InputError(f"coordinates: shape {shape}, expected (N, 4): batch, x, y, z")
    if dtype != "int32":
        raise InputError(f"coordinates: dtype {dtype}, expected int32")


def pack(coordinates: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """One int64 key per voxel, (N,), ordered as the x, y, z columns are lexicographically.

    The batch column is left out, so that every event may span the whole range whatever the
    number of events. Keys are relative to the smallest coordinate of the call; one unit of
    margin on each side keeps the keys of neighbours apart from those across a face.

    Raises InputError where the three extents together do not fit 62 bits (2^20 per axis do).
    """
    check_coordinates(coordinates)
    if len(coordinates) == 0:
        return np.zeros(0, np.int64)
    xyz = coordinates[:, 1:].astype(np.int64)
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    extent = [int(e) for e in high - low + 3]
    if extent[0] * extent[1] * extent[2] > KEY_LIMIT:
        raise InputError(
            f"coordinates: x, y, z span {extent[0]} x {extent[1]} x {extent[2]} voxels, more than "
            "62 bits hold; use larger voxels or remove outlying coordinates"
        )
    x, y, z = (xyz - low + 1).T
    return np.asarray((x * extent[1] + y) * extent[2] + z, dtype=np.int64)


def strides(coordinates: npt.NDArray[np.int32]) -> tuple[int, int]:
    """What one step along x and along y adds to a key of `pack`; one step along z adds 1."""
    if len(coordinates) == 0:
        return 0, 0
    extent = np.ptp(coordinates[:, 2:].astype(np.int64), axis=0) + 3
    return int(extent[0] * extent[1]), int(extent[1])


def lexicographic_order(coordinates: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Rows in lexicographic order of (batch, x, y, z), as indices (N,) int64."""
    return np.lexsort((pack(coordinates), coordinates[:, 0]))
