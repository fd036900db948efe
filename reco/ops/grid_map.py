"""What an uneven field (space charge) does at every place of a detector, as a table on a grid."""

from pathlib import Path
from typing import Self

import h5py
import numpy as np

from reco.data.ragged import Array
from reco.errors import ConfigError

AXES = ("x", "y", "z")


class GridMap:
    """A number or a vector for every place, known on a grid and trilinear between its points.

    axes: three rising arrays, cm, of A, B and C places, two or more each. values: (A, B, C) or
    (A, B, C, K). Beyond the grid, a place has what its nearest face has.
    """

    def __init__(self, axes: tuple[Array, Array, Array], values: Array) -> None:
        from scipy.interpolate import RegularGridInterpolator  # slow to load, and seldom needed

        self.lower = np.array([axis[0] for axis in axes])
        self.upper = np.array([axis[-1] for axis in axes])
        self._interpolate = RegularGridInterpolator(axes, values)

    @classmethod
    def displacement(cls, path: Path) -> Self:
        """Of shifts in cm, to be added to a position as read out: see `_read`, `shift`."""
        return cls(*_read(path, "shift", "cm", (3,)))

    @classmethod
    def strength(cls, path: Path, least: float, most: float) -> Self:
        """Of the strength of the field in kV/cm, by where the charge was: see `_read`, `field`.

        Raises ConfigError too where it is not between least and most.
        """
        axes, field = _read(path, "field", "kV/cm", ())
        if not ((field >= least) & (field <= most)).all():
            raise ConfigError(
                f"{path}: field is {field.min():g} to {field.max():g} kV/cm, and must be {least:g} "
                f"to {most:g} everywhere; 500 V/cm are 0.5"
            )
        return cls(axes, field)

    def __call__(self, position: Array) -> Array:
        """(N, 3) cm -> (N,) or (N, K)."""
        found: Array = self._interpolate(np.clip(position, self.lower, self.upper))
        return found


def _read(
    path: Path, name: str, unit: str, shape: tuple[int, ...]
) -> tuple[tuple[Array, Array, Array], Array]:
    """An HDF5 file with datasets `x`, `y`, `z` and that of this name. Raises ConfigError."""
    size = ", ".join(map(str, (*AXES, *shape)))
    if not path.is_file():
        raise ConfigError(f"{path}: no such file, which the detector names as its map of {name}")
    wanted = f"it must hold rising x, y, z [cm], two or more each, and {name} ({size}) [{unit}]"
    try:
        with h5py.File(path) as file:
            x, y, z, values = (np.asarray(file[key][()], float) for key in (*AXES, name))
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: no map of {name} ({error}); {wanted}") from None
    sizes = (len(x), len(y), len(z)) if x.ndim == y.ndim == z.ndim == 1 else ()
    rising = all((np.diff(axis) > 0).all() for axis in (x, y, z))
    if min(sizes, default=0) < 2 or not rising or values.shape != (*sizes, *shape):
        raise ConfigError(f"{path}: {name} has the shape {values.shape}; {wanted}")
    if not all(np.isfinite(numbers).all() for numbers in (x, y, z, values)):
        raise ConfigError(f"{path}: {name} and its places must be finite everywhere")
    return (x, y, z), values
