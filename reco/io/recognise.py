"""Which reader a file is for, told by its content alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from reco.errors import FormatError
from reco.io import (
    edepsim,
    flat_hdf5,
    flat_root,
    jaxtpc,
    larcv2,
    larcv3,
    larndsim,
    ndlar_flow,
    numl,
    pilarnet,
    refused,
    spine,
)
from reco.io.base import HEAD, Reader, first_bytes, guard
from reco.io.branches import Branches
from reco.io.hdf5 import MAGIC as HDF5_MAGIC
from reco.io.hdf5 import open_hdf5
from reco.io.native import NativeReader
from reco.io.plugins import open_by_plugin, plugin_names
from reco.io.remote import is_url, open_url
from reco.io.root import MAGIC as ROOT_MAGIC
from reco.io.root import RootFile
from reco.io.store import is_product_file


@dataclass(frozen=True)
class Format:
    """One row of the table of formats.

    recognise: whether an open file is of this format. open: the reader for it, from the open
    file, its path and the branches.
    """

    name: str
    recognise: Callable[[Any, Branches], bool]
    open: Callable[[Any, str, Branches], Reader]


HDF5_FORMATS = (
    Format("reco", lambda f, b: is_product_file(f), NativeReader),
    Format("PILArNet-M", lambda f, b: pilarnet.recognise(f), pilarnet.PilarnetReader),
    Format("SPINE", lambda f, b: spine.recognise(f), spine.SpineReader),
    Format("ndlar_flow", lambda f, b: ndlar_flow.recognise(f), ndlar_flow.NdlarFlowReader),
    Format("larcv3", lambda f, b: larcv3.recognise(f), larcv3.Larcv3Reader),
    Format("numl", lambda f, b: numl.recognise(f), numl.NumlReader),
    Format("JAXTPC", lambda f, b: jaxtpc.recognise(f), jaxtpc.JaxtpcReader),
    *(Format(name, is_it, refuse) for name, is_it, refuse in refused.HDF5_FORMATS),
    Format("larnd-sim segments", lambda f, b: larndsim.recognise(f), larndsim.LarndSimReader),
    Format("flat HDF5", flat_hdf5.recognise, flat_hdf5.FlatHdf5Reader),
)
ROOT_FORMATS = (
    Format("edep-sim", lambda f, b: edepsim.recognise(f), edepsim.EdepSimReader),
    Format("larcv2", lambda f, b: larcv2.recognise(f), larcv2.Larcv2Reader),
    Format("flat ROOT", lambda f, b: flat_root.recognise(f), flat_root.FlatRootReader),
)
"""Formats in the order in which they are tried; the more particular ones first."""


def open_input(path: str | Path, branches: Branches | None = None) -> Reader:
    """The reader for a file or URL, whatever it is called.

    branches: names and units, where they are not the format's own. Raises FormatError for a file
    that does not exist, is of no known format, or is known and cannot be used; the message says
    which and why.
    """
    path = str(path)
    branches = branches or Branches()
    remote = open_url(path) if is_url(path) else None
    head = _first_bytes(path, remote)
    foreign = open_by_plugin(path, head, branches)
    if foreign is not None:
        return foreign
    if head.startswith(HDF5_MAGIC) or (remote is None and h5py.is_hdf5(path)):
        return _open(open_hdf5(path, remote), HDF5_FORMATS, path, branches)
    if head.startswith(ROOT_MAGIC):
        return _open_root(RootFile(path, remote), path, branches)
    text = "text is made flat HDF5 as docs/formats.md shows; " if head.isascii() else ""
    raise FormatError(
        f"{path}: neither ROOT nor HDF5 (it starts with {head[:16]!r}); {text}{known_formats()}"
    )


def _open_root(root: RootFile, path: str, branches: Branches) -> Reader:
    try:
        reader = _open(root, ROOT_FORMATS, path, branches)
    except FormatError as error:
        if not root.notes:
            raise
        left = str(error).removeprefix(f"{path}: ")
        raise FormatError(
            f"{path}: {'; '.join(root.notes)}: copy or make it again; of what is left: {left}"
        ) from None
    _check_whole(reader, path, root.notes)
    return reader


def _check_whole(reader: Reader, path: str, notes: Sequence[str]) -> None:
    """Raise FormatError where nothing is left of a file that was cut short."""
    n = len(reader)
    if notes and not any(_reads(reader, number) for number in {0, n // 2, n - 1} if n):
        reader.close()
        raise FormatError(
            f"{path}: {'; '.join(notes)}, and no event is whole; copy or make it again"
        )


def _reads(reader: Reader, number: int) -> bool:
    try:
        reader.read(number, number + 1)
    except FormatError:
        return False
    return True


def known_formats() -> str:
    refusals = {name for name, _, _ in refused.HDF5_FORMATS}
    names = [f.name for f in (*ROOT_FORMATS, *HDF5_FORMATS) if f.name not in refusals]
    return f"formats that can be read: {', '.join((*names, *plugin_names()))}"


def _first_bytes(path: str, remote: Any) -> bytes:
    if remote is None:
        return first_bytes(path)
    with guard(path, "first bytes"):
        head = bytes(remote.read(HEAD))
        remote.seek(0)
        return head


def _open(file: Any, formats: tuple[Format, ...], path: str, branches: Branches) -> Reader:
    try:
        with guard(path, "file"):
            for row in formats:
                if row.recognise(file, branches):
                    return row.open(file, path, branches)
            found = ", ".join(list(file)[:12]) or "nothing"
            raise FormatError(f"{path}: holds {found}, no known format; {known_formats()}")
    except BaseException:
        file.close()
        raise
