"""Events of straight particles, with the products that the transformer is given and the truth."""

from dataclasses import dataclass

import numpy as np

from reco.data.bundle import Bundle
from reco.data.classes import PID, Semantic
from reco.data.products import (
    Interactions,
    Kinematics,
    Particles,
    Points,
    Semantics,
    TruthInteractions,
    TruthParticles,
    VoxelLabels,
    Voxels,
)
from reco.data.ragged import Ragged
from reco.detector import Detector
from reco.ops.csda import KAON_MASS, MUON_MASS, PION_MASS, PROTON_MASS, energy_of_range

GENERIC = Detector.load("generic")


@dataclass(frozen=True)
class Line:
    """A particle that runs straight from start to end; interaction -1 for none."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    interaction: int = 0
    pid: PID = PID.MUON
    primary_score: float = 0.9
    contained: bool = True
    energy: float = 100.0

    @property
    def semantic(self) -> Semantic:
        return Semantic.SHOWER if self.pid in (PID.PHOTON, PID.ELECTRON) else Semantic.TRACK


def event(lines: list[Line], points: list[tuple[float, float, float]] | None = None) -> Bundle:
    """One event. Truth is what the chain has found, the vertex the start of the first line."""
    index, owner = _voxels(lines)
    n, p = len(index), len(lines)
    interaction = np.array([line.interaction for line in lines], int)
    n_interactions = int(interaction.max(initial=-1)) + 1
    semantic = np.array([line.semantic for line in lines], int)
    of_voxel = np.append(interaction, -1)[owner]
    one = Ragged.one
    size = np.bincount(owner, minlength=p)
    scores = np.full((n, 5), 0.02)
    scores[np.arange(n), semantic[owner]] = 0.92
    pid_scores = np.full((p, 6), 0.01)
    pid_scores[np.arange(p), [line.pid for line in lines]] = 0.95
    half = np.zeros((n, 1), np.float16)
    place = np.array(points or [], float).reshape(-1, 3)
    return Bundle(
        (
            Voxels(one(index), one(GENERIC.centre_of(index)), one(np.full(n, 0.6)), *_counts(n)),
            Semantics(
                one(scores),
                one(semantic[owner]),
                one(half),
                one(half[:, 0]),
                one(np.zeros((n, 3))),
                one(np.zeros(n)),
                one(np.zeros((n, 13))),
            ),
            Points(one(place), one(np.ones(len(place))), one(np.full(len(place), 0.8))),
            Particles(
                one(owner),
                one(np.arange(p)),
                one(np.ones(p)),
                one(np.arange(p)),
                one(semantic),
                one(size),
            ),
            _kinematics(lines, size),
            Interactions(
                one(of_voxel),
                one(interaction),
                one(np.array([line.pid for line in lines], int)),
                one(pid_scores),
                one(np.array([line.primary_score > 0.5 for line in lines], bool)),
                one(np.array([line.primary_score for line in lines])),
                one(np.arange(n_interactions)),
                one(np.bincount(interaction[interaction >= 0], minlength=n_interactions)),
            ),
            VoxelLabels(one(semantic[owner]), one(owner), one(owner), one(of_voxel)),
            *_truth(lines, interaction, n_interactions),
        )
    )


def _counts(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([n]), np.array([0])


def _voxels(lines: list[Line]) -> tuple[np.ndarray, np.ndarray]:
    points, owner = [np.zeros((0, 3))], [np.zeros(0, int)]
    for row, line in enumerate(lines):
        start, end = np.array(line.start), np.array(line.end)
        n = int(np.linalg.norm(end - start) / 0.1) + 1
        points.append(start + np.linspace(0, 1, n)[:, None] * (end - start))
        owner.append(np.full(n, row))
    index = GENERIC.index_of(np.concatenate(points))
    index, first = np.unique(index, axis=0, return_index=True)
    return index, np.concatenate(owner)[first]


def _kinematics(lines: list[Line], size: np.ndarray) -> Kinematics:
    start = np.array([line.start for line in lines], float).reshape(-1, 3)
    end = np.array([line.end for line in lines], float).reshape(-1, 3)
    length = np.linalg.norm(end - start, axis=1)
    masses = (MUON_MASS, PION_MASS, PROTON_MASS, KAON_MASS)
    csda = np.stack([energy_of_range(length, mass) for mass in masses], axis=1)
    shower = np.array([line.semantic != Semantic.TRACK for line in lines], bool)
    csda[shower] = np.nan
    one = Ragged.one
    return Kinematics(
        start=one(start),
        end=one(end),
        direction=one((end - start) / np.maximum(length, 1e-9)[:, None]),
        length=one(length),
        start_dedx=one(np.full(len(lines), 2.1)),
        energy_calo=one(size * 0.6),
        energy_mcs=one(np.full(len(lines), np.nan)),
        energy_csda=one(csda),
        contained=one(np.array([line.contained for line in lines], bool)),
    )


def _truth(
    lines: list[Line], interaction: np.ndarray, n: int
) -> tuple[TruthParticles, TruthInteractions]:
    one, p = Ragged.one, len(lines)
    start = np.array([line.start for line in lines], float).reshape(-1, 3)
    end = np.array([line.end for line in lines], float).reshape(-1, 3)
    energy = np.array([line.energy for line in lines], float)
    primary = np.array([line.primary_score > 0.5 for line in lines], bool)
    first = [int(np.flatnonzero(interaction == i)[0]) for i in range(n)]
    counted = primary & (interaction >= 0)
    particles = TruthParticles(
        pid=one(np.array([line.pid for line in lines], int)),
        pdg=one(np.full(p, 13)),
        semantic=one(np.array([line.semantic for line in lines], int)),
        interaction=one(interaction),
        parent=one(np.full(p, -1)),
        is_primary=one(primary),
        start=one(start),
        end=one(end),
        direction=one(np.zeros((p, 3))),
        energy=one(energy),
        energy_deposit=one(energy),
        length=one(np.linalg.norm(end - start, axis=1)),
        time=one(np.zeros(p)),
        contained=one(np.array([line.contained for line in lines], bool)),
    )
    interactions = TruthInteractions(
        vertex=one(start[first]),
        energy=one(np.bincount(interaction[counted], energy[counted], n)),
        pdg=one(np.zeros(n)),
        n_particles=one(np.bincount(interaction[interaction >= 0], minlength=n)),
        topology=one(np.full(n, b"")),
        contained=one(np.ones(n, bool)),
    )
    return particles, interactions


def star(rng: np.random.Generator, n: int) -> Bundle:
    """An interaction of n tracks that leave its vertex, the vertex among the predicted points."""
    vertex = rng.uniform(-60, 60, 3)
    ends = [vertex + rng.uniform(6, 30) * _direction(rng) for _ in range(n)]
    lines = [
        Line(tuple(vertex), tuple(end), energy=float(energy_of_range(_length(vertex, end), 105.66)))
        for end in ends
    ]
    return event(lines, [tuple(vertex), *(tuple(end) for end in ends)])


def _direction(rng: np.random.Generator) -> np.ndarray:
    way = rng.normal(size=3)
    return np.asarray(way / np.linalg.norm(way))


def _length(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return np.linalg.norm(end - start)
