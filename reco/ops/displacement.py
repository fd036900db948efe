"""Where charge came from, when an uneven field (space charge) bent its way to the anode."""

from pathlib import Path
from typing import Self

import h5py
import numpy as np

from reco.data.ragged import Array
from reco.errors import ConfigError

AXES = ("x", "y", "z")


class Displacement:
    """A shift in cm for every place, known on a grid and trilinear between its points.

    axes: three rising arrays, cm, of A, B and C places, two or more each. shift: (A, B, C, 3), to
    be added to a position as read out. Beyond the grid, the shift is that of its nearest face.
    """

    def __init__(self, axes: tuple[Array, Array, Array], shift: Array) -> None:
        from scipy.interpolate import RegularGridInterpolator  # slow to load, and seldom needed

        self.lower = np.array([axis[0] for axis in axes])
        self.upper = np.array([axis[-1] for axis in axes])
        self._interpolate = RegularGridInterpolator(axes, shift)

    @classmethod
    def read(cls, path: Path) -> Self:
        """An HDF5 file with datasets `x`, `y`, `z` and `shift`. Raises ConfigError."""
        try:
            with h5py.File(path) as file:
                x, y, z, shift = (np.asarray(file[name][()], float) for name in (*AXES, "shift"))
        except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: no map of displacements ({error}); {_WANTED}") from None
        sizes = (len(x), len(y), len(z)) if x.ndim == y.ndim == z.ndim == 1 else ()
        rising = all((np.diff(axis) > 0).all() for axis in (x, y, z))
        if min(sizes, default=0) < 2 or not rising or shift.shape != (*sizes, 3):
            raise ConfigError(f"{path}: shift has the shape {shift.shape}; {_WANTED}")
        if not np.isfinite(shift).all():
            raise ConfigError(f"{path}: shift must be finite everywhere")
        return cls((x, y, z), shift)

    def __call__(self, position: Array) -> Array:
        """(N, 3) cm as read out -> (N, 3) cm where the charge was."""
        place = np.clip(position, self.lower, self.upper)
        moved: Array = position + self._interpolate(place)
        return moved


_WANTED = "it must hold rising x, y, z [cm], two or more each, and shift (x, y, z, 3) [cm]"
