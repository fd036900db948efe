"""PILArNet-M HDF5, versions 1 to 3: voxels of a 768 cube, ordered by cluster.

The layout is that of the loaders of the sample (github.com/DeepLearnPhysics, PILArNet-M): a row
per event with a flattened table. `point` has 8 columns, `cluster` 5 (version 1) or 6, and
`cluster_extra` 5 (version 2) or 6 and more (version 3).
"""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from reco.data.classes import PID
from reco.data.product import Product
from reco.data.products import Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import CORRUPT, Description, Entry, guard
from reco.io.branches import Branches
from reco.io.hdf5 import Hdf5Reader, check_length
from reco.io.hits import HitColumns, deposits_on_hits, header_of, hits_of
from reco.io.labelled import directions, first_of, interactions_of, particles_of, renumber
from reco.io.larcv2_bytes import Meta
from reco.io.larcv2_truth import Seen, semantic_of

SIDE, VOXEL = 768, 0.3
"""Voxels along a side of the cube, and cm of a voxel."""
GRID = Meta(np.full(3, -SIDE * VOXEL / 2), np.full(3, VOXEL), np.full(3, SIDE))
"""The cube, with the origin at its centre, as the detector `generic` has it."""
POINT = 8
"""Columns of `point`: x, y, z, value, energy, time, electrons, dx."""
EXTRA = {1: (0,), 2: (5,), 3: (6, 9, 11)}
"""Version -> widths of `cluster_extra`: mass [MeV], |p| [GeV], vertex, then (version 3) whether it
is primary, then momentum, then lineage."""
NONE = 5
"""What some files write for a particle without identity, instead of -1."""


def recognise(file: Any) -> bool:
    nodes = [file.get(name) for name in ("point", "cluster")]
    return all(
        isinstance(node, h5py.Dataset) and h5py.check_vlen_dtype(node.dtype) is not None
        for node in nodes
    )


@dataclass(frozen=True)
class Clusters:
    """The C clusters of one event.

    size, fragment, group, interaction, semantic, pid: (C,) int64. mass: (C,) MeV; momentum: (C,)
    MeV/c. vertex: (C, 3) cm, of the particle in version 2, of its interaction in version 3.
    direction: (C, 3). primary: (C,) bool. NaN, -1 or False where the version has no such column.
    """

    size: Array
    fragment: Array
    group: Array
    interaction: Array
    semantic: Array
    pid: Array
    mass: Array
    momentum: Array
    vertex: Array
    direction: Array
    primary: Array
    version: int


class PilarnetReader(Hdf5Reader):
    def __init__(self, file: Any, path: str, branches: Branches) -> None:
        super().__init__(file, path)
        self.quantity = Quantity.ENERGY
        names = ("point", "cluster", "cluster_extra", "cluster_extra_2")
        self.columns = {name: file[name] for name in names if name in file}
        for name, dataset in self.columns.items():
            check_length(path, dataset)
            if len(dataset) != len(self):
                raise FormatError(
                    f"{path}: dataset {name!r} has {len(dataset)} events, 'point' has "
                    f"{len(self)}; {CORRUPT}"
                )
        self.version = self._version()

    def __len__(self) -> int:
        return len(self.columns["point"])

    def describe(self) -> Description:
        notes = {
            1: "no identities, energies or vertices of particles",
            2: "no primaries, so no energies of interactions",
            3: "",
        }[self.version]
        return Description(
            format=f"PILArNet-M HDF5, version {self.version}",
            path=self.path,
            n_events=len(self),
            quantity=self.quantity,
            truth=tuple(k.__name__ for k in (TruthDeposits, TruthParticles, TruthInteractions)),
            branches=(
                ("x y z energy", "/point[:, 0:4]"),
                *(("truth", f"/{name}") for name in self.columns if name != "point"),
            ),
            units="length voxels of 0.3 cm, energy MeV",
            extent="cube of 768 voxels of 0.3 cm, put around the origin",
            notes=(notes,) if notes else (),
        )

    def _version(self) -> int:
        """Told from the first event that has clusters: a width that its own sums agree with."""
        for number in range(len(self)):
            event = {n: self._row(n, number) for n in self.columns if n != "cluster_extra_2"}
            count = len(event["point"]) // POINT
            widths = [w for w in (5, 6) if _fits(event["cluster"], w, count)]
            if len(event["cluster"]) == 0:
                continue
            if not widths:
                raise self._unknown(number)
            if "cluster_extra" not in event:
                return 1
            width = len(event["cluster_extra"]) // (len(event["cluster"]) // widths[-1])
            known = next((v for v, some in EXTRA.items() if width in some), None)
            if known is None:
                raise self._unknown(number)
            return known
        return 3 if "cluster_extra" in self.columns else 1

    def _unknown(self, number: int) -> FormatError:
        return FormatError(
            f"{self.path}: entry {number}: 'point', 'cluster' and 'cluster_extra' are not those "
            "of PILArNet-M version 1, 2 or 3: the sizes of the clusters do not add up to the points"
        )

    def _row(self, name: str, number: int) -> Array:
        with guard(self.path, f"entry {number}, dataset {name!r}"):
            return np.asarray(self.columns[name][number]).reshape(-1)

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        return [self._event(Entry(self.path, number)) for number in range(start, stop)]

    def _event(self, entry: Entry) -> tuple[Product, ...]:
        with guard(self.path, f"entry {entry.number}"):
            points = self._table(entry, "point", POINT).astype(np.float64)
            position = GRID.lower + (points[:, :3] + 0.5) * VOXEL
            columns = HitColumns(position, points[:, 3], np.zeros(len(points)), ("point",) * 5)
            hits = hits_of(entry, columns, self.quantity)
            clusters = self._clusters(entry, len(points))
            particle, tables = _truth(clusters, position)
            labels = (clusters.semantic, clusters.fragment, particle)
            each = [np.repeat(label, clusters.size) for label in labels]
            deposits = deposits_on_hits(hits, points[:, 3], *each)
            return (header_of(entry), hits, deposits, *tables)

    def _table(self, entry: Entry, name: str, width: int) -> Array:
        flat = self._row(name, entry.number)
        if len(flat) % width:
            raise entry.error(name, f"has {len(flat)} numbers, not a multiple of {width}")
        return flat.reshape(-1, width)

    def _clusters(self, entry: Entry, n_points: int) -> Clusters:
        table = self._table(entry, "cluster", 5 if self.version == 1 else 6).astype(np.int64)
        count = len(table)
        size = table[:, 0]
        if (size < 0).any() or size.sum() != n_points:
            raise entry.error("cluster", f"counts {size.sum()} points, 'point' has {n_points}")
        nothing = np.full((count, 9), np.nan)
        extra = self._extra(entry, count) if self.version > 1 else nothing
        pid = table[:, 5] if self.version > 1 else np.full(count, PID.UNKNOWN)
        return Clusters(
            size=size,
            fragment=table[:, 1],
            group=table[:, 2],
            interaction=table[:, 3],
            semantic=semantic_of(table[:, 4]).astype(np.int64),
            pid=np.where((pid < 0) | (pid >= NONE), PID.UNKNOWN, pid),
            mass=extra[:, 0],
            momentum=extra[:, 1] * 1e3,
            vertex=GRID.lower + extra[:, 2:5] * VOXEL,
            direction=directions(extra[:, 6:9]),
            primary=extra[:, 5] > 0,
            version=self.version,
        )

    def _extra(self, entry: Entry, count: int) -> Array:
        """(C, 9): mass, |p|, vertex, primary, momentum; NaN for what is not there."""
        out = np.full((count, 9), np.nan)
        for name, first, most in (("cluster_extra", 0, 9), ("cluster_extra_2", 6, 3)):
            if name not in self.columns or count == 0:
                continue
            flat = self._row(name, entry.number)
            if len(flat) % count:
                raise entry.error(name, f"has {len(flat)} numbers for {count} clusters")
            table = flat.reshape(count, -1)[:, :most]
            out[:, first : first + table.shape[1]] = table
        return out


def _fits(cluster: Array, width: int, n_points: int) -> bool:
    return len(cluster) % width == 0 and int(cluster[::width].sum()) == n_points


def _truth(
    clusters: Clusters, position: Array
) -> tuple[Array, tuple[TruthParticles, TruthInteractions]]:
    """(C,) the particle of each cluster or -1, and the tables. Clusters of no group have none."""
    seen = np.flatnonzero((clusters.group >= 0) & (clusters.size > 0))
    named = clusters.fragment[seen] != clusters.group[seen]
    groups, lead = first_of(clusters.group[seen], named, -clusters.size[seen])
    lead = seen[lead]
    particle = np.full(len(clusters.size), -1, np.int64)
    particle[seen] = np.searchsorted(groups, clusters.group[seen])
    on_voxel = np.repeat(particle, clusters.size)
    owned = on_voxel >= 0
    particles = particles_of(
        len(lead),
        {
            "pid": clusters.pid[lead],
            "semantic": clusters.semantic[lead],
            "interaction": clusters.interaction[lead],
            "is_primary": clusters.primary[lead],
            "start": _starts(clusters)[lead],
            "direction": clusters.direction[lead],
            "energy": _energies(clusters)[lead],
            "contained": Seen(lead, on_voxel[owned], position[owned]).inside(GRID),
        },
    )
    particles, numbers = renumber(particles)
    vertices = np.full((len(numbers), 3), np.nan)
    if clusters.version == 3:
        known, first = first_of(clusters.interaction, -clusters.size)
        vertices = clusters.vertex[first[np.searchsorted(known, numbers)]]
    told = clusters.version == 3
    return particle, (particles, interactions_of(particles, vertices, primaries=told))


def _energies(clusters: Clusters) -> Array:
    """(C,) MeV, kinetic; NaN where the version has no momentum, or mass and momentum are 0."""
    total = np.hypot(clusters.momentum, clusters.mass) + clusters.mass
    unknown = np.full(len(total), np.nan)
    return np.divide(clusters.momentum**2, total, out=unknown, where=total > 0)


def _starts(clusters: Clusters) -> Array:
    """(C, 3) cm: the vertex, where a charged particle starts there and inside the cube."""
    charged = (clusters.pid >= 0) & (clusters.pid != PID.PHOTON)
    inside = (np.abs(clusters.vertex) <= SIDE * VOXEL / 2).all(axis=1)
    own = clusters.primary | (clusters.version == 2)
    return np.where((charged & inside & own)[:, None], clusters.vertex, np.nan)
