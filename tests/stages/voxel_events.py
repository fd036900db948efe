"""Voxels and what a backbone may say of them, made up."""

import numpy as np
import torch

from reco.data.products import Semantics, Voxels
from reco.data.ragged import Ragged
from reco.detector import Detector
from reco.stages.base import Context

CONTEXT = Context(Detector.load("generic"), torch.device("cpu"))


def walk(seed: int, steps: int) -> np.ndarray:
    """At most `steps` distinct voxels (N, 3) int32 of a random walk, sorted."""
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.integers(-1, 2, (steps, 3)), axis=0) + 300
    return np.unique(path, axis=0).astype(np.int32)


def cloud(seed: int, count: int, side: int) -> np.ndarray:
    """`count` distinct voxels (N, 3) int32 of a cube of that side, sorted."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(side**3, count, replace=False))
    return np.stack(np.unravel_index(chosen, (side,) * 3), axis=1).astype(np.int32) + 100


def voxels(*events: np.ndarray) -> Voxels:
    """Events of voxels (N, 3) with energies of about 1 MeV, the same for the same event."""
    index = Ragged.of([np.asarray(e, np.int32).reshape(-1, 3) for e in events])
    energy = [np.random.default_rng(len(e)).gamma(2.0, 0.4, len(e)) for e in events]
    return Voxels(
        index=index,
        position=index.like(CONTEXT.detector.centre_of(index.values)),
        energy=Ragged.of(energy),
        n_hits=index.counts,
        n_hits_outside=index.counts * 0,
    )


def semantics(like: Voxels, **columns: np.ndarray) -> Semantics:
    """Tracks without points and without links, but for these columns of all events."""
    n = len(like.energy.values)
    plain = {
        "scores": np.eye(5)[np.ones(n, int)],
        "semantic": np.ones(n),
        "features": np.zeros((n, 4)),
        "point_score": np.zeros(n),
        "point_offset": np.zeros((n, 3)),
        "point_type": np.ones(n),
        "affinity": np.zeros((n, 13)),
    }
    return Semantics(**{name: like.energy.like(v) for name, v in (plain | columns).items()})
