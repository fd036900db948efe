"""An HDF5 file is read alone: no part of it may lie in another one."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.errors import FormatError
from reco.io.recognise import open_input
from tests.io.files import write_groups

ROWS = {name: np.arange(3.0) for name in "xyz"} | {"energy": np.ones(3), "event": np.zeros(3, int)}


def linked(file: h5py.File, other: Path) -> None:
    file["deep/below"] = h5py.ExternalLink(other, "hits")


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((3,), float)
    layout[:] = h5py.VirtualSource(other, "hits/x", (3,))
    file.create_virtual_dataset("deep/below", layout)


def external(file: h5py.File, other: Path) -> None:
    file.create_dataset("deep/below", (3,), float, external=[(str(other), 0, 24)])


@pytest.mark.parametrize(
    ("add", "told"),
    [
        (linked, "'deep/below' is a link to another file"),
        (virtual, "dataset 'deep/below' has its rows in other files"),
        (external, "dataset 'deep/below' has its rows in other files"),
    ],
)
def test_nothing_is_read_of_another_file(
    tmp_path: Path, add: Callable[[h5py.File, Path], None], told: str
) -> None:
    other = write_groups(tmp_path / "other.h5", ROWS)
    path = write_groups(tmp_path / "a.h5", ROWS)
    with h5py.File(path, "a") as file:
        add(file, other)
    with pytest.raises(FormatError, match=rf"a\.h5: {told}, and reco opens no other; copy"):
        open_input(path)


def test_links_within_the_file_are_followed(tmp_path: Path) -> None:
    path = write_groups(tmp_path / "a.h5", ROWS, "old")
    with h5py.File(path, "a") as file:
        file["hits"] = h5py.SoftLink("/old")
        file["old/again"] = file["old"]  # a hard link in a circle
        del file["old/energy"]
        file["old/energy"] = h5py.SoftLink("/rest/energy")
        file["rest/energy"] = np.ones(3)
        file["nowhere"] = h5py.SoftLink("/not/there")
    with open_input(path) as reader:
        assert len(reader) == 1
