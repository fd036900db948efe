"""The rows of larcv2's `_part_v`, with the branches that every version has and those some have."""

from dataclasses import dataclass, fields

import awkward as ak
import numpy as np

from reco.data.ragged import Array
from reco.io.base import guard
from reco.io.masses import masses_of
from reco.io.root import Tree
from reco.io.simulated import rows_of

PI0 = 111
INVALID = 65535, 2**32 - 1, 2**63 - 1, 2**64 - 1
"""What larcv writes for an index that is not valid, by width of the branch."""

NEEDED = (
    *("_id", "_trackid", "_parent_trackid", "_shape", "_pdg", "_px", "_py", "_pz"),
    *(f"{point}._{axis}" for point in ("_vtx", "_first_step", "_last_step") for axis in "xyz"),
    *("_first_step._t", "_dist_travel", "_energy_init", "_energy_deposit", "_parent_pdg"),
)
"""Branches of a particle that every version of larcv2 has."""


OPTIONAL = "_group_id", "_interaction_id", "_parent_id"


@dataclass(frozen=True)
class LarcvParticles:
    """Rows of `_part_v` of one event, P of them, in MeV, cm and ns.

    id, group, interaction, parent: (P,) int64, -1 for invalid ones; group and parent are values
    of `id`. shape, pdg: (P,) int64. primary: (P,) bool. momentum, vertex, first_step, last_step:
    (P, 3) float64. energy_deposit, length, time: (P,) float64.
    """

    id: Array
    group: Array
    interaction: Array | None
    parent: Array
    shape: Array
    pdg: Array
    primary: Array
    momentum: Array
    vertex: Array
    first_step: Array
    last_step: Array
    energy_deposit: Array
    length: Array
    time: Array

    def __len__(self) -> int:
        return len(self.id)

    def __post_init__(self) -> None:
        lengths = {f.name: len(v) for f in fields(self) if (v := getattr(self, f.name)) is not None}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of the particles differ in length: {lengths}")


def read_particles(tree: Tree, start: int, stop: int, energy: float) -> list[LarcvParticles]:
    """The particles of each entry. energy: factor to MeV."""
    names = [*NEEDED, *(n for n in OPTIONAL if f"_part_v.{n}" in tree)]
    lists = {name: tree.lists(f"_part_v.{name}", start, stop) for name in names}
    processes: list[ak.Array | None] = [None] * (stop - start)
    if "_part_v._process" in tree:
        processes = list(tree.objects("_part_v._process", start, stop))
    out = []
    for i, process in enumerate(processes):
        with guard(tree.path, f"entry {start + i}: {tree.name}"):
            columns = {name: rows[i] for name, rows in lists.items()}
            text = None if process is None else [str(p) for p in process.to_list()]
            out.append(_particles(columns, text, energy))
    return out


def _particles(
    columns: dict[str, Array], process: list[str] | None, energy: float
) -> LarcvParticles:
    def vectors(prefix: str, names: str) -> Array:
        return np.stack([columns[f"{prefix}{n}"] for n in names], axis=1).astype(np.float64)

    track, parent_track = columns["_trackid"], columns["_parent_trackid"]
    ids = _index(columns["_id"])
    primary = (parent_track == track) | (parent_track == 0)
    if process is not None:
        primary = np.array([text.lower() == "primary" for text in process], bool)
    return LarcvParticles(
        id=ids,
        group=_index(columns["_group_id"]) if "_group_id" in columns else ids,
        interaction=_index(columns["_interaction_id"]) if "_interaction_id" in columns else None,
        parent=_parents(columns, ids),
        shape=columns["_shape"].astype(np.int64),
        pdg=columns["_pdg"].astype(np.int64),
        primary=primary | (columns["_parent_pdg"] == PI0),
        momentum=vectors("_p", "xyz") * energy,
        vertex=vectors("_vtx._", "xyz"),
        first_step=vectors("_first_step._", "xyz"),
        last_step=vectors("_last_step._", "xyz"),
        energy_deposit=columns["_energy_deposit"].astype(np.float64) * energy,
        length=columns["_dist_travel"].astype(np.float64),
        time=columns["_first_step._t"].astype(np.float64),
    )


def _parents(columns: dict[str, Array], ids: Array) -> Array:
    """(P,) `_id` of the parent of each particle, -1 for none in the file."""
    if "_parent_id" in columns:
        parent = _index(columns["_parent_id"])
    else:
        track = columns["_trackid"].astype(np.int64)
        row = rows_of(track, columns["_parent_trackid"].astype(np.int64))
        parent = np.where(row >= 0, ids[row], -1)
    return np.where(parent == ids, -1, parent)


def _index(values: Array) -> Array:
    """An index as int64, -1 where larcv says that it is not valid."""
    bad = np.isin(values, np.array(INVALID, np.uint64).astype(values.dtype, casting="unsafe"))
    return np.where(bad, -1, values.astype(np.int64))


def mass_ratios(event: LarcvParticles, total: Array) -> list[float]:
    """Mass from energy and momentum over the true mass, of the heavy particles of an event."""
    mass = masses_of(event.pdg)
    square = total**2 - (event.momentum**2).sum(axis=1)
    heavy = (mass > 50) & (square > 0)
    return list(np.sqrt(square[heavy]) / mass[heavy])
