"""numl HDF5 (the samples of NuGraph) with space points: each table a group of (N, 1) columns.

`<table>/event_id.seq_cnt` has a row per event that has rows: (row of event_table, rows of it).
"""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from reco.data.product import Product
from reco.data.products import Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import CORRUPT, Description, Entry, guard
from reco.io.branches import ENERGY, Branches
from reco.io.hdf5 import Hdf5Reader, check_length
from reco.io.hits import HitColumns, deposits_on_hits, header_of, hits_of
from reco.io.labelled import directions, interactions_of, particles_of, pids_of
from reco.io.masses import masses_of
from reco.io.simulated import rows_of

POINTS, HITS, DEPOSITS, PARTICLES, EVENTS = (
    "spacepoint_table",
    "hit_table",
    "edep_table",
    "particle_table",
    "event_table",
)
SEQUENCE = "event_id.seq_cnt"
NEEDED = {
    POINTS: ("position", "hit_id"),
    HITS: ("hit_id", "local_plane", "integral"),
    DEPOSITS: ("hit_id", "g4_id", "energy"),
    PARTICLES: ("g4_id", "parent_id", "momentum"),
}
CODE = ("type", "g4_pdg")
"""Columns of particle_table that may hold the PDG code."""


def recognise(file: Any) -> bool:
    return POINTS in file and EVENTS in file


@dataclass(frozen=True)
class Event:
    """Tables of one event. points: (N, 3) cm. hits: (N, 3) rows of the hits of each point on the
    three planes, -1 for none. plane, integral: (H,). hit_id: (H,)."""

    points: Array
    hits: Array
    hit_id: Array
    plane: Array
    integral: Array

    def carrier(self) -> Array:
        """(N,) row of the hit that gives a point its charge, on the plane of the highest number
        (the collection wires); -1 for a point without hits."""
        plane = np.append(self.plane, -1)[self.hits]
        best = plane.argmax(axis=1)
        return self.hits[np.arange(len(best)), best]

    def shared(self, of_hit: Array) -> Array:
        """(N,) value of the carrier, in equal parts to all the points that it carries."""
        carrier = self.carrier()
        points = np.bincount(carrier[carrier >= 0], minlength=len(of_hit))
        part = of_hit / np.maximum(points, 1)
        return np.where(carrier >= 0, np.append(part, 0.0)[carrier], 0.0)


class NumlReader(Hdf5Reader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(file, path)
        tables = (POINTS, HITS, DEPOSITS, PARTICLES)
        self.has_truth = DEPOSITS in file and PARTICLES in file
        self.starts = {}
        for name in tables if self.has_truth else tables[:2]:
            _check(file, path, name)
            self.starts[name] = _starts(file, path, name, len(self))
        self.code = next((n for n in CODE if n in file.get(PARTICLES, ())), None)
        if self.has_truth and self.code is None:
            raise FormatError(f"{path}: {PARTICLES} has no {' or '.join(CODE)}")
        self.scale = branches.scale(Quantity.CHARGE)
        self.unit = branches.charge_unit or "ADC counts"

    def __len__(self) -> int:
        return len(self.file[EVENTS]["event_id"])

    def describe(self) -> Description:
        kinds = (TruthDeposits, TruthParticles, TruthInteractions) if self.has_truth else ()
        return Description(
            format="numl HDF5 with space points",
            path=self.path,
            n_events=len(self),
            quantity=Quantity.CHARGE,
            truth=tuple(kind.__name__ for kind in kinds),
            branches=(("x y z", f"/{POINTS}/position"), ("charge", f"/{HITS}/integral")),
            units=f"length cm, charge {self.unit}",
            notes=(
                "charges are integrals of hits in ADC counts, shared by the points of a hit: "
                "set the gain of the detector",
                *(("no semantic classes and no fragments",) if self.has_truth else ()),
            ),
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        return [self._event(Entry(self.path, number)) for number in range(start, stop)]

    def _event(self, entry: Entry) -> tuple[Product, ...]:
        with guard(self.path, f"entry {entry.number}"):
            event = self._tables(entry)
            names = ("position", "position", "position", "integral", "")
            value = event.shared(event.integral * self.scale)
            columns = HitColumns(event.points, value, np.zeros(len(value)), names)
            hits = hits_of(entry, columns, Quantity.CHARGE)
            numbers = [int(n) for n in self.file[EVENTS]["event_id"][entry.number]]
            header = header_of(entry, *numbers[:3])
            if not self.has_truth:
                return (header, hits)
            particle, energy, tables = self._truth(entry, event)
            none = np.full(len(particle), -1)
            return (header, hits, deposits_on_hits(hits, energy, none, none, particle), *tables)

    def _tables(self, entry: Entry) -> Event:
        hit_id = self._column(HITS, "hit_id", entry)
        named = self._column(POINTS, "hit_id", entry).reshape(-1, 3)
        row = rows_of(hit_id, named.reshape(-1).astype(np.int64)).reshape(-1, 3)
        return Event(
            points=self._column(POINTS, "position", entry).reshape(-1, 3).astype(np.float64),
            hits=np.where(named >= 0, row, -1),
            hit_id=hit_id.astype(np.int64),
            plane=self._column(HITS, "local_plane", entry).astype(np.int64),
            integral=self._column(HITS, "integral", entry).astype(np.float64),
        )

    def _truth(
        self, entry: Entry, event: Event
    ) -> tuple[Array, Array, tuple[TruthParticles, TruthInteractions]]:
        """(N,) particle and (N,) MeV of each point, and the tables. A hit is of the particle that
        gave it most of its energy."""
        table = {name: self._column(DEPOSITS, name, entry) for name in NEEDED[DEPOSITS]}
        hit = rows_of(event.hit_id, table["hit_id"].astype(np.int64))
        kept = np.flatnonzero(hit >= 0)
        energy = table["energy"].astype(np.float64)
        total = np.bincount(hit[kept], energy[kept], len(event.hit_id))
        strongest = kept[np.lexsort((energy[kept], hit[kept]))]
        owner = np.full(len(event.hit_id) + 1, -1, np.int64)
        owner[hit[strongest]] = table["g4_id"][strongest]
        track = owner[event.carrier()]
        g4 = self._column(PARTICLES, "g4_id", entry).astype(np.int64)
        rows = np.unique(rows_of(g4, track[track >= 0]))
        rows = rows[rows >= 0]
        particle = rows_of(g4[rows], track)
        particle[track < 0] = -1
        shared = event.shared(total)
        particles = self._particles(entry, rows, particle, shared)
        vertices = np.zeros((0, 3))
        tables = (particles, interactions_of(particles, vertices, primaries=True))
        return particle, shared, tables

    def _particles(
        self, entry: Entry, rows: Array, particle: Array, energy: Array
    ) -> TruthParticles:
        g4, parent = (
            self._column(PARTICLES, n, entry).astype(np.int64) for n in ("g4_id", "parent_id")
        )
        pdg = self._column(PARTICLES, str(self.code), entry)[rows].astype(np.int64)
        momentum = self._column(PARTICLES, "momentum", entry)[rows] * ENERGY["GeV"]
        mass = masses_of(pdg)
        total = np.hypot(momentum, mass) + mass
        columns = {
            "pid": pids_of(pdg),
            "pdg": pdg,
            "parent": rows_of(g4[rows], parent[rows]),
            "is_primary": parent[rows] == 0,
            "energy": momentum**2 / np.where(total == 0, 1.0, total),
            "energy_deposit": np.bincount(
                particle[particle >= 0], energy[particle >= 0], len(rows)
            ),
        }
        for name in ("start", "end"):
            if f"{name}_position" in self.file[PARTICLES]:
                points = self._column(PARTICLES, f"{name}_position", entry)
                columns[name] = points.reshape(-1, 3)[rows]
        if {"start", "end"} <= columns.keys():
            straight = (pdg != 22) & np.isin(np.abs(pdg), (13, 211, 2212, 321))
            way = directions(columns["end"].astype(np.float64) - columns["start"])
            columns["direction"] = np.where(straight[:, None], way, np.nan)
        return particles_of(len(rows), columns)

    def _column(self, table: str, name: str, entry: Entry) -> Array:
        cut = slice(*self.starts[table][entry.number])
        values = np.asarray(self.file[table][name][cut])
        return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _check(file: Any, path: str, name: str) -> None:
    table = file.get(name, {})
    lacking = [column for column in (*NEEDED[name], SEQUENCE) if column not in table]
    if lacking:
        raise FormatError(
            f"{path}: {name} lacks {', '.join(lacking)}; it has {', '.join(table) or 'nothing'}"
        )
    for column in NEEDED[name]:
        if not isinstance(table[column], h5py.Dataset):
            raise FormatError(f"{path}: {name}/{column} is no column; {CORRUPT}")
        check_length(path, table[column])


def _starts(file: Any, path: str, name: str, n_events: int) -> Array:
    """(E, 2) first row of each event and the row after its last; equal for events without rows."""
    with guard(path, f"{name}/{SEQUENCE}"):
        event, count = np.asarray(file[name][SEQUENCE][:]).reshape(-1, 2).astype(np.int64).T
    rows = len(file[name][NEEDED[name][0]])
    fits = (count >= 0).all() and ((event >= 0) & (event < n_events)).all()
    if not fits or count.sum() != rows or len(np.unique(event)) < len(event):
        raise FormatError(
            f"{path}: {name}/{SEQUENCE} does not cut {rows} rows into {n_events} events; {CORRUPT}"
        )
    starts = np.zeros((n_events, 2), np.int64)
    stops = np.cumsum(count)
    starts[event] = np.stack([stops - count, stops], axis=1)
    return starts
