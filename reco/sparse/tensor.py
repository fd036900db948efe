"""Voxels with features: the one container that enters the sparse networks."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

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
        order = torch.from_numpy(lexicographic_order(self.coordinates.cpu().numpy()))
        place, row = order.to(self.coordinates.device), order.to(self.features.device)
        return SparseTensor(self.coordinates[place], self.features[row])


def check_coordinates(coordinates: Any) -> None:
    """Raise InputError unless `coordinates` is an (N, 4) int32 tensor or array."""
    shape, dtype = tuple(coordinates.shape), str(coordinates.dtype).removeprefix("torch.")
    if len(shape) != 2 or shape[1] != 4:
        raise InputError(f"coordinates: shape {shape}, expected (N, 4): batch, x, y, z")
    if dtype != "int32":
        raise InputError(f"coordinates: dtype {dtype}, expected int32")


class Keys(NamedTuple):
    """Packed x, y, z: values (N,) int64; one step along x, y, z adds step_x, step_y, 1."""

    values: npt.NDArray[np.int64]
    step_x: int
    step_y: int


def pack(coordinates: npt.NDArray[np.int32], margin: int = 1) -> Keys:
    """Keys of voxels (N, 4) int32, ordered as the x, y, z columns are lexicographically.

    The batch column is left out, so that every event may span the whole range whatever the
    number of events. Keys are relative to the smallest coordinate of the call; the margin, in
    voxels on each side, keeps the keys of neighbours apart from those across a face.

    Raises InputError where the three extents together do not fit 62 bits (2^20 per axis do).
    """
    check_coordinates(coordinates)
    low, high = _bounds(coordinates)
    extent = [int(e) for e in high - low + 1 + 2 * margin]
    if extent[0] * extent[1] * extent[2] > KEY_LIMIT:
        raise InputError(
            f"coordinates: x, y, z span {extent[0]} x {extent[1]} x {extent[2]} voxels, more than "
            "62 bits hold; use larger voxels or remove outlying coordinates"
        )
    step_x, step_y = extent[1] * extent[2], extent[2]
    return Keys(_pack(coordinates, low - margin, step_x, step_y), step_x, step_y)


def lexicographic_order(coordinates: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Rows in lexicographic order of (batch, x, y, z), as indices (N,) int64."""
    keys, batch = pack(coordinates).values, coordinates[:, 0].astype(np.int64)
    span = int(keys.max(initial=0)) + 1
    first, last = int(batch.min(initial=0)), int(batch.max(initial=0))
    if span * (last - first + 1) < KEY_LIMIT:
        return np.argsort((batch - first) * span + keys, kind="stable")
    return np.lexsort((keys, batch))


@njit(cache=True)
def _bounds(coordinates):  # type: ignore[no-untyped-def]
    low = np.zeros(3, np.int64)
    high = np.zeros(3, np.int64)
    for i in range(len(coordinates)):
        for axis in range(3):
            value = np.int64(coordinates[i, axis + 1])
            low[axis] = value if i == 0 else min(low[axis], value)
            high[axis] = value if i == 0 else max(high[axis], value)
    return low, high


@njit(cache=True)
def _pack(coordinates, low, step_x, step_y):  # type: ignore[no-untyped-def]
    keys = np.empty(len(coordinates), np.int64)
    for i in range(len(coordinates)):
        x = coordinates[i, 1] - low[0]
        y = coordinates[i, 2] - low[1]
        z = coordinates[i, 3] - low[2]
        keys[i] = x * step_x + y * step_y + z
    return keys
