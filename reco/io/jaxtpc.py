"""edep-sim HDF5 as JAXTPC uses it: steps, particles and vertices of each event, in mm and ns.

A row per event holds a variable-length compound: `pstep/<volume>` the steps of each sensitive
volume, by their middle, length and direction, `particle/geant4` the trajectories,
`primary/geant4` and `vertex/geant4` where they come from.
"""

from typing import Any

import h5py
import numpy as np

from reco.data.product import Product
from reco.data.products import Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array
from reco.data.tracks import Tracks
from reco.errors import FormatError
from reco.io.base import CORRUPT, Description, Entry, as_float32, guard
from reco.io.branches import LENGTH, TIME, Branches
from reco.io.hdf5 import Hdf5Reader, check_length
from reco.io.hits import header_of
from reco.io.simulated import (
    UNKNOWN_PARENT,
    Segments,
    process_codes,
    roots,
    rows_of,
    simulated_event,
    with_stubs,
)

STEPS, PARTICLES, PRIMARIES, NUMBERS = (
    "pstep",
    "particle/geant4",
    "primary/geant4",
    "event/geant4",
)
STEP = ("x", "y", "z", "t", "theta", "phi", "dx", "de", "track_id", "pdg")
PARTICLE = (
    *("x", "y", "z", "t", "px", "py", "pz", "ke", "end_x", "end_y", "end_z"),
    *("track_id", "parent_track_id", "pdg", "proc_start", "subproc_start"),
)
CM, US = LENGTH["mm"], TIME["ns"]


def recognise(file: Any) -> bool:
    return isinstance(file.get(STEPS), h5py.Group) and "particle" in file


class JaxtpcReader(Hdf5Reader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(file, path)
        self.volumes = _volumes(file, path, branches)
        needed = [(f"{STEPS}/{name}", STEP) for name in self.volumes]
        for name, columns in (*needed, (PARTICLES, PARTICLE)):
            _check(file, path, name, columns)
        if len({len(file[name]) for name, _ in (*needed, (PARTICLES, PARTICLE))}) > 1:
            raise FormatError(f"{path}: its tables hold different numbers of events; {CORRUPT}")

    def __len__(self) -> int:
        return len(self.file[PARTICLES])

    def describe(self) -> Description:
        return Description(
            format="edep-sim HDF5 (JAXTPC)",
            path=self.path,
            n_events=len(self),
            quantity=Quantity.ENERGY,
            truth=tuple(k.__name__ for k in (TruthDeposits, TruthParticles, TruthInteractions)),
            branches=(
                *(("steps", f"/{STEPS}/{name}") for name in self.volumes),
                ("tracks", f"/{PARTICLES}"),
            ),
            units="length mm, time ns, energy MeV",
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        return [self._event(Entry(self.path, number)) for number in range(start, stop)]

    def _event(self, entry: Entry) -> tuple[Product, ...]:
        with guard(self.path, f"entry {entry.number}"):
            steps = [self.file[f"{STEPS}/{name}"][entry.number] for name in self.volumes]
            rows = {n: np.concatenate([part[n] for part in steps]) for n in STEP}
            particles = self.file[PARTICLES][entry.number]
            tracks = _tracks(particles, self._interaction(entry))
            ids = particles["track_id"].astype(np.int64)
            of_step = rows["track_id"].astype(np.int64)
            segments = _segments(rows, rows_of(ids, of_step))
            tracks, segments = with_stubs(tracks, segments, of_step, rows["pdg"])
            return simulated_event(entry, self._header(entry), segments, tracks, None)

    def _header(self, entry: Entry) -> Any:
        if NUMBERS not in self.file:
            return header_of(entry)
        row = self.file[NUMBERS][entry.number]
        return header_of(entry, run=int(row["run_id"]), event=int(row["event_id"]))

    def _interaction(self, entry: Entry) -> tuple[Array, Array]:
        """(K,) tracks of the primaries, and the interaction of each."""
        if PRIMARIES not in self.file:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        rows = self.file[PRIMARIES][entry.number]
        return rows["track_id"].astype(np.int64), rows["interaction_id"].astype(np.int64)


def _volumes(file: Any, path: str, branches: Branches) -> tuple[str, ...]:
    found = tuple(file[STEPS])
    lacking = [name for name in branches.detectors if name not in found]
    if lacking or not found:
        raise FormatError(
            f"{path}: no steps of {', '.join(lacking) or 'any volume'}; it has "
            f"{', '.join(found) or 'none'}"
        )
    return branches.detectors or found


def _check(file: Any, path: str, name: str, columns: tuple[str, ...]) -> None:
    node = file.get(name)
    kind = h5py.check_vlen_dtype(node.dtype) if isinstance(node, h5py.Dataset) else None
    names = () if kind is None else np.dtype(kind).names or ()
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise FormatError(
            f"{path}: dataset {name!r} lacks {', '.join(lacking)}; "
            f"its columns: {', '.join(names) or 'none'}"
        )
    check_length(path, node)


def _segments(rows: dict[str, Array], track: Array) -> Segments:
    middle = np.stack([rows[axis] for axis in "xyz"], axis=1).astype(np.float64) * CM
    theta, phi = rows["theta"].astype(np.float64), rows["phi"].astype(np.float64)
    along = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1
    )
    half = along * (rows["dx"].astype(np.float64) * CM / 2)[:, None]
    energy, time = rows["de"].astype(np.float64), rows["t"].astype(np.float64) * US
    return Segments(middle - half, middle + half, energy, time, track, ("x", "y", "z", "de", "t"))


def _tracks(rows: Array, primaries: tuple[Array, Array]) -> Tracks:
    """A track's number may be 0 here, so parents are told by row."""
    ids = rows["track_id"].astype(np.int64)
    number = rows["parent_track_id"].astype(np.int64)
    primary = number < 0
    parent = np.where(primary, -1, rows_of(ids, number))
    parent[parent == np.arange(len(parent))] = -1
    pdg = rows["pdg"].astype(np.int32)
    start, end, momentum = (
        np.stack([rows[f"{prefix}{axis}"] for axis in "xyz"], axis=1).astype(np.float64)
        for prefix in ("", "end_", "p")
    )
    above = np.where(parent >= 0, pdg[parent], 0) if len(pdg) else pdg
    tracks, interactions = primaries
    root = ids[roots(parent)] if len(ids) else ids
    row = rows_of(tracks, root)
    interaction = np.where(row >= 0, interactions[row] if len(tracks) else 0, -1)
    return Tracks(
        track_id=np.arange(1, len(rows) + 1, dtype=np.int32),
        parent_id=np.where(primary, 0, np.where(parent >= 0, parent + 1, UNKNOWN_PARENT)).astype(
            np.int32
        ),
        pdg=pdg,
        process=process_codes(rows["proc_start"], rows["subproc_start"], above, primary),
        interaction=interaction.astype(np.int32),
        start=as_float32(start * CM),
        end=as_float32(end * CM),
        momentum=as_float32(momentum),
        kinetic_energy=as_float32(rows["ke"]),
        length=as_float32(np.linalg.norm(end - start, axis=1) * CM),
        time=as_float32(rows["t"].astype(np.float64) * US),
    )
