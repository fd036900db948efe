"""Maps of an uneven field, as files."""

from pathlib import Path

import h5py

from reco.data.ragged import Array


def write_map(path: Path, grid: Array, **values: Array) -> None:
    """grid: places along each of x, y and z, cm."""
    with h5py.File(path, "w") as file:
        for name, column in {"x": grid, "y": grid, "z": grid, **values}.items():
            file[name] = column
