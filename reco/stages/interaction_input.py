"""Products of an event -> what the transformer sees of each of its interactions."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from reco.data.bundle import Bundle
from reco.data.classes import N_PID, N_SEMANTIC, PID, Semantic
from reco.data.products import Interactions, Kinematics, Particles, Points, Semantics, Voxels
from reco.data.ragged import Array
from reco.detector import Detector
from reco.nn.transformer import InteractionInput
from reco.ops.neighbours import Grid

UPSTREAM = (Voxels, Semantics, Points, Particles, Kinematics, Interactions)
"""Products that the input is made of."""

MAX_PARTICLES, MAX_POINTS = 48, 32
"""Largest particles, and points of best score, that an interaction is seen as."""
POINT_REACH = 3.0
"""cm from the voxels of an interaction within which a point belongs to it."""
END_REACH = 2.0
"""cm around start and end in which energy is summed."""
MIN_ENERGY = 0.1
"""MeV; smaller estimates are taken to be this."""
N_ENERGY_LIKE = 4
"""The first scalars are logarithms of energies; a change of the energy scale shifts them."""
N_SCALARS = 14 + 2 * N_SEMANTIC + N_PID
N_POINT_SCALARS = 4 + N_SEMANTIC
N_PHOTONS = 3
"""Largest showers of an interaction of which every two are followed back to where they cross."""
FARTHEST, LEAST_ANGLE = 100.0, 0.1
"""cm that a shower is followed back, and radian between two that have a crossing to speak of."""

_TRACKS = [PID.MUON, PID.PION, PID.PROTON, PID.KAON]
_CALORIMETRY, _RANGE, _SCATTERING = 0, 1, 5


@dataclass(frozen=True)
class EventInput:
    """The interactions of one event that have a particle, I of them.

    input: see InteractionInput. origin: (I, 3) float64 cm. interaction: (I,) int64, their rows.
    particle: (I, T) int64, row of each particle, -1 for none. reference: (P,) float32 MeV, of all
    particles of the event.
    """

    input: InteractionInput
    origin: Array
    interaction: Array
    particle: Array
    reference: Array


@dataclass(frozen=True)
class _Rows:
    """The particles of an event, with the columns of InteractionInput; places absolute."""

    scalars: Array
    start: Array
    end: Array
    direction: Array
    methods: Array
    known: Array
    preferred: Array
    primary: Array
    contained: Array


def event_input(event: Bundle, detector: Detector) -> EventInput:
    """event: UPSTREAM of one event. The origin of an interaction is the start of the particle
    with the largest primary score times logarithm of its number of voxels."""
    rows = _particle_rows(event, detector)
    owner = event[Interactions].particle_interaction.values
    size = event[Particles].n_voxels.values
    chosen = _members(owner, size, len(event[Interactions].id.values))
    interaction = np.flatnonzero([len(c) > 0 for c in chosen])
    weight = (rows.primary + 1e-3) * np.log(size + 2.0)
    lead = np.array([chosen[i][weight[chosen[i]].argmax()] for i in interaction], np.int64)
    origin = rows.start[lead]
    particle = padded_rows([chosen[i] for i in interaction])
    near = _points_of(event, interaction)
    showers = [_showers(event, chosen[i]) for i in interaction]
    places = _Places.of(event[Points], near, rows, showers)
    return EventInput(
        input=_assemble(rows, particle, places, origin),
        origin=origin,
        interaction=interaction,
        particle=particle,
        reference=np.exp(rows.methods[np.arange(len(owner)), rows.preferred]).astype(np.float32),
    )


def join(inputs: Sequence[InteractionInput]) -> InteractionInput:
    """Interactions of several events (at least one) as one input."""
    n_particles = max(i.particle_mask.shape[1] for i in inputs)
    n_points = max(i.point_mask.shape[1] for i in inputs)
    columns = {}
    for f in fields(InteractionInput):
        length = n_points if f.name.startswith("point") else n_particles
        columns[f.name] = torch.cat([pad(getattr(i, f.name), length) for i in inputs])
    return InteractionInput(**columns)


def pad(values: torch.Tensor, length: int) -> torch.Tensor:
    """(I, T, ...) -> (I, length, ...) with zeros at the end."""
    missing = length - values.shape[1]
    filling = values.new_zeros((len(values), missing, *values.shape[2:]))
    return torch.cat([values, filling], dim=1) if missing else values


def padded_rows(lists: Sequence[Array]) -> Array:
    """Lists of rows -> (L, longest) int64, -1 where there is none."""
    table = np.full((len(lists), max((len(rows) for rows in lists), default=0)), -1, np.int64)
    for i, rows in enumerate(lists):
        table[i, : len(rows)] = rows
    return table


def _members(owner: Array, size: Array, n: int) -> list[Array]:
    """Particles of each of n interactions, the largest first, at most MAX_PARTICLES."""
    order = np.lexsort((np.arange(len(owner)), -size.astype(np.int64), owner))
    cuts = np.searchsorted(owner[order], np.arange(n + 1))
    return [order[cuts[i] : cuts[i + 1]][:MAX_PARTICLES] for i in range(n)]


def _points_of(event: Bundle, interaction: Array) -> list[Array]:
    """Points near the voxels of each of these interactions, best score first, MAX_POINTS."""
    voxels, points = event[Voxels].position.values, event[Points]
    order = np.argsort(-points.score.values, kind="stable")
    place = points.position.values[order]
    rank, row = Grid.of(voxels, POINT_REACH).within(place, POINT_REACH)
    owner = event[Interactions].voxel_interaction.values[row].astype(np.int64)
    owner, rank = np.divmod(np.unique(owner * len(place) + rank), max(len(place), 1))
    cuts = np.searchsorted(owner, [interaction, interaction + 1])
    return [order[rank[a:b]][:MAX_POINTS] for a, b in cuts.T]


def _showers(event: Bundle, particle: Array) -> Array:
    """Of the particles of an interaction, the largest showers."""
    kind = event[Particles].semantic.values[particle]
    return np.asarray(particle[kind == Semantic.SHOWER][:N_PHOTONS])


@dataclass(frozen=True)
class _Places:
    """Where a vertex may be, apart from the ends of particles: points of interest, and crossings of
    showers, of which a photon shows nothing between its vertex and its start.

    position: (K, 3) cm. scalars: (K, N_POINT_SCALARS). score: (K,), 0 for crossings.
    rows: (I, M) of each interaction, -1 for none.
    """

    position: Array
    scalars: Array
    score: Array
    rows: Array

    @staticmethod
    def of(points: Points, near: list[Array], rows: _Rows, showers: list[Array]) -> "_Places":
        """near, showers: rows of points and of particles, of each interaction."""
        pairs = [np.stack(np.triu_indices(len(s), 1), axis=1) for s in showers]
        ends = [s[p] for s, p in zip(showers, pairs, strict=True)]
        place, miss = crossings(rows.start, rows.direction, np.concatenate([*ends, _NO_PAIR]))
        known = np.isfinite(miss)
        owner = np.repeat(np.arange(len(ends)), [len(e) for e in ends])[known]
        first = len(points.score.values)
        crossing = [first + np.flatnonzero(owner == i) for i in range(len(ends))]
        return _Places(
            np.concatenate([points.position.values, place[known]]),
            np.concatenate([_of_points(points), _of_crossings(miss[known])]),
            np.concatenate([points.score.values, np.zeros(len(owner), np.float32)]),
            padded_rows([np.append(a, b) for a, b in zip(near, crossing, strict=True)]),
        )


_NO_PAIR = np.zeros((0, 2), np.int64)


def _of_points(points: Points) -> Array:
    """(M, N_POINT_SCALARS): score and its log odds, type; none of what crossings have."""
    score = points.score.values
    kind = np.eye(N_SEMANTIC)[np.maximum(points.type.values, 0)]
    logit = np.log((score + 0.01) / (1.01 - score))
    none = np.zeros((len(score), 2))
    return np.concatenate([np.stack([score, logit / 2], axis=1), kind, none], axis=1)


def _of_crossings(miss: Array) -> Array:
    """(K,) cm -> (K, N_POINT_SCALARS): that it is one, and the logarithm of the miss."""
    scalars = np.zeros((len(miss), N_POINT_SCALARS))
    scalars[:, -2], scalars[:, -1] = 1, _log(miss, 0.1)
    return scalars


def crossings(start: Array, direction: Array, pairs: Array) -> tuple[Array, Array]:
    """Where two showers come closest to each other before they start.

    start: (P, 3) cm. direction: (P, 3) unit vectors. pairs: (K, 2) rows. Returns (K, 3) cm, the
    middle between both, and (K,) cm, how far they miss each other; NaN where they are almost
    parallel, or are so only far away.
    """
    (a, b), (u, v) = start[pairs.T], direction[pairs.T].astype(np.float64)
    apart, cosine = a - b, (u * v).sum(axis=1)
    along_u, along_v = (apart * u).sum(axis=1), (apart * v).sum(axis=1)
    sine2 = np.maximum(1 - cosine**2, 1e-12)
    back = np.stack([cosine * along_v - along_u, along_v - cosine * along_u]) / sine2
    back = np.minimum(back, 0.0)
    at_a, at_b = a + back[0, :, None] * u, b + back[1, :, None] * v
    told = (sine2 > LEAST_ANGLE**2) & (back.min(axis=0) > -FARTHEST)
    miss = np.where(told, np.linalg.norm(at_a - at_b, axis=1), np.nan)
    return (at_a + at_b) / 2, miss


def _particle_rows(event: Bundle, detector: Detector) -> _Rows:
    kinematics, interactions = event[Kinematics], event[Interactions]
    start = np.nan_to_num(kinematics.start.values.astype(np.float64))
    end = np.nan_to_num(kinematics.end.values.astype(np.float64))
    methods, known = _methods(kinematics)
    return _Rows(
        scalars=_scalars(event, start, end, detector),
        start=start,
        end=end,
        direction=kinematics.direction.values,
        methods=methods,
        known=known,
        preferred=_preferred(event, methods, known),
        primary=interactions.primary_score.values,
        contained=kinematics.contained.values,
    )


def _methods(kinematics: Kinematics) -> tuple[Array, Array]:
    """(P, 6) log of MeV by each of METHODS, 0 where not known, and (P, 6) bool known."""
    energy = np.concatenate(
        [
            kinematics.energy_calo.values[:, None],
            kinematics.energy_csda.values,
            kinematics.energy_mcs.values[:, None],
        ],
        axis=1,
    ).astype(np.float64)
    known = np.isfinite(energy)
    known[:, _RANGE:] &= energy[:, _RANGE:] > MIN_ENERGY
    known[:, _CALORIMETRY] = True
    usable = np.where(known, np.nan_to_num(energy), 1.0)
    return np.log(np.maximum(usable, MIN_ENERGY)), known


def _preferred(event: Bundle, methods: Array, known: Array) -> Array:
    """(P,) int64: range for tracks that stop, scattering for those that leave where it says more
    than the energy that was seen, else calorimetry."""
    contained = event[Kinematics].contained.values
    track = event[Particles].semantic.values == Semantic.TRACK
    by_range = _RANGE + event[Interactions].pid_scores.values[:, _TRACKS].argmax(axis=1)
    has_range = known[np.arange(len(known)), by_range]
    more = known[:, _SCATTERING] & (methods[:, _SCATTERING] > methods[:, _CALORIMETRY])
    return np.select(
        [track & contained & has_range, track & ~contained & more],
        [by_range, np.full(len(known), _SCATTERING)],
        _CALORIMETRY,
    ).astype(np.int64)


def _scalars(event: Bundle, start: Array, end: Array, detector: Detector) -> Array:
    """(P, N_SCALARS), each of order one."""
    particles, kinematics = event[Particles], event[Kinematics]
    interactions = event[Interactions]
    voxels, owner = event[Voxels], particles.voxel_particle.values
    sums = _VoxelSums.of(voxels, owner, len(start), start, end)
    toward_end = _unit(end - start)
    n = np.maximum(sums.count, 1)
    columns = [
        _log(kinematics.start_dedx.values, 0.1),
        _log(sums.energy / n, 0.01),
        _log(sums.near_start, 0.1),
        _log(sums.near_end, 0.1),
        _log(n, 1.0) - 3,
        _log(kinematics.length.values, 0.3) - 2,
        kinematics.contained.values,
        interactions.primary_score.values,
        _log(sums.depth / np.maximum(sums.energy, 1e-6), 0.3) - 2,
        _log(wall_distance(start, detector), 0.3) - 2,
        _log(wall_distance(end, detector), 0.3) - 2,
        _log(_nearest(voxels, owner, len(start), detector), 0.3) - 2,
        _log(way_out(start, kinematics.direction.values, detector), 0.3) - 3,
        _log(way_out(end, toward_end, detector), 0.3) - 3,
    ]
    return np.concatenate(
        [
            np.stack(columns, axis=1),
            np.eye(N_SEMANTIC)[np.maximum(particles.semantic.values, 0)],
            interactions.pid_scores.values,
            _mean_of(event[Semantics].scores.values, owner, n),
        ],
        axis=1,
    )


@dataclass(frozen=True)
class _VoxelSums:
    """(P,) each, over the voxels of each particle: how many, MeV, MeV within END_REACH of start
    and end, and MeV times the distance from the start in cm."""

    count: Array
    energy: Array
    near_start: Array
    near_end: Array
    depth: Array

    @staticmethod
    def of(voxels: Voxels, owner: Array, n: int, start: Array, end: Array) -> "_VoxelSums":
        own = np.flatnonzero(owner >= 0)
        owner, energy = owner[own], voxels.energy.values[own].astype(np.float64)
        from_start = np.linalg.norm(voxels.position.values[own] - start[owner], axis=1)
        from_end = np.linalg.norm(voxels.position.values[own] - end[owner], axis=1)
        weights = (
            energy,
            energy * (from_start <= END_REACH),
            energy * (from_end <= END_REACH),
            energy * from_start,
        )
        sums = (np.bincount(owner, weight, n) for weight in weights)
        return _VoxelSums(np.bincount(owner, minlength=n), *sums)


def _mean_of(values: Array, owner: Array, count: Array) -> Array:
    """(N, K) of voxels -> (P, K) mean over each particle. count: (P,) of voxels, at least 1."""
    own = owner >= 0
    sums = [np.bincount(owner[own], column[own], len(count)) for column in values.T]
    return np.asarray(np.stack(sums, axis=1) / count[:, None])


def _nearest(voxels: Voxels, owner: Array, n: int, detector: Detector) -> Array:
    """(P,) cm from the voxels of each particle to the nearest wall."""
    own = owner >= 0
    nearest = np.full(n, np.inf)
    np.minimum.at(nearest, owner[own], wall_distance(voxels.position.values[own], detector))
    return np.where(np.isfinite(nearest), nearest, 0.0)


def wall_distance(points: Array, detector: Detector) -> Array:
    """(N, 3) cm -> (N,) cm to the nearest wall of the argon, 0 outside."""
    return np.maximum(detector.wall_distance(points), 0.0)


def way_out(points: Array, direction: Array, detector: Detector) -> Array:
    """(N, 3) cm and (N, 3) unit vectors -> (N,) cm along them to the wall, 0 without direction."""
    bath = detector.bath_of(points)
    lower, upper = bath[:, 0], bath[:, 1]
    inside = np.clip(points, lower, upper)
    face = np.where(direction > 0, upper, lower)
    moving = np.abs(direction) > 1e-6
    way = np.where(moving, (face - inside) / np.where(moving, direction, 1.0), np.inf).min(axis=1)
    return np.where(np.isfinite(way), way, 0.0)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _log(values: Array, offset: float) -> Array:
    return np.log(np.maximum(np.nan_to_num(values.astype(np.float64)), 0.0) + offset)


def _assemble(rows: _Rows, particle: Array, places: _Places, origin: Array) -> InteractionInput:
    """particle: (I, T) rows, -1 for none. origin: (I, 3) cm."""
    return InteractionInput(
        scalars=_gather(rows.scalars, particle),
        particle_mask=torch.from_numpy(particle >= 0),
        start=_gather(rows.start, particle, origin),
        end=_gather(rows.end, particle, origin),
        direction=_gather(rows.direction, particle),
        methods=_gather(rows.methods, particle),
        known=_gather(rows.known, particle),
        preferred=_gather(rows.preferred, particle),
        primary=_gather(rows.primary, particle),
        contained=_gather(rows.contained, particle),
        point_scalars=_gather(places.scalars, places.rows),
        point_mask=torch.from_numpy(places.rows >= 0),
        point=_gather(places.position, places.rows, origin),
        point_score=_gather(places.score, places.rows),
    )


def _gather(values: Array, rows: Array, origin: Array | None = None) -> torch.Tensor:
    """(P, ...) and (I, T) rows -> (I, T, ...), zeros where the row is -1; float32 for floats."""
    filled = np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])
    table = filled[rows]
    if origin is not None:
        table = np.where((rows >= 0)[..., None], table - origin[:, None], 0.0)
    if table.dtype.kind == "f":
        table = table.astype(np.float32)
    return torch.from_numpy(table)
