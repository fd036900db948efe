"""Particles -> interactions: which share a vertex, what each is, and which leave the vertex."""

import numpy as np

from reco.data.bundle import Bundle
from reco.data.classes import N_PID, N_SEMANTIC
from reco.data.products import Interactions, Kinematics, Particles, Points, Semantics, Voxels
from reco.data.ragged import Array, Ragged
from reco.detector import Detector
from reco.nn.graph import GraphOutput
from reco.stages.graphs import (
    Candidates,
    Clusters,
    GraphStage,
    Reach,
    Scene,
    candidates,
    describe,
    groups,
)

REACH = Reach(near=12, cells=16, far=8)
N_EXTRA = 11 + 4 + 4 + N_SEMANTIC
"""Features of a particle beside those of any cluster, see `particle_features`."""


class MakeInteractions(GraphStage):
    """Outputs of the network per particle: that it leaves the vertex, and its identity (6)."""

    name = "interactions"
    n_extra = N_EXTRA
    n_outputs = 1 + N_PID

    def __call__(
        self,
        voxels: Voxels,
        semantics: Semantics,
        points: Points,
        particles: Particles,
        kinematics: Kinematics,
    ) -> Interactions:
        inputs = (voxels, semantics, points, particles, kinematics)
        events = [
            decode(output, found, event[Particles].voxel_particle.values)
            for event, found, output in self.answers(*inputs)
        ]
        return Interactions.concat(events)

    def prepare(self, event: Bundle) -> Candidates:
        detector, particles, kinematics = self.context.detector, event[Particles], event[Kinematics]
        scene = Scene.of(detector, event)
        clusters = describe(scene, particles.voxel_particle.values)
        extra = particle_features(particles, kinematics, scene, clusters)
        return candidates(scene, _placed(clusters, kinematics, detector, extra), REACH)


def _placed(
    clusters: Clusters, kinematics: Kinematics, detector: Detector, extra: Array
) -> Clusters:
    """Ends and directions as the kinematics have them, which know more than a cluster alone."""

    def place(position: Array) -> Array:
        grid: Array = (position.astype(np.float64) - detector.lower) / detector.voxel_size - 0.5
        return grid

    direction = np.nan_to_num(kinematics.direction.values.astype(np.float64))
    shape = clusters.shape._replace(
        start=place(kinematics.start.values),
        end=place(kinematics.end.values),
        direction=direction,
    )
    nodes = np.concatenate([clusters.nodes, extra], axis=1)
    return Clusters(clusters.cluster, clusters.members, shape, nodes)


def particle_features(
    particles: Particles, kinematics: Kinematics, scene: Scene, clusters: Clusters
) -> Array:
    """(P, N_EXTRA) float32 of one event: kinematics, the energy of each hypothesis by its range
    against the deposited one, the profile of the deposit from start to end, the class."""
    calo = np.maximum(_finite(kinematics.energy_calo), 1e-3)
    csda, mcs = _finite(kinematics.energy_csda), _finite(kinematics.energy_mcs)
    by_range = np.where(csda > 0, np.log(np.maximum(csda, 1e-3) / calo[:, None]), 0.0)
    blocks = [
        _measured(kinematics, calo),
        _made_of(particles, len(calo)),
        np.stack([np.log1p(np.maximum(mcs, 0)) / 3, mcs > 0], axis=1),
        np.clip(by_range, -3, 3),
        _profile(scene, clusters),
        np.eye(N_SEMANTIC)[particles.semantic.values],
    ]
    return np.concatenate(blocks, axis=1).astype(np.float32)


def _measured(kinematics: Kinematics, calo: Array) -> Array:
    """(P, 7) of length and deposit. calo: (P,) MeV."""
    length = np.maximum(_finite(kinematics.length), 0.0)
    dedx = _finite(kinematics.start_dedx)
    straight = np.linalg.norm(kinematics.end.values - kinematics.start.values, axis=1)
    columns = [
        np.log(calo) / 3,
        np.log1p(length) / 2,
        np.log1p(np.maximum(dedx, 0)),
        dedx > 0,
        straight / np.maximum(length, 0.3),
        np.log(calo / np.maximum(length, 0.3)),
        kinematics.contained.values,
    ]
    return np.stack(columns, axis=1)


def _made_of(particles: Particles, n: int) -> Array:
    """(n, 2) logarithm of the number of fragments, and the best score to start a shower."""
    owner, best = particles.fragment_particle.values, np.zeros(n)
    np.maximum.at(best, owner, particles.fragment_primary_score.values)
    return np.stack([np.log1p(np.bincount(owner, minlength=n)), best], axis=1)


def _profile(scene: Scene, clusters: Clusters) -> Array:
    """(P, 4) logarithm of the energy per voxel in four parts of the way from start to end."""
    members, shape = clusters.members, clusters.shape
    way = shape.end - shape.start
    length = np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
    along = (
        (scene.voxels.place - shape.start[clusters.cluster]) * (way / length**2)[clusters.cluster]
    ).sum(axis=1)
    part = np.clip((along * 4).astype(int), 0, 3)
    here = np.eye(4)[part]
    energy = members.sum(here * scene.voxels.energy[:, None])
    count = members.sum(here)
    return np.where(count > 0, np.log(np.maximum(energy, 1e-3) / np.maximum(count, 1)), 0.0)


def _finite(column: Ragged) -> Array:
    return np.nan_to_num(column.values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def decode(output: GraphOutput, found: Candidates, voxel_particle: Array) -> Interactions:
    """One event."""
    group = groups(output, found)
    n = int(group.max(initial=-1)) + 1
    primary = output.nodes[:, 0].sigmoid().numpy()
    scores = output.nodes[:, 1:].softmax(dim=1).numpy()
    return Interactions(
        voxel_interaction=Ragged.one(group[voxel_particle]),
        particle_interaction=Ragged.one(group),
        pid=Ragged.one(scores.argmax(axis=1).astype(np.int8)),
        pid_scores=Ragged.one(scores),
        is_primary=Ragged.one(primary > 0.5),
        primary_score=Ragged.one(primary),
        id=Ragged.one(np.arange(n)),
        n_particles=Ragged.one(np.bincount(group, minlength=n)),
    )
