"""larnd-sim HDF5: `segments` of edep-sim, with old or current names, in cm, MeV and µs."""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from reco.data.product import Product
from reco.data.products import Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array
from reco.data.tracks import Tracks
from reco.errors import FormatError
from reco.io.base import Description, Entry, EventReader, as_float32, guard
from reco.io.branches import Branches
from reco.io.hdf5 import EventIndex, Table, index_by_columns, with_events
from reco.io.hits import header_of
from reco.io.masses import kinetic_energy
from reco.io.simulated import (
    UNKNOWN_PARENT,
    Segments,
    no_tracks,
    process_codes,
    roots,
    rows_of,
    simulated_event,
    with_stubs,
)

EVENT = ("event_id", "eventID", "spillID")
TRACK = ("traj_id", "trackID")
PDG = ("pdg_id", "pdgId")
TIME = ("t0", "t")
ENDS = tuple(f"{axis}_{end}" for end in ("start", "end") for axis in "xyz")
TRAJECTORY = ("parent_id", "parentID"), ("pxyz_start",), ("xyz_start",), ("xyz_end",), ("t_start",)
VERTEX = "vertex_id"


def recognise(file: Any) -> bool:
    node = file.get("segments")
    return isinstance(node, h5py.Dataset) and node.dtype.names is not None


@dataclass(frozen=True)
class Names:
    """Which spelling of each column the file has."""

    event: str
    track: str
    pdg: str
    time: str


class LarndSimReader(EventReader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(path)
        self.file = file
        self.segments = Table(path, file["segments"])
        self.names = _names(self.segments)
        self.index = index_by_columns(self.segments, [self.names.event])
        self.trajectories = _trajectories(file, path)
        self.neutrinos = _side_table(file, path, "mc_hdr", (VERTEX, "nu_pdg"))
        self.index = self._with_empty_events()
        self.trajectory_index: EventIndex | None = None
        self.trajectory_row: dict[int, int] = {}
        if self.trajectories is not None:
            self.trajectory_index = _index(self.trajectories)
            self.trajectory_row = {int(n): i for i, n in enumerate(self.trajectory_index.ids)}
        self.branches = branches

    def __len__(self) -> int:
        return len(self.index)

    def describe(self) -> Description:
        names = self.names
        used = {"event": names.event, "energy": "dE", "t": names.time, "track": names.track}
        note = (
            ()
            if self.trajectories is not None
            else ("no trajectories: particles have no parent, interaction or initial energy",)
        )
        return Description(
            format="larnd-sim HDF5 segments",
            path=self.path,
            n_events=len(self),
            quantity=Quantity.ENERGY,
            truth=tuple(k.__name__ for k in (TruthDeposits, TruthParticles, TruthInteractions)),
            branches=(
                *((role, f"/segments/{name}") for role, name in used.items()),
                ("x y z", "/segments/{x,y,z}_{start,end}"),
            ),
            units="length cm, time us, energy MeV",
            notes=note,
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        return [self._event(number) for number in range(start, stop)]

    def _event(self, number: int) -> tuple[Product, ...]:
        entry = Entry(self.path, number)
        event = int(self.index.ids[number])
        with guard(self.path, f"entry {number}"):
            rows = _rows(self.segments, self.index, number)
            tracks, ids = self._tracks(entry, event)
            segments = _segments(rows, self.names, ids)
            tracks, segments = with_stubs(
                tracks, segments, _identity(rows, self.names.track), rows[self.names.pdg]
            )
            neutrino = self._neutrino_pdg(event, tracks, ids)
            header = header_of(entry, event=event)
            return simulated_event(entry, header, segments, tracks, neutrino)

    def _tracks(self, entry: Entry, event: int) -> tuple[Tracks, "Identities"]:
        """Trajectories of an event, and what they are called in it."""
        row = self.trajectory_row.get(event)
        if self.trajectories is None or self.trajectory_index is None or row is None:
            return no_tracks(), Identities(np.zeros(0, np.int64), np.zeros(0, np.int64))
        rows = _rows(self.trajectories, self.trajectory_index, row)
        return _tracks(rows)

    def _neutrino_pdg(self, event: int, tracks: Tracks, ids: "Identities") -> Array | None:
        if self.neutrinos is None or len(ids.vertices) == 0:
            return None
        known = self.neutrinos
        vertex = np.asarray(known[VERTEX])[known["event_id"] == event].astype(np.int64)
        pdg = np.asarray(known["nu_pdg"])[known["event_id"] == event]
        row = rows_of(vertex, ids.vertices)
        return np.where(row >= 0, pdg[row] if len(pdg) else 0, 0).astype(np.int32)

    def _with_empty_events(self) -> EventIndex:
        vertices = _side_table(self.file, self.path, "vertices", (VERTEX,))
        return self.index if vertices is None else with_events(self.index, vertices["event_id"])

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True)
class Identities:
    """What trajectories are called: (T,) int64 keys; (V,) int64 vertices by interaction."""

    keys: Array
    vertices: Array


def _names(segments: Table) -> Names:
    lacking = [name for name in (*ENDS, "dE") if name not in segments]
    found = [segments.first_of(names) for names in (EVENT, TRACK, PDG, TIME)]
    lacking += [
        " or ".join(names)
        for names, name in zip((EVENT, TRACK, PDG, TIME), found, strict=True)
        if name is None
    ]
    if lacking:
        raise FormatError(
            f"{segments.path}: dataset 'segments' lacks {', '.join(lacking)}; "
            f"its columns: {', '.join(segments.columns) or 'none'}"
        )
    return Names(*(str(name) for name in found))


def _trajectories(file: Any, path: str) -> Table | None:
    node = file.get("trajectories")
    if not isinstance(node, h5py.Dataset) or node.dtype.names is None:
        return None
    table = Table(path, node)
    wanted = (*TRAJECTORY, TRACK, PDG, EVENT)
    complete = all(any(name in node.dtype.names for name in names) for names in wanted)
    return table if complete else None


def _index(table: Table) -> EventIndex:
    return index_by_columns(table, [str(table.first_of(EVENT))])


def _side_table(file: Any, path: str, name: str, columns: tuple[str, ...]) -> Any:
    """A small table with a row per interaction, or None where the file lacks it."""
    node = file.get(name)
    if not isinstance(node, h5py.Dataset) or node.dtype.names is None:
        return None
    if not all(column in node.dtype.names for column in ("event_id", *columns)):
        return None
    return Table(path, node).rows(0, len(node))


def _rows(table: Table, index: EventIndex, number: int) -> Array:
    parts = [table.rows(a, b) for a, b in index.runs(number)]
    return np.concatenate(parts) if parts else table.rows(0, 0)


def _fields(rows: Array) -> tuple[str, ...]:
    return rows.dtype.names or ()


def _identity(rows: Array, track: str) -> Array:
    """(N,) int64: the number of a trajectory is its own only within its vertex."""
    number = rows[track].astype(np.int64)
    if VERTEX not in _fields(rows):
        return number
    return number + (rows[VERTEX].astype(np.int64) << 32)


def _segments(rows: Array, names: Names, ids: Identities) -> Segments:
    start, end = (
        np.stack([rows[f"{axis}_{side}"] for axis in "xyz"], axis=1).astype(np.float64)
        for side in ("start", "end")
    )
    return Segments(
        start,
        end,
        rows["dE"].astype(np.float64),
        rows[names.time].astype(np.float64),
        rows_of(ids.keys, _identity(rows, names.track)),
        ("x_start", "y_start", "z_start", "dE", names.time),
    )


def _tracks(rows: Array) -> tuple[Tracks, Identities]:
    columns = _fields(rows)
    track, pdg_name, parent_name = (
        next(name for name in names if name in columns)
        for names in (TRACK, PDG, ("parent_id", "parentID"))
    )
    keys = _identity(rows, track)
    parent_number = rows[parent_name].astype(np.int64)
    parent = rows_of(keys, keys - rows[track].astype(np.int64) + parent_number)
    parent[parent_number < 0] = -1
    primary = parent_number < 0
    number = rows[VERTEX].astype(np.int64) if VERTEX in columns else np.zeros(len(rows), np.int64)
    vertices, interaction = np.unique(number, return_inverse=True)
    pdg = rows[pdg_name].astype(np.int32)
    momentum = np.asarray(rows["pxyz_start"], np.float64)
    start, end = np.asarray(rows["xyz_start"]), np.asarray(rows["xyz_end"])
    tracks = Tracks(
        track_id=np.arange(1, len(rows) + 1, dtype=np.int32),
        parent_id=np.where(primary, 0, np.where(parent >= 0, parent + 1, UNKNOWN_PARENT)).astype(
            np.int32
        ),
        pdg=pdg,
        process=_processes(rows, np.where(parent >= 0, pdg[parent], 0), primary),
        interaction=interaction[roots(parent)].astype(np.int32),
        start=as_float32(start),
        end=as_float32(end),
        momentum=as_float32(momentum),
        kinetic_energy=as_float32(kinetic_energy(momentum, pdg)),
        length=_lengths(rows, start, end),
        time=as_float32(rows["t_start"]),
    )
    return tracks, Identities(keys, vertices)


def _processes(rows: Array, parent_pdg: Array, primary: Array) -> Array:
    if not {"start_process", "start_subprocess"} <= set(_fields(rows)):
        none = np.zeros(len(rows), np.int64)
        return process_codes(none, none, parent_pdg, primary)
    return process_codes(rows["start_process"], rows["start_subprocess"], parent_pdg, primary)


def _lengths(rows: Array, start: Array, end: Array) -> Array:
    if "dist_travel" in _fields(rows):
        return as_float32(rows["dist_travel"])
    return as_float32(np.linalg.norm(end.astype(np.float64) - start, axis=1))
