"""larcv2's clusters and particles -> true deposits, particles and interactions of one event."""

from dataclasses import dataclass

import numpy as np

from reco.data.classes import PID, PID_OF_PDG, Semantic
from reco.data.products import TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array, Ragged
from reco.data.truth_tables import topology
from reco.io.base import as_float32
from reco.io.branches import TIME
from reco.io.larcv2_bytes import Meta, Voxels
from reco.io.larcv2_particles import LarcvParticles
from reco.io.masses import kinetic_energy
from reco.io.simulated import roots, rows_of

VERTEX_ROUNDING = 1e-2
"""cm. Primaries that start this close to each other share their interaction, where the file does
not number interactions itself."""


def semantic_of(shape: Array) -> Array:
    """larcv's shapes -> classes; ghosts and unknown ones are UNKNOWN."""
    known = (shape >= Semantic.SHOWER) & (shape <= Semantic.LOW_ENERGY)
    return np.where(known, shape, Semantic.UNKNOWN).astype(np.int8)


def truth_of(
    voxels: Voxels, position: Array, unshaped: Array, particles: LarcvParticles, meta: Meta
) -> tuple[TruthDeposits, TruthParticles, TruthInteractions]:
    """Truth of one event: cluster i belongs to particle i, later clusters to none.

    position: (N, 3) cm of the voxels. unshaped: (N,) class of a voxel whose cluster has no
    particle. Only particles that left a voxel are listed.
    """
    cluster = voxels.cluster
    owned = cluster < len(particles)
    member = np.where(owned, cluster, 0)
    shape = np.append(semantic_of(particles.shape), Semantic.UNKNOWN)
    semantic = np.where(owned, shape[member], unshaped)
    group = np.append(_leaders(particles), -1)
    leaders, row = np.unique(np.append(group[member[owned]], -1), return_inverse=True)
    leaders = leaders[1:]
    particle = np.full(len(cluster), -1, np.int64)
    particle[owned] = row[:-1] - 1
    deposits = TruthDeposits(
        Ragged.one(as_float32(position)),
        Ragged.one(voxels.value),
        Ragged.one(semantic),
        Ragged.one(cluster),
        Ragged.one(particle),
    )
    seen = Seen(leaders, particle[owned], position[owned])
    table, interactions = _tables(particles, seen, meta)
    return deposits, table, interactions


@dataclass(frozen=True)
class Seen:
    """The G groups that left something. leaders: (G,) rows of the particles that name them.
    row: (N,) group of each voxel. position: (N, 3) cm."""

    leaders: Array
    row: Array
    position: Array

    def farthest(self, start: Array) -> Array:
        """(G, 3) cm, the voxel of each group that is farthest from its start."""
        away = np.linalg.norm(self.position - start[self.row], axis=1)
        order = np.lexsort((away, self.row))
        last = np.searchsorted(self.row[order], np.arange(len(self.leaders)), "right") - 1
        return self.position[order[last]].reshape(-1, 3)

    def inside(self, meta: Meta) -> Array:
        """(G,) bool, no voxel on the faces of the image."""
        margin = 1.01 * meta.size
        low, high = meta.lower + margin, meta.upper - margin
        out = ((self.position < low) | (self.position > high)).any(axis=1)
        return np.bincount(self.row, out, len(self.leaders)) == 0


def _leaders(particles: LarcvParticles) -> Array:
    """(P,) row of the particle that leads the group of each: the one the group is named after,
    or the first member."""
    named = rows_of(particles.id, particles.group)
    group = np.where(particles.group >= 0, particles.group, -2 - np.arange(len(particles)))
    _, first, which = np.unique(group, return_index=True, return_inverse=True)
    return np.where(named >= 0, named, first[which])


def _tables(
    particles: LarcvParticles, seen: Seen, meta: Meta
) -> tuple[TruthParticles, TruthInteractions]:
    rows = seen.leaders
    leaders = _leaders(particles)
    above = rows_of(particles.id, particles.parent[rows])
    parent = np.where(above >= 0, rows_of(rows, leaders[above]), -1)
    start = particles.first_step[rows]
    semantic = semantic_of(particles.shape[rows])
    missing = (particles.last_step[rows] == 0).all(axis=1)
    at_voxel = (semantic == Semantic.SHOWER) | missing
    momentum = particles.momentum[rows]
    deposit = np.bincount(leaders, particles.energy_deposit, len(particles))[rows]
    vertices, number = _interactions(particles)
    kept, interaction = np.unique(np.append(number[rows], -1), return_inverse=True)
    is_track = np.isin(semantic, (Semantic.TRACK, Semantic.MICHEL, Semantic.DELTA))
    table = {
        "pid": [PID_OF_PDG.get(abs(int(pdg)), PID.UNKNOWN) for pdg in particles.pdg[rows]],
        "pdg": particles.pdg[rows],
        "semantic": semantic,
        "interaction": interaction[:-1] - 1,
        "parent": np.where(parent == np.arange(len(rows)), -1, parent),
        "is_primary": particles.primary[rows],
        "start": start,
        "end": np.where(at_voxel[:, None], seen.farthest(start), particles.last_step[rows]),
        "direction": momentum / np.maximum(np.linalg.norm(momentum, axis=1), 1e-12)[:, None],
        "energy": kinetic_energy(momentum, particles.pdg[rows]),
        "energy_deposit": deposit,
        "length": np.where(is_track, np.maximum(particles.length[rows], 0), 0),
        "time": particles.time[rows] * TIME["ns"],
        "contained": seen.inside(meta),
    }
    product = TruthParticles(**{n: Ragged.one(np.asarray(v)) for n, v in table.items()})
    return product, _interaction_table(product, vertices[kept[1:]])


def _interactions(particles: LarcvParticles) -> tuple[Array, Array]:
    """(I, 3) cm vertices, and (P,) the interaction of each particle or -1."""
    parent = rows_of(particles.id, particles.parent)
    parent[particles.primary | (parent == np.arange(len(parent)))] = -1
    root = roots(parent)
    if particles.interaction is not None:
        key = particles.interaction
    else:
        cell = np.round(particles.vertex[root] / VERTEX_ROUNDING)
        _, key = np.unique(cell, axis=0, return_inverse=True)
        key = np.asarray(key).reshape(-1)
    order = np.lexsort((~particles.primary, key))
    known, first = np.unique(key[order], return_index=True)
    first = order[first][known >= 0]
    known = known[known >= 0]
    return particles.vertex[root[first]], rows_of(known, key)


def _interaction_table(particles: TruthParticles, vertices: Array) -> TruthInteractions:
    count = len(vertices)
    row, primary = particles.interaction.values, particles.is_primary.values
    known, visible = row >= 0, primary & (row >= 0)
    pids = particles.pid.values
    names = [topology(pids[visible & (row == i)]) for i in range(count)]
    escaped = np.bincount(row[known & ~particles.contained.values], minlength=count)
    return TruthInteractions(
        vertex=Ragged.one(as_float32(vertices).reshape(-1, 3)),
        energy=Ragged.one(np.bincount(row[visible], particles.energy.values[visible], count)),
        pdg=Ragged.one(np.zeros(count, np.int32)),
        n_particles=Ragged.one(np.bincount(row[known], minlength=count)),
        topology=Ragged.one(np.array(names, dtype="S32")),
        contained=Ragged.one(escaped == 0),
    )
