"""Files that are known and hold no hits in space, each with the reason a user is told."""

from collections.abc import Callable
from typing import Any, NoReturn

import h5py

from reco.errors import FormatError
from reco.io.branches import Branches

Recognise = Callable[[Any, Branches], bool]
Open = Callable[[Any, str, Branches], NoReturn]


def _has(*names: str) -> Recognise:
    return lambda file, branches: all(name in file for name in names)


def _is_larpix_reco(file: Any, branches: Branches) -> bool:
    events = file.get("events")
    names = events.dtype.names if isinstance(events, h5py.Dataset) else None
    return names is not None and "hit_ref" in names and "hits" in file


def _is_packets_only(file: Any, branches: Branches) -> bool:
    return "packets" in file and "segments" not in file


def _refuse(name: str, reason: str) -> Open:
    def refuse(file: Any, path: str, branches: Branches) -> NoReturn:
        raise FormatError(f"{path}: a file of {name}: {reason}")

    return refuse


_KNOWN: tuple[tuple[str, Recognise, str], ...] = (
    (
        "MicroBooNE OpenSamples",
        _has("hit_table", "event_table"),
        "its hits are wires and times of single planes, with no position in space; "
        "make space points of them first",
    ),
    (
        "larpix charge reconstruction (event display)",
        _is_larpix_reco,
        "its hits have a pixel and a clock tick, the drift coordinate needs the file's own "
        "trigger and velocity; use its successor ndlar_flow, or convert the hits to flat HDF5",
    ),
    (
        "larnd-sim or larpix packets",
        _is_packets_only,
        "packets name channels, their positions need the pixel map of the detector; run "
        "ndlar_flow on it, or keep the 'segments' of the simulation",
    ),
)

HDF5_FORMATS: tuple[tuple[str, Recognise, Open], ...] = tuple(
    (name, recognise, _refuse(name, reason)) for name, recognise, reason in _KNOWN
)
"""(name, whether a file is one, what to raise)."""
