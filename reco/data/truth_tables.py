"""The tables of true particles and interactions, from labelled deposits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reco.data.classes import PID, PID_OF_PDG, SEMANTIC_PRECEDENCE, Semantic
from reco.data.lineage import Lineage, visible_ancestor
from reco.data.products import TruthInteractions, TruthParticles
from reco.data.ragged import Array, Ragged
from reco.data.tracks import Deposits, Tracks

CONTAINED_FRACTION = 0.95
"""A shower that leaves this part of its energy in the bounds is contained, wherever it ends."""
CONTAINED_MARGIN = 3.0
"""cm. So is one without a deposit this close to the boundary."""

_TOPOLOGY_ORDER = (
    (PID.ELECTRON, "e"),
    (PID.MUON, "mu"),
    (PID.PION, "pi"),
    (PID.PROTON, "p"),
    (PID.KAON, "K"),
    (PID.PHOTON, "g"),
)


@dataclass(frozen=True)
class Assignment:
    """Per deposit (N,): fragment int32, row of the track that owns its particle, class int8."""

    fragment: Array
    owner: Array
    semantic: Array


def particle_table(
    tracks: Tracks,
    deposits: Deposits,
    lineage: Lineage,
    assignment: Assignment,
    bounds: tuple[Array, Array] | None,
) -> tuple[TruthParticles, Array]:
    """The particles that left something, and (T,) the row of each owning track among them.

    `interaction` still is the number of the vertex in Tracks.
    """
    seen = _Seen.of(deposits, assignment, len(tracks))
    owner = seen.owners
    row = np.full(len(tracks), -1, np.int64)
    row[owner] = np.arange(len(owner))
    semantic = _semantics(seen, lineage)
    start, end = _ends(tracks, lineage, seen, semantic, bounds)
    above = visible_ancestor(lineage, owner)
    momentum = tracks.momentum[owner].astype(float)
    norm = np.linalg.norm(momentum, axis=1, keepdims=True)
    energy_deposit = np.bincount(seen.row, seen.deposits.energy, len(owner))
    columns = {
        "pid": [PID_OF_PDG.get(abs(int(pdg)), PID.UNKNOWN) for pdg in tracks.pdg[owner]],
        "pdg": tracks.pdg[owner],
        "semantic": semantic,
        "interaction": tracks.interaction[owner],
        "parent": np.where(above >= 0, row[above], -1),
        "is_primary": lineage.primary[owner],
        "start": start,
        "end": end,
        "direction": momentum / np.maximum(norm, 1e-12),
        "energy": tracks.kinetic_energy[owner],
        "energy_deposit": energy_deposit,
        "length": _lengths(tracks, seen, semantic, bounds),
        "time": tracks.time[owner],
        "contained": _contained(tracks, seen, semantic, energy_deposit, bounds),
    }
    product = {name: Ragged.one(np.asarray(values)) for name, values in columns.items()}
    return TruthParticles(**product), row


def interaction_table(
    particles: TruthParticles, tracks: Tracks, lineage: Lineage, neutrino_pdg: Array | None
) -> tuple[TruthParticles, TruthInteractions]:
    """Number the vertices with a visible particle from 0 and list them.

    vertex: start of the first primary of the vertex, visible or not.
    """
    number = particles.interaction.values
    vertices = np.unique(number[number >= 0])
    row = np.where(number >= 0, np.searchsorted(vertices, number), -1)
    count = len(vertices)
    primary = particles.is_primary.values & (row >= 0)
    topologies = [topology(particles.pid.values[primary & (row == i)]) for i in range(count)]
    escaped = np.bincount(row[(row >= 0) & ~particles.contained.values], minlength=count)
    neutrino = np.zeros(count) if neutrino_pdg is None else np.asarray(neutrino_pdg)[vertices]
    energy = np.bincount(row[primary], particles.energy.values[primary], count)
    interactions = TruthInteractions(
        vertex=Ragged.one(_vertices(tracks, lineage, vertices)),
        energy=Ragged.one(energy),
        pdg=Ragged.one(neutrino),
        n_particles=Ragged.one(np.bincount(row[row >= 0], minlength=count)),
        topology=Ragged.one(np.array(topologies, dtype="S32")),
        contained=Ragged.one(escaped == 0),
    )
    return replace(particles, interaction=Ragged.one(row)), interactions


def topology(pids: Sequence[int] | Array) -> str:
    """PIDs of the primaries -> counts such as `1mu1p`, in the order e mu pi p K g."""
    counts = ((list(pids).count(pid), name) for pid, name in _TOPOLOGY_ORDER)
    return "".join(f"{n}{name}" for n, name in counts if n)


@dataclass(frozen=True)
class _Seen:
    """The S labelled deposits, with `row` (S,) of their particle among the P `owners`."""

    deposits: Deposits
    semantic: Array
    owner: Array
    row: Array
    owners: Array

    @staticmethod
    def of(deposits: Deposits, assignment: Assignment, n_tracks: int) -> "_Seen":
        kept = assignment.owner >= 0
        part = Deposits(*(getattr(deposits, f)[kept] for f in Deposits.__dataclass_fields__))
        owner = assignment.owner[kept]
        owners, row = np.unique(owner, return_inverse=True)
        return _Seen(part, assignment.semantic[kept], owner, row.reshape(-1), owners)

    def first(self, *keys: Array) -> Array:
        """(P,) deposit of each particle that comes first by the keys, the first key strongest."""
        order = np.lexsort((*reversed(keys), self.row))
        return order[np.searchsorted(self.row[order], np.arange(len(self.owners)))]


def _semantics(seen: _Seen, lineage: Lineage) -> Array:
    """(P,) class of each particle: what its family is, if any of it is, else the strongest."""
    kind = lineage.kind[seen.owners]
    has = np.zeros((len(seen.owners), len(Semantic)), bool)
    has[seen.row, seen.semantic] = True
    ranked = has[:, list(SEMANTIC_PRECEDENCE)]
    best = np.array(SEMANTIC_PRECEDENCE)[ranked.argmax(axis=1)]
    return np.where(has[np.arange(len(kind)), kind], kind, best).astype(np.int8)


def _within(points: Array, bounds: tuple[Array, Array] | None, margin: float = 0.0) -> Array:
    if bounds is None:
        return np.ones(len(points), bool)
    lower, upper = (np.asarray(b, float) for b in bounds)
    clear = (points >= lower + margin) & (points <= upper - margin)
    return np.asarray(clear.all(axis=1))


def _ends(
    tracks: Tracks,
    lineage: Lineage,
    seen: _Seen,
    semantic: Array,
    bounds: tuple[Array, Array] | None,
) -> tuple[Array, Array]:
    """(P, 3) start and (P, 3) end of each particle as it is seen."""
    owner, deposits = seen.owners, seen.deposits
    true_start, true_end = tracks.start[owner], tracks.end[owner]
    charged = tracks.pdg[owner] != 22
    own = deposits.track == seen.owner
    direct = np.where(charged[seen.row], own, own | (lineage.parent[deposits.track] == seen.owner))
    minor = seen.semantic != semantic[seen.row]
    # Daughters of a photon lie along its straight path, where distance orders better than time.
    flown = np.linalg.norm(deposits.start - true_start[seen.row], axis=1)
    rank = np.where(direct & ~charged[seen.row], flown, deposits.time)
    first = seen.first(minor, ~direct, rank)
    start = np.where(
        (charged & _within(true_start, bounds))[:, None], true_start, deposits.start[first]
    )
    away = np.linalg.norm(deposits.end - start[seen.row], axis=1)
    is_shower = (semantic == Semantic.SHOWER) | ~charged
    last = seen.first(minor, ~own, np.where(is_shower[seen.row], -away, -deposits.time))
    farthest = seen.first(minor, -away)
    end = np.where(_within(true_end, bounds)[:, None], true_end, deposits.end[last])
    return start, np.where(is_shower[:, None], deposits.end[farthest], end)


def _lengths(
    tracks: Tracks, seen: _Seen, semantic: Array, bounds: tuple[Array, Array] | None
) -> Array:
    """(P,) cm of path within the bounds; 0 for showers and scatter."""
    owner, own = seen.owners, seen.deposits.track == seen.owner
    steps = np.linalg.norm(seen.deposits.end - seen.deposits.start, axis=1)
    inside = np.bincount(seen.row[own], steps[own], len(owner))
    whole = _within(tracks.start[owner], bounds) & _within(tracks.end[owner], bounds)
    is_track = np.isin(semantic, (Semantic.TRACK, Semantic.MICHEL, Semantic.DELTA))
    return np.where(is_track, np.where(whole, tracks.length[owner], inside), 0.0)


def _contained(
    tracks: Tracks,
    seen: _Seen,
    semantic: Array,
    energy_deposit: Array,
    bounds: tuple[Array, Array] | None,
) -> Array:
    """(P,) bool: a track starts and ends inside; all else as CONTAINED_FRACTION and _MARGIN say."""
    owner = seen.owners
    near = ~_within((seen.deposits.start + seen.deposits.end) / 2, bounds, CONTAINED_MARGIN)
    clear = np.bincount(seen.row, near, len(owner)) == 0
    absorbed = energy_deposit > CONTAINED_FRACTION * tracks.kinetic_energy[owner]
    inside = _within(tracks.start[owner], bounds) & _within(tracks.end[owner], bounds)
    return np.where(semantic == Semantic.TRACK, inside, clear | absorbed)


def _vertices(tracks: Tracks, lineage: Lineage, vertices: Array) -> Array:
    """(I, 3) cm. The first primary row of each vertex, or where none is known its first row."""
    order = np.lexsort((~lineage.primary, tracks.interaction))
    first = np.searchsorted(tracks.interaction[order], vertices)
    return tracks.start[order[first]].astype(np.float32)
