"""SPINE HDF5 output, version 1 and 2: its points as hits, and its true particles."""

from typing import Any

import h5py
import numpy as np

from reco.data.classes import PID
from reco.data.product import Product
from reco.data.products import (
    Header,
    Hits,
    Quantity,
    TruthDeposits,
    TruthInteractions,
    TruthParticles,
)
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import Description, Entry, guard
from reco.io.branches import TIME, Branches
from reco.io.hdf5 import Hdf5Reader
from reco.io.hits import HitColumns, deposits_on_hits, header_of, hits_of
from reco.io.labelled import directions, interactions_of, particles_of, renumber
from reco.io.larcv2_truth import semantic_of
from reco.io.masses import kinetic_energy
from reco.io.simulated import rows_of
from reco.io.spine_file import Objects, SpineFile, spine_file

POINTS, VALUES = "points", "depositions"
PARTICLES, INTERACTIONS, FRAGMENTS = "truth_particles", "truth_interactions", "truth_fragments"
SOURCES = (
    ("points_label", "depositions_label", "index"),
    (POINTS, VALUES, "index_adapt"),
    (POINTS, VALUES, "index"),
)
"""Points that carry truth, their energies, and the index of a true particle into them."""
N_PID = len(PID) - 1


def recognise(file: Any) -> bool:
    info = file.get("info")
    named = info is not None and info.attrs.get("format") == "spine_hdf5"
    events = file.get("events")
    older = (
        info is not None
        and isinstance(events, h5py.Dataset)
        and events.dtype.names is not None
        and "cfg" in info.attrs
    )
    return bool(named or older)


class SpineReader(Hdf5Reader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(file, path)
        self.spine = spine_file(file, path)
        self.n_events = len(self.spine)
        self.values = branches.charge or branches.energy or VALUES
        self.quantity = Quantity.CHARGE if branches.charge else Quantity.ENERGY
        self.scale = branches.scale(self.quantity)
        self.value_unit = branches.value_unit(self.quantity)
        lacking = [n for n in (POINTS, self.values) if n not in self.spine.names]
        if lacking:
            raise FormatError(
                f"{path}: SPINE output without {' and '.join(lacking)}; keep them when it is "
                f"written (`keep` of its writer). It has {', '.join(self.spine.names)}"
            )
        self.has_truth = PARTICLES in self.spine.names

    def __len__(self) -> int:
        return self.n_events

    def describe(self) -> Description:
        kinds = (TruthDeposits, TruthParticles, TruthInteractions) if self.has_truth else ()
        used = (PARTICLES, INTERACTIONS, FRAGMENTS, "points_label") if self.has_truth else ()
        return Description(
            format=f"SPINE HDF5, version {self.spine.version}",
            path=self.path,
            n_events=len(self),
            quantity=self.quantity,
            truth=tuple(kind.__name__ for kind in kinds),
            branches=(
                ("x y z", POINTS),
                ("value", self.values),
                *(("truth", name) for name in used if name in self.spine.names),
            ),
            units=f"length cm, {self.value_unit}",
            notes=("what SPINE reconstructed is not read, only what it started from",),
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        return [self._event(Entry(self.path, number)) for number in range(start, stop)]

    def _event(self, entry: Entry) -> tuple[Product, ...]:
        with guard(self.path, f"entry {entry.number}"):
            position = self._points(entry, POINTS)
            hits = self._hits(entry, position, self.values, self.quantity, self.scale)
            header = _header(entry, self.spine)
            if not self.has_truth:
                return (header, hits)
            particles = self._objects(PARTICLES, entry)
            if particles.text("units") == "px":
                raise entry.error(
                    PARTICLES, "is in pixels", "have SPINE write it in cm (build: units: cm)"
                )
            return (header, hits, *self._truth(entry, particles))

    def _truth(self, entry: Entry, particles: Objects) -> tuple[Product, ...]:
        points, values, index = self._source(particles)
        position = self._points(entry, points)
        quantity, scale = Quantity.ENERGY, 1.0
        if values == self.values:
            quantity, scale = self.quantity, self.scale
        hits = self._hits(entry, position, values, quantity, scale)
        owner = _owners(entry, index, particles.indexes(index), len(position))
        shape = np.append(semantic_of(particles.numbers("shape", -1).astype(np.int64)), -1)
        semantic, fragment = shape[owner], np.full(len(position), -1)
        if FRAGMENTS in self.spine.names:
            pieces = self._objects(FRAGMENTS, entry)
            fragment = _owners(entry, index, pieces.indexes(index), len(position))
            own = np.append(semantic_of(pieces.numbers("shape", -1).astype(np.int64)), -1)
            semantic = np.where(fragment >= 0, own[fragment], semantic)
        kept, row = np.unique(np.append(owner, -1), return_inverse=True)
        energy = hits.value.values
        if quantity is Quantity.CHARGE:
            energy = np.full(len(position), np.nan)
        deposits = deposits_on_hits(hits, energy, semantic, fragment, row[:-1] - 1)
        return (deposits, *self._tables(entry, particles, kept[1:], deposits))

    def _tables(
        self, entry: Entry, objects: Objects, rows: Array, deposits: TruthDeposits
    ) -> tuple[TruthParticles, TruthInteractions]:
        particles = _particles(objects, rows, deposits)
        particles, numbers = renumber(particles)
        vertices, pdg = np.full((len(numbers), 3), np.nan), np.zeros(len(numbers), np.int32)
        if INTERACTIONS in self.spine.names:
            found = self._objects(INTERACTIONS, entry)
            at = rows_of(found.numbers("id", -1).astype(np.int64), numbers)
            known = at >= 0
            vertices[known] = found.vectors("vertex")[at[known]]
            codes = found.numbers("pdg_code", 0)[at[known]]
            pdg[known] = np.where(codes == -1, 0, codes)
        return particles, interactions_of(particles, vertices, primaries=True, pdg=pdg)

    def _source(self, particles: Objects) -> tuple[str, str, str]:
        for points, values, index in SOURCES:
            filled = any(len(rows) for rows in particles.indexes(index))
            if {points, values} <= set(self.spine.names) and filled:
                return points, values, index
        return SOURCES[-1]

    def _objects(self, name: str, entry: Entry) -> Objects:
        return self.spine.objects(name, entry.number)

    def _points(self, entry: Entry, name: str) -> Array:
        return self.spine.array(name, entry.number).reshape(-1, 3).astype(np.float64)

    def _hits(
        self, entry: Entry, position: Array, values: str, quantity: Quantity, scale: float
    ) -> Hits:
        value = self.spine.array(values, entry.number).reshape(-1)
        if len(value) != len(position):
            raise entry.error(values, f"has {len(value)} values for {len(position)} points")
        names = (POINTS, POINTS, POINTS, values, values)
        return hits_of(
            entry, HitColumns(position, value * scale, np.zeros(len(value)), names), quantity
        )


def _header(entry: Entry, spine: SpineFile) -> Header:
    if "run_info" not in spine.names:
        return header_of(entry)
    info = spine.objects("run_info", entry.number)
    numbers = {n: info.numbers(n, -1) for n in ("run", "subrun", "event")}
    return header_of(entry, **{n: int(v[0]) if len(v) else -1 for n, v in numbers.items()})


def _owners(entry: Entry, name: str, indexes: list[Array], n_points: int) -> Array:
    """(N,) the object that each point belongs to, the first one, or -1."""
    owner = np.full(n_points, -1, np.int64)
    for i in reversed(range(len(indexes))):
        rows = indexes[i]
        if len(rows) and not 0 <= rows.min() <= rows.max() < n_points:
            raise entry.error(name, f"of object {i} reaches point {rows.max()} of {n_points}")
        owner[rows] = i
    return owner


def _particles(objects: Objects, rows: Array, deposits: TruthDeposits) -> TruthParticles:
    """The rows of the objects that left a point."""

    def column(name: str, missing: float) -> Array:
        return objects.numbers(name, missing)[rows]

    pdg = np.where(column("pdg_code", -1) == -1, 0, column("pdg_code", -1)).astype(np.int64)
    pid = column("pid", -1).astype(np.int64)
    momentum = objects.vectors("momentum")[rows]
    energy = column("ke", np.nan).astype(np.float64)
    own = deposits.particle.values
    deposit = np.bincount(own[own >= 0], deposits.energy.values[own >= 0], len(rows))
    stated = column("energy_deposit", np.nan).astype(np.float64)
    group = objects.numbers("id", -1).astype(np.int64)
    parent = rows_of(group[rows], column("parent_id", -1).astype(np.int64))
    return particles_of(
        len(rows),
        {
            "pid": np.where((pid >= 0) & (pid < N_PID), pid, PID.UNKNOWN),
            "pdg": pdg,
            "semantic": semantic_of(column("shape", -1).astype(np.int64)),
            "interaction": column("interaction_id", -1).astype(np.int64),
            "parent": np.where(parent == np.arange(len(rows)), -1, parent),
            "is_primary": column("is_primary", 0).astype(bool),
            "start": _first_finite(objects, rows, ("start_point", "first_step", "position")),
            "end": _first_finite(objects, rows, ("end_point", "last_step", "end_position")),
            "direction": _first_finite(objects, rows, ("start_dir",), directions(momentum)),
            "energy": np.where(np.isfinite(energy), energy, kinetic_energy(momentum, pdg)),
            "energy_deposit": np.where(np.isfinite(stated), stated, deposit),
            "length": column("length", np.nan),
            "time": column("t", np.nan).astype(np.float64) * TIME["ns"],
            "contained": column("is_contained", 0).astype(bool),
        },
    )


def _first_finite(
    objects: Objects, rows: Array, names: tuple[str, ...], last: Array | None = None
) -> Array:
    """(P, 3): of several columns the first that is known, row by row."""
    out = np.full((len(rows), 3), np.nan) if last is None else last
    for name in reversed(names):
        found = objects.vectors(name)[rows]
        out = np.where(np.isfinite(found).all(axis=1, keepdims=True), found, out)
    return out
