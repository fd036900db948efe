"""Truth labels of a simulated event, by the rules of the field's label maker (Supera).

Every trajectory belongs to a family: a track alone, or all that descends from the first electron
or photon of a shower, a Michel electron or a delta ray. The deposits of a family fall into
fragments, its connected pieces (a track is always one fragment):

- a shower fragment of at most 10 voxels is low-energy scatter, unless the electron that starts
  the shower is in it and is primary or from a decay;
- a track made by a neutron, and a nucleus, is low-energy scatter up to 10 voxels;
- a fragment with the Michel electron itself is Michel; the detached rest of its family is shower
  or low-energy scatter by size;
- the same for a delta ray, if it has at least 3 voxels and at least 3 that its parent has not;
  otherwise it is part of its parent;
- low-energy scatter that touches its nearest visible ancestor is part of it.

A particle is what is left of a family. Small detached pieces of a delta ray that is part of its
parent belong to the parent too; larger ones are a particle of their own.
"""

from dataclasses import dataclass

import numpy as np

from reco.data.classes import Semantic
from reco.data.components import Occupied, occupied
from reco.data.lineage import Lineage, trace, visible_ancestor
from reco.data.products import TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array, Ragged
from reco.data.steps import split
from reco.data.tracks import Deposits, Tracks
from reco.data.truth_tables import Assignment, interaction_table, particle_table
from reco.errors import InputError

LOW_ENERGY_MAX = 10
"""Voxels. The largest low-energy scatter."""
DELTA_MIN = 3
"""Voxels. The smallest delta ray, and the fewest that its parent must not share."""

Bounds = tuple[Array, Array]
"""Lower and upper corner of the volume that is seen, (3,) cm each."""


@dataclass(frozen=True)
class EventTruth:
    """Labels of one event.

    fragment, particle: (N,) int32 per deposit, row of `particles` for the latter; -1 outside the
    bounds. semantic: (N,) int8, likewise. particles, interactions: products of this one event.
    """

    fragment: Array
    particle: Array
    semantic: Array
    particles: TruthParticles
    interactions: TruthInteractions


def label(
    tracks: Tracks,
    deposits: Deposits,
    *,
    voxel_size: float = 0.3,
    bounds: Bounds | None = None,
    neutrino_pdg: Array | None = None,
) -> EventTruth:
    """Label the deposits of one event and list its visible particles and interactions.

    voxel_size: cm, of the voxels that the size rules count, on a grid from the lower bound.
    bounds: deposits (by their middle) outside are not seen; None sees all.
    neutrino_pdg: (I,) int32 by Tracks.interaction, 0 for none.

    Raises InputError when voxel_size is not positive or a deposit names no row of tracks.
    """
    if not voxel_size > 0:
        raise InputError(f"voxel_size must be positive, not {voxel_size}")
    if len(deposits) and not 0 <= deposits.track.min() <= deposits.track.max() < len(tracks):
        raise InputError(f"deposits.track must be rows of the {len(tracks)} tracks")
    seen = np.flatnonzero(_inside(deposits, bounds))
    if len(seen) == 0:
        return _unseen(len(deposits))
    lineage = trace(tracks)
    origin = np.zeros(3) if bounds is None else np.asarray(bounds[0], float)
    pieces = _pieces(deposits, seen, lineage, voxel_size, origin)
    fragment, owner, semantic = _assign(pieces, lineage)
    assignment = _expand(len(deposits), seen, pieces.of_deposit, fragment, owner, semantic)
    particles, row_of_owner = particle_table(tracks, deposits, lineage, assignment, bounds)
    particles, interactions = interaction_table(particles, tracks, lineage, neutrino_pdg)
    particle = np.where(assignment.owner >= 0, row_of_owner[assignment.owner], -1)
    return EventTruth(
        assignment.fragment,
        particle.astype(np.int32),
        assignment.semantic,
        particles,
        interactions,
    )


def truth_deposits(deposits: Deposits, truth: EventTruth) -> TruthDeposits:
    """The labelled deposits that are seen, as a product of one event; position is the middle."""
    seen = truth.fragment >= 0
    middle = ((deposits.start + deposits.end) / 2)[seen]
    return TruthDeposits(
        position=Ragged.one(middle.astype(np.float32)),
        energy=Ragged.one(deposits.energy[seen]),
        semantic=Ragged.one(truth.semantic[seen]),
        fragment=Ragged.one(truth.fragment[seen]),
        particle=Ragged.one(truth.particle[seen]),
    )


@dataclass(frozen=True)
class _Pieces:
    """Connected pieces, C of them, of the families of an event.

    pairs: the distinct (family, voxel). of_pair: (M,) piece of each. of_deposit: (S,) piece of
    each seen deposit. family: (C,) row of the trajectory that starts it. size: (C,) voxels.
    holds_root: (C,) bool, a deposit of that trajectory itself is in it.
    """

    pairs: Occupied
    of_pair: Array
    of_deposit: Array
    family: Array
    size: Array
    holds_root: Array


def _inside(deposits: Deposits, bounds: Bounds | None) -> Array:
    middle = (deposits.start + deposits.end) / 2
    finite = np.isfinite(middle).all(axis=1)
    if bounds is None:
        return np.asarray(finite)
    lower, upper = (np.asarray(b, float) for b in bounds)
    return np.asarray(finite & ((middle >= lower) & (middle < upper)).all(axis=1))


def _unseen(n: int) -> EventTruth:
    none = np.full(n, -1, np.int32)
    return EventTruth(
        none, none, none.astype(np.int8), TruthParticles.empty(), TruthInteractions.empty()
    )


def _pieces(
    deposits: Deposits, seen: Array, lineage: Lineage, voxel_size: float, origin: Array
) -> _Pieces:
    points, step = split(deposits.start[seen], deposits.end[seen], voxel_size)
    track = deposits.track[seen]
    family = lineage.root[track]
    index = np.floor((points - origin) / voxel_size).astype(np.int64)
    pairs = occupied(index, family[step])
    of_pair = _whole_tracks(pairs.components(), pairs.group, lineage)
    n = int(of_pair.max()) + 1
    first_point = np.searchsorted(step, np.arange(len(seen)))
    of_deposit = of_pair[pairs.row[first_point]]
    of_piece = np.empty(n, np.int64)
    of_piece[of_pair] = pairs.group
    own = np.bincount(of_deposit, track == family, n) > 0
    return _Pieces(pairs, of_pair, of_deposit, of_piece, np.bincount(of_pair), own)


def _whole_tracks(component: Array, family: Array, lineage: Lineage) -> Array:
    """Join the components of each track; showers stay in pieces."""
    first = np.empty(len(lineage.root), np.int64)
    first[family[::-1]] = component[::-1]
    is_track = lineage.kind[family] == Semantic.TRACK
    joined = np.where(is_track, first[family], component)
    return np.unique(joined, return_inverse=True)[1].reshape(-1)


def _assign(pieces: _Pieces, lineage: Lineage) -> tuple[Array, Array, Array]:
    """Per piece (C,): the piece it is part of, the row that owns it as a particle, its class."""
    semantic = _by_size(pieces, lineage)
    kept = _kept_deltas(pieces, lineage)
    is_delta = lineage.kind[pieces.family] == Semantic.DELTA
    core = is_delta & pieces.holds_root
    semantic[core & kept] = Semantic.DELTA
    above = _first_piece(pieces, len(lineage.root))[lineage.parent[pieces.family]]
    dropped = is_delta & ~kept & (lineage.parent[pieces.family] >= 0) & (above >= 0)
    into = np.arange(len(pieces.size))
    into[core & dropped] = above[core & dropped]
    scatter = (semantic == Semantic.LOW_ENERGY) & ~(core & dropped)
    _join_touching(into, scatter, pieces, lineage)
    owned = np.where(scatter & dropped & (into == np.arange(len(into))), above, into)
    fragment, owner = _resolve(into), _resolve(owned)
    return fragment, pieces.family[owner], semantic[fragment]


def _by_size(pieces: _Pieces, lineage: Lineage) -> Array:
    kind = lineage.kind[pieces.family]
    small = pieces.size <= LOW_ENERGY_MAX
    semantic = np.where(small, Semantic.LOW_ENERGY, Semantic.SHOWER).astype(np.int8)
    faint = small & lineage.soft[pieces.family]
    semantic[(kind == Semantic.TRACK) & ~faint] = Semantic.TRACK
    semantic[(kind == Semantic.MICHEL) & pieces.holds_root] = Semantic.MICHEL
    starts = (kind == Semantic.SHOWER) & lineage.hard[pieces.family] & pieces.holds_root
    semantic[starts] = Semantic.SHOWER
    return semantic


def _kept_deltas(pieces: _Pieces, lineage: Lineage) -> Array:
    """(C,) bool, the piece is of a delta ray that is large enough to stand alone."""
    rows = np.flatnonzero(lineage.kind[pieces.pairs.group] == Semantic.DELTA)
    parent = lineage.parent[pieces.pairs.group[rows]]
    alone = pieces.pairs.same_voxel(rows, parent) < 0
    unshared = np.bincount(pieces.of_pair[rows][alone], minlength=len(pieces.size))
    large = pieces.holds_root & (pieces.size >= DELTA_MIN) & (unshared >= DELTA_MIN)
    return np.isin(pieces.family, pieces.family[large])


def _first_piece(pieces: _Pieces, n_tracks: int) -> Array:
    """(T,) first piece of each family, -1 for none."""
    first = np.full(n_tracks, -1, np.int64)
    first[pieces.family[::-1]] = np.arange(len(pieces.family))[::-1]
    return first


def _join_touching(into: Array, scatter: Array, pieces: _Pieces, lineage: Lineage) -> None:
    """Point scatter in `into` at a piece of its nearest visible ancestor that it touches."""
    ancestor = visible_ancestor(lineage, pieces.family)
    rows = np.flatnonzero((scatter & (ancestor >= 0))[pieces.of_pair])
    piece = pieces.of_pair[rows]
    near = pieces.pairs.touching(rows, ancestor[piece])
    into[piece[near >= 0]] = pieces.of_pair[near[near >= 0]]


def _resolve(into: Array) -> Array:
    """Follow pointers to their end; every chain leads up the family tree, so it has one."""
    while True:
        further = into[into]
        if np.array_equal(further, into):
            return into
        into = further


def _expand(
    n: int, seen: Array, piece: Array, fragment: Array, owner: Array, semantic: Array
) -> Assignment:
    full = Assignment(np.full(n, -1, np.int32), np.full(n, -1, np.int64), np.full(n, -1, np.int8))
    full.fragment[seen] = np.unique(fragment[piece], return_inverse=True)[1].reshape(-1)
    full.owner[seen] = owner[piece]
    full.semantic[seen] = semantic[piece]
    return full
