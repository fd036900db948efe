"""larcv3 HDF5: the products of larcv2 as tables of rows, cut by nested extents.

A voxel's number runs with the last axis fastest, the opposite of larcv2.
"""

import re
from typing import Any

import h5py
import numpy as np

from reco.data.classes import Semantic
from reco.data.product import Product
from reco.data.products import Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import CORRUPT, Description, Entry, guard
from reco.io.branches import ENERGY, Branches
from reco.io.hdf5 import Hdf5Reader, check_length
from reco.io.hits import HitColumns, deposits_on_hits, header_of, hits_of
from reco.io.larcv2 import Chosen, choose
from reco.io.larcv2_bytes import Meta, Voxels, values_at
from reco.io.larcv2_particles import INVALID, PI0, LarcvParticles
from reco.io.larcv2_truth import semantic_of, truth_of
from reco.io.simulated import rows_of

GROUP = re.compile(r"^(\w+)_group$")
EVENT_ID = "Events/event_id"


def recognise(file: Any) -> bool:
    return EVENT_ID in file and "Data" in file


class Larcv3Reader(Hdf5Reader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(file, path)
        self.quantity = Quantity.CHARGE if branches.charge is not None else Quantity.ENERGY
        self.scale = branches.scale(self.quantity)
        self.value_unit = branches.value_unit(self.quantity)
        self.energy = ENERGY[branches.energy_unit or "MeV"]
        self.chosen = _choose(path, _products(file), branches)
        self.groups = {name: file[f"Data/{name}_group"] for name in self.chosen.names}
        for name, group in self.groups.items():
            for dataset in group.values():
                check_length(path, dataset)
            if len(group["extents"]) != len(self):
                raise FormatError(
                    f"{path}: {name} has {len(group['extents'])} events, the file has "
                    f"{len(self)}; {CORRUPT}"
                )

    def __len__(self) -> int:
        return len(self.file[EVENT_ID])

    def describe(self) -> Description:
        chosen = self.chosen
        roles = (
            ("hits", chosen.hits),
            ("clusters", chosen.clusters),
            ("particles", chosen.particles),
            ("semantics", chosen.semantics),
        )
        kinds: tuple[type[Product], ...] = ()
        if chosen.clusters and chosen.particles:
            kinds = (TruthDeposits, TruthParticles, TruthInteractions)
        elif chosen.semantics:
            kinds = (TruthDeposits,)
        return Description(
            format="larcv3 HDF5",
            path=self.path,
            n_events=len(self),
            quantity=self.quantity,
            truth=tuple(kind.__name__ for kind in kinds),
            branches=tuple((role, f"/Data/{name}_group") for role, name in roles if name),
            units=f"length cm, {self.value_unit}",
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        return [self._event(Entry(self.path, number)) for number in range(start, stop)]

    def _event(self, entry: Entry) -> tuple[Product, ...]:
        with guard(self.path, f"entry {entry.number}"):
            row = self.file[EVENT_ID][entry.number]
            numbers = {n: int(row[n].astype(np.int64)) for n in ("run", "subrun", "event")}
            hits, meta = _voxels(self.groups[self.chosen.hits], entry.number)
            columns = HitColumns(
                positions(meta, hits.id),
                hits.value * self.scale,
                np.zeros(len(hits)),
                (self.chosen.hits,) * 5,
            )
            product = hits_of(entry, columns, self.quantity)
            return (header_of(entry, **numbers), product, *self._truth(entry, hits, meta))

    def _truth(self, entry: Entry, hits: Voxels, meta: Meta) -> tuple[Product, ...]:
        chosen = self.chosen
        labels = None
        if chosen.semantics:
            labels, meta_of_labels = _voxels(self.groups[chosen.semantics], entry.number)
        if chosen.clusters and chosen.particles:
            voxels, meta = _voxels(self.groups[chosen.clusters], entry.number)
            unshaped = np.full(len(voxels), Semantic.UNKNOWN, np.int8)
            if labels is not None:
                unshaped = _classes(values_at(labels, voxels.id, Semantic.UNKNOWN))
            scaled = Voxels(voxels.id, voxels.value * self.energy, voxels.offsets)
            position = positions(meta, voxels.id)
            particles = _particles(self.groups[chosen.particles], entry.number, self.energy)
            return truth_of(scaled, position, unshaped, particles, meta)
        if labels is None:
            return ()
        energy = values_at(hits, labels.id, 0.0) * self.energy
        columns = HitColumns(
            positions(meta_of_labels, labels.id), energy, energy * 0, (chosen.hits,) * 5
        )
        none = np.full(len(labels), -1)
        at = hits_of(entry, columns, Quantity.ENERGY)
        return (deposits_on_hits(at, energy, _classes(labels.value), none, none),)


def positions(meta: Meta, ids: Array) -> Array:
    """(N,) voxel numbers, last axis fastest -> (N, 3) float64 cm, centres."""
    total = int(np.prod(meta.number))
    if len(ids) and int(ids.max()) >= total:
        raise ValueError(f"voxel {int(ids.max())} is not on the grid of {total} voxels")
    index = np.stack(np.unravel_index(ids.astype(np.int64), tuple(meta.number)), axis=1)
    return meta.lower + (index + 0.5) * meta.size


def _classes(values: Array) -> Array:
    return semantic_of(np.where(np.isfinite(values), values, -1).astype(np.int64))


def _products(file: Any) -> list[str]:
    """Products that hold something: a group can be there and be empty."""
    found = {m[1]: file["Data"][n] for n in file["Data"] if (m := GROUP.match(n))}
    return [
        name
        for name, group in found.items()
        if isinstance(group, h5py.Group) and "extents" in group and len(group["extents"])
    ]


def _choose(path: str, products: list[str], branches: Branches) -> Chosen:
    in_space = [p for p in products if p.startswith(("sparse3d", "cluster3d"))]
    if not in_space:
        raise FormatError(
            f"{path}: a larcv3 file without voxels in space (sparse3d or cluster3d), such as one "
            "of 2D images, which cannot be reconstructed in 3D; its products: "
            f"{', '.join(products) or 'none'}"
        )
    return choose(path, products, branches)


def _rows(group: Any, extent: Any, name: str) -> Array:
    """Rows of a dataset that an extent names."""
    first, count = int(extent["first"]), int(extent["N"])
    rows = np.asarray(group[name][first : first + count])
    if len(rows) != count:
        raise ValueError(f"{name} has {len(group[name])} rows, {first} to {first + count} wanted")
    return rows


def _voxels(group: Any, event: int) -> tuple[Voxels, Meta]:
    """Voxels of a sparse tensor, or of all clusters, and their grid. 3D has one projection."""
    extent = group["extents"][event]
    meta = _meta(_rows(group, extent, "image_meta"))
    if "cluster_extents" in group:
        projections = _rows(group, extent, "projection_extents")
        parts = [c for p in projections for c in _rows(group, p, "cluster_extents")]
    else:
        parts = list(_rows(group, extent, "voxel_extents"))
    rows = [_rows(group, part, "voxels") for part in parts]
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    joined = np.concatenate([group["voxels"][:0], *rows])
    ids, values = joined["id"].astype(np.uint64), joined["value"].astype(np.float32)
    return Voxels(ids, values, offsets), meta


def _meta(rows: Array) -> Meta:
    if len(rows) == 0:  # an event without voxels need not have a grid
        return Meta(np.zeros(3), np.ones(3), np.ones(3, np.int64))
    row = rows[0]
    number = np.asarray(row["number_of_voxels"]).astype(np.int64)
    return Meta(np.asarray(row["origin"]), np.asarray(row["image_sizes"]) / number, number)


def _particles(group: Any, event: int, energy: float) -> LarcvParticles:
    """Particles of an event. larcv3 numbers neither groups nor interactions."""
    rows = _rows(group, group["extents"][event], "particles")
    ids = rows["id"].astype(np.int64)
    track, parent_track = (rows[n].astype(np.int64) for n in ("trackid", "parent_trackid"))
    above = rows_of(track, parent_track)
    parent = np.where((above >= 0) & (parent_track != track), ids[above], -1)
    primary = (parent_track == track) | (parent_track == 0)
    if "process" in (rows.dtype.names or ()):
        said = np.array([bytes(text).split(b"\0")[0].lower() for text in rows["process"]])
        primary = said == b"primary" if len(said) else primary
    momentum = np.stack([rows[f"p{axis}"] for axis in "xyz"], axis=1).astype(np.float64)
    return LarcvParticles(
        id=ids,
        group=np.where(np.isin(ids, INVALID), -1, ids),
        interaction=None,
        parent=parent,
        shape=rows["shape"].astype(np.int64),
        pdg=rows["pdg"].astype(np.int64),
        primary=primary | (rows["parent_pdg"] == PI0),
        momentum=momentum * energy,
        vertex=_point(rows["vtx"]),
        first_step=_point(rows["first_step"]),
        last_step=_point(rows["last_step"]),
        energy_deposit=rows["energy_deposit"].astype(np.float64) * energy,
        length=rows["dist_travel"].astype(np.float64),
        time=rows["first_step"]["t"].astype(np.float64),
    )


def _point(rows: Array) -> Array:
    return np.stack([rows[axis] for axis in "xyz"], axis=1).astype(np.float64)
