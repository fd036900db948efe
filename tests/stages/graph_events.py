"""Events of straight particles broken into fragments, as the graph networks are given them."""

import numpy as np
import torch

from reco.data.bundle import Bundle
from reco.data.classes import PID, Semantic
from reco.data.products import (
    Fragments,
    Points,
    Semantics,
    TruthParticles,
    VoxelLabels,
    Voxels,
)
from reco.data.ragged import Ragged
from reco.detector import Detector
from reco.stages.base import Context

CONTEXT = Context(Detector.load("generic"), torch.device("cpu"))
F = 16


def make(product, offsets, **columns):
    """A product of one event, zeros with the given rows per table; columns override."""
    data = {}
    for name, spec in product.columns().items():
        n = 1 if spec.table == "events" else offsets[spec.table]
        shape = tuple(F if k < 0 else k for k in spec.shape)
        values = np.asarray(columns.get(name, np.zeros((n, *shape))), spec.dtype)
        data[name] = values if spec.table == "events" else Ragged.one(values)
    return product(**data)


def event(index, fragment, particle, *, semantic=None, interaction=None, points=()):
    """index: (N, 3). fragment, particle: (N,). semantic, interaction: (P,) of the particles."""
    index = np.asarray(index, np.int32).reshape(-1, 3)
    fragment, particle = np.asarray(fragment, int), np.asarray(particle, int)
    order = np.lexsort(index.T[::-1])
    index, fragment, particle = index[order], fragment[order], particle[order]
    n, n_particles = len(index), int(particle.max(initial=-1)) + 1
    kind = np.full(n_particles, Semantic.TRACK) if semantic is None else np.asarray(semantic)
    vertex = np.zeros(n_particles, int) if interaction is None else np.asarray(interaction)
    centre = CONTEXT.detector.centre_of(index)
    first = [np.flatnonzero(particle == p)[0] for p in range(n_particles)]
    last = [np.flatnonzero(particle == p)[-1] for p in range(n_particles)]
    rows = {
        "voxels": n,
        "points": len(points),
        "fragments": int(fragment.max(initial=-1)) + 1,
        "truth_particles": n_particles,
    }
    scores = np.full((n, 5), 0.05)
    scores[np.arange(n), kind[particle]] = 0.8
    of_fragment = np.zeros(rows["fragments"], int)
    of_fragment[fragment] = kind[particle]
    place = CONTEXT.detector.centre_of(np.asarray(points, int).reshape(-1, 3))
    features = np.random.default_rng(n).random((n, F))
    return Bundle(
        (
            make(Voxels, rows, index=index, position=centre, energy=np.full(n, 0.6)),
            make(Semantics, rows, scores=scores, semantic=kind[particle], features=features),
            make(
                Points, rows, position=place, type=np.ones(len(points)), score=[0.9] * len(points)
            ),
            make(
                Fragments,
                rows,
                voxel_fragment=fragment,
                semantic=of_fragment,
                n_voxels=np.bincount(fragment, minlength=rows["fragments"]),
            ),
            make(
                VoxelLabels,
                rows,
                semantic=kind[particle],
                fragment=fragment,
                particle=particle,
                interaction=vertex[particle],
            ),
            make(
                TruthParticles,
                rows,
                pid=np.where(kind == Semantic.TRACK, PID.MUON, PID.ELECTRON),
                semantic=kind,
                interaction=vertex,
                is_primary=np.ones(n_particles),
                start=centre[first],
                end=centre[last],
            ),
        )
    )


def tiny(n):
    """0, 1 or 2 voxels, each a fragment and a particle."""
    return event([[100, 100, 100], [103, 100, 100]][:n], np.arange(n), np.arange(n))


def broken_lines(rng, n_lines=4):
    """Lines along z, tracks or showers, each of three fragments with gaps; two interactions."""
    index, fragment, particle, points = [], [], [], []
    corners = rng.integers(60, 140, (n_lines, 3))
    for line, corner in enumerate(corners):
        z = np.concatenate([np.arange(12), np.arange(16, 28), np.arange(33, 40)])
        index.append(corner + np.stack([np.zeros(31), np.zeros(31), z], axis=1))
        fragment.append(3 * line + np.repeat([0, 1, 2], [12, 12, 7]))
        particle.append(np.full(31, line))
        points.append(corner)
    flat, first = np.unique(np.concatenate(index), axis=0, return_index=True)
    fragment = np.unique(np.concatenate(fragment)[first], return_inverse=True)[1]
    particle = np.concatenate(particle)[first]
    semantic = rng.integers(0, 2, n_lines)
    return event(
        flat,
        fragment,
        particle,
        semantic=semantic,
        interaction=(np.arange(n_lines) * 2) // n_lines,
        points=points,
    )
