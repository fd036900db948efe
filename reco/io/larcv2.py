"""larcv2 ROOT: one tree per product, voxels as numbers on a grid."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reco.data.classes import Semantic
from reco.data.product import Product
from reco.data.products import (
    Hits,
    Quantity,
    TruthDeposits,
    TruthInteractions,
    TruthParticles,
)
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.base import Description, Entry, EventReader, guard
from reco.io.branches import ENERGY, Branches
from reco.io.hits import HitColumns, deposits_on_hits, header_of, hits_of
from reco.io.larcv2_bytes import Meta, Voxels, clusters, one_set, values_at
from reco.io.larcv2_particles import NEEDED, LarcvParticles, mass_ratios, read_particles
from reco.io.larcv2_truth import semantic_of, truth_of
from reco.io.root import RootFile, Tree
from reco.suggest import unknown

PRODUCT = re.compile(r"^(sparse3d|cluster3d|particle|image2d|cluster2d|sparse2d)_(\w+)_tree$")
HITS = ("reco", "reco_rescaled", "pcluster", "mcst", "data")
"""Producers in the order in which their voxels are taken for hits."""
CLUSTER_VOXELS = "_voxel_vv._voxel_v"
VOXEL_ID, VOXEL_VALUE = "_voxel_v._id", "_voxel_v._value"
NUMBERS = {"run": "_run", "subrun": "_subrun", "event": "_event"}
META = tuple(
    f"_meta.{name}"
    for name in ("_p1.x", "_p1.y", "_p1.z", "_xlen", "_ylen", "_zlen", "_xnum", "_ynum", "_znum")
)
SAMPLE = 32
"""Entries from which the unit of energy is told."""


def recognise(file: RootFile) -> bool:
    return any(PRODUCT.match(name) for name in file.trees)


@dataclass(frozen=True)
class Chosen:
    """Names of the products that will be read, such as cluster3d_pcluster; None: not there."""

    hits: str
    clusters: str | None
    particles: str | None
    semantics: str | None

    @property
    def names(self) -> list[str]:
        found = (self.hits, self.clusters, self.particles, self.semantics)
        return list(dict.fromkeys(name for name in found if name is not None))


class Larcv2Reader(EventReader):
    def __init__(self, file: RootFile, path: str, branches: Branches) -> None:
        super().__init__(path)
        self.file = file
        self.quantity = Quantity.CHARGE if branches.charge is not None else Quantity.ENERGY
        self.chosen = choose(path, _products(file), branches)
        self.trees = {name: file.tree(f"{name}_tree") for name in self.chosen.names}
        self.hits = self.trees[self.chosen.hits]
        self._check()
        self.units = self._units(branches)
        self.charge_unit = branches.value_unit(Quantity.CHARGE)

    def __len__(self) -> int:
        return self.hits.n_entries

    def describe(self) -> Description:
        chosen = self.chosen
        roles = {
            "hits": chosen.hits,
            "clusters": chosen.clusters,
            "particles": chosen.particles,
            "semantics": chosen.semantics,
        }
        return Description(
            format="larcv2 ROOT",
            path=self.path,
            n_events=len(self),
            quantity=self.quantity,
            truth=tuple(kind.__name__ for kind in self._truth_kinds()),
            branches=tuple((role, name) for role, name in roles.items() if name is not None),
            units=self._said(),
            extent=self._extent(),
            notes=self.file.notes,
        )

    def _said(self) -> str:
        names = {factor: unit for unit, factor in ENERGY.items()}
        is_energy = self.quantity is Quantity.ENERGY
        value = f"energy {names[self.units.voxels]}" if is_energy else self.charge_unit
        particles = f", particles {names[self.units.particles]}" if self.chosen.particles else ""
        return f"length cm, {value}{particles}"

    def _truth_kinds(self) -> tuple[type[Product], ...]:
        if self.chosen.clusters and self.chosen.particles:
            return (TruthDeposits, TruthParticles, TruthInteractions)
        return (TruthDeposits,) if self.chosen.semantics else ()

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        numbers = {r: self.hits.numbers(n, start, stop) for r, n in NUMBERS.items()}
        voxels = {n: self._voxels(n, start, stop) for n in self.chosen.names if "3d_" in n}
        metas = _metas(self.hits, start, stop)
        truth_metas = _metas(self._truth_tree(), start, stop)
        particles = self._particles(start, stop)
        out: list[tuple[Product, ...]] = []
        for i in range(stop - start):
            entry = Entry(self.path, start + i)
            with guard(self.path, f"entry {start + i}"):
                header = header_of(entry, **{r: int(v[i]) for r, v in numbers.items()})
                own = {name: rows[i] for name, rows in voxels.items()}
                hits = self._hits(entry, own[self.chosen.hits], Meta(*metas[i]))
                meta = Meta(*truth_metas[i])
                truth = self._truth(entry, own, meta, particles[i] if particles else None)
                out.append((header, hits, *truth))
        return out

    def _hits(self, entry: Entry, voxels: Voxels, meta: Meta) -> Hits:
        scale = self.units.voxels if self.quantity is Quantity.ENERGY else self.units.charge
        value = voxels.value * scale
        names = (self.chosen.hits,) * 5
        columns = HitColumns(meta.positions(voxels.id), value, np.zeros(len(value)), names)
        return hits_of(entry, columns, self.quantity)

    def _truth(
        self, entry: Entry, own: dict[str, Voxels], meta: Meta, particles: LarcvParticles | None
    ) -> tuple[Product, ...]:
        chosen = self.chosen
        labels = own[chosen.semantics] if chosen.semantics else None
        if chosen.clusters and particles is not None:
            voxels = own[chosen.clusters]
            position = meta.positions(voxels.id)
            unshaped = np.full(len(voxels), Semantic.UNKNOWN, np.int8)
            if labels is not None:
                unshaped = _classes(values_at(labels, voxels.id, Semantic.UNKNOWN))
            scaled = Voxels(voxels.id, voxels.value * self.units.voxels, voxels.offsets)
            names = (chosen.clusters,) * 5
            hits_of(
                entry,
                HitColumns(position, scaled.value, np.zeros(len(scaled)), names),
                Quantity.ENERGY,
            )
            return truth_of(scaled, position, unshaped, particles, meta)
        if labels is None:
            return ()
        energy = values_at(own[chosen.hits], labels.id, 0.0) * self.units.voxels
        columns = HitColumns(
            meta.positions(labels.id), energy, np.zeros(len(labels)), (chosen.hits,) * 5
        )
        none = np.full(len(labels), -1)
        at = hits_of(entry, columns, Quantity.ENERGY)
        return (deposits_on_hits(at, energy, _classes(labels.value), none, none),)

    def _truth_tree(self) -> Tree:
        name = self.chosen.clusters or self.chosen.semantics or self.chosen.hits
        return self.trees[name]

    def _voxels(self, name: str, start: int, stop: int) -> list[Voxels]:
        tree = self.trees[name]
        if not name.startswith("cluster3d"):
            ids = tree.lists(VOXEL_ID, start, stop)
            values = tree.lists(VOXEL_VALUE, start, stop)
            return [one_set(*pair) for pair in zip(ids, values, strict=True)]
        out = []
        for number, data in enumerate(tree.entry_bytes(CLUSTER_VOXELS, start, stop), start):
            with guard(self.path, f"entry {number}: {name}, branch {CLUSTER_VOXELS!r}"):
                out.append(clusters(data))
        return out

    def _particles(self, start: int, stop: int) -> list[LarcvParticles] | None:
        if self.chosen.particles is None:
            return None
        return read_particles(self.trees[self.chosen.particles], start, stop, self.units.particles)

    def _check(self) -> None:
        for name, tree in self.trees.items():
            if tree.n_entries != len(self):
                raise FormatError(
                    f"{self.path}: {name} has {tree.n_entries} entries, {self.chosen.hits} has "
                    f"{len(self)}; events cannot be matched, make the file again"
                )
            if name.startswith("particle"):
                tree.check([f"_part_v.{branch}" for branch in NEEDED])
            elif name.startswith("cluster3d"):
                tree.check([CLUSTER_VOXELS, *META])
            else:
                tree.check([VOXEL_ID, VOXEL_VALUE, *META])
        self.hits.check(list(NUMBERS.values()))

    def _units(self, branches: Branches) -> "Units":
        if branches.energy_unit is not None:
            scale = ENERGY[branches.energy_unit]
            return Units(scale, scale, branches.scale(Quantity.CHARGE))
        units = Units(1.0, 1.0, branches.scale(Quantity.CHARGE))
        if self.chosen.particles is None:
            return units
        return self._told_units(units)

    def _told_units(self, units: "Units") -> "Units":
        """GeV where the masses of the particles say so; voxels can be in MeV all the same."""
        deposited, seen, in_gev = 0.0, 0.0, []
        tree = self.trees[str(self.chosen.particles)]
        for number in range(min(SAMPLE, len(self))):
            try:
                (event,) = read_particles(tree, number, number + 1, 1.0)
                (total,) = tree.lists("_part_v._energy_init", number, number + 1)
                (voxels,) = self._voxels(
                    self.chosen.clusters or self.chosen.hits, number, number + 1
                )
            except FormatError:
                continue
            in_gev += mass_ratios(event, total)
            deposited += float(event.energy_deposit.sum())
            seen += float(voxels.value.sum())
        if not in_gev or not np.median(in_gev) < 0.03:
            return units
        same = not seen > 30 * deposited
        return replace(units, particles=ENERGY["GeV"], voxels=ENERGY["GeV"] if same else 1.0)

    def _extent(self) -> str:
        if len(self) == 0:
            return ""
        try:
            with guard(self.path, "entry 0"):
                meta = Meta(*_metas(self.hits, 0, 1)[0])
        except FormatError:
            return ""
        size = " x ".join(f"{s:.4g}" for s in meta.size)
        low, high = (", ".join(f"{x:.1f}" for x in corner) for corner in (meta.lower, meta.upper))
        return f"({low}) to ({high}) cm in entry 0, voxels of {size} cm"

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True)
class Units:
    """Factors to MeV of the particles' energies and of the voxels' values, and to ke."""

    particles: float
    voxels: float
    charge: float


def choose(path: str, products: Sequence[str], branches: Branches) -> Chosen:
    """The products to read. Raises FormatError when none has voxels in space."""
    hits = _hits_product(path, products, branches)
    producer = hits.split("_", 1)[1]
    cluster = _first(products, "cluster3d", ("pcluster", producer, "mcst"))
    particles = None
    if cluster is not None:
        owner = cluster.split("_", 1)[1]
        corrected = ("corrected", owner) if owner == "pcluster" else (owner,)
        particles = _first(products, "particle", corrected)
    semantics = _first(products, "sparse3d", ("pcluster_semantics", f"{producer}_semantics"))
    return Chosen(hits, cluster, particles, semantics)


def _hits_product(path: str, products: Sequence[str], branches: Branches) -> str:
    shown = ", ".join(products)
    wanted = branches.charge or branches.energy or branches.tree
    if wanted is not None:
        name = wanted.removesuffix("_tree")
        if name not in products or not name.startswith(("sparse3d", "cluster3d")):
            problem = f"{path}: no voxels in space named {name!r}"
            raise FormatError(unknown(problem, name, products, "its products"))
        return name
    for kind in ("sparse3d", "cluster3d"):
        found = _first(products, kind, HITS)
        some = [p for p in products if p.startswith(f"{kind}_") and "semantics" not in p]
        if found is not None or len(some) == 1:
            return found or some[0]
        if some:
            raise FormatError(f"{path}: hits could be {', '.join(some)}; name one as 'tree'")
    raise FormatError(
        f"{path}: a larcv2 file without voxels in space (sparse3d or cluster3d), such as one of "
        f"2D images, which cannot be reconstructed in 3D; its products: {shown}"
    )


def _products(file: RootFile) -> list[str]:
    return [name.removesuffix("_tree") for name in file.trees if name.endswith("_tree")]


def _first(products: Sequence[str], kind: str, producers: Sequence[str]) -> str | None:
    return next((n for p in producers if (n := f"{kind}_{p}") in products), None)


def _metas(tree: Tree, start: int, stop: int) -> list[tuple[Array, Array, Array]]:
    columns = [tree.numbers(name, start, stop) for name in META]
    lower, size, number = (np.stack(columns[i : i + 3], axis=1) for i in (0, 3, 6))
    with np.errstate(invalid="ignore"):
        number = number.astype(np.int64)
    return list(zip(lower, size, number, strict=True))


def _classes(values: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return semantic_of(np.where(np.isfinite(values), values, -1).astype(np.int64))
