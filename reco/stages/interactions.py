"""Particles -> interactions: which share a vertex, what each is, and which leave the vertex."""

import numpy as np
import torch

from reco.data.classes import N_PID, N_SEMANTIC
from reco.data.products import (
    Fragments,
    Interactions,
    Kinematics,
    Particles,
    Points,
    Semantics,
    Voxels,
)
from reco.data.ragged import Array, Ragged
from reco.detector import Detector
from reco.nn.graph import GraphNet, GraphOutput
from reco.ops.cluster_features import N_COMMON, N_OWN
from reco.ops.partition import log_odds, partition
from reco.stages.graphs import (
    N_NODE_FEATURES,
    Candidates,
    Clusters,
    GraphModel,
    Reach,
    Scene,
    candidates,
    describe,
)
from reco.stages.learned import LearnedOptions, LearnedStage

REACH = Reach(near=12, cells=16, far=8)
N_EXTRA = 11 + 4 + 4 + N_SEMANTIC
"""Features of a particle beside those of any cluster, see `particle_features`."""


class MakeInteractions(LearnedStage):
    """One event at a time, so that no answer depends on what else is in the batch.

    Outputs of the network per particle: that it leaves the vertex, and its identity (6).
    """

    name = "interactions"
    Options = LearnedOptions
    Model = GraphModel
    module: GraphNet

    def network(self, model: GraphModel) -> GraphNet:
        return GraphNet(
            N_NODE_FEATURES + 2 * model.features + N_EXTRA,
            N_COMMON,
            N_OWN,
            1 + N_PID,
            width=model.width,
            rounds=model.rounds,
        )

    def __call__(
        self,
        voxels: Voxels,
        semantics: Semantics,
        points: Points,
        fragments: Fragments,
        particles: Particles,
        kinematics: Kinematics,
    ) -> Interactions:
        events = []
        for event in range(len(voxels)):
            found = self.prepare(voxels, semantics, points, fragments, particles, kinematics, event)
            with torch.inference_mode():
                output = self.module(found.graph.to(self.context.device)).cpu()
            events.append(decode(output, found, particles.voxel_particle[event]))
        return Interactions.concat(events)

    def prepare(
        self,
        voxels: Voxels,
        semantics: Semantics,
        points: Points,
        fragments: Fragments,
        particles: Particles,
        kinematics: Kinematics,
        event: int,
    ) -> Candidates:
        """One event of the batch."""
        detector = self.context.detector
        scene = Scene.of(detector, voxels, semantics, points, event)
        clusters = describe(scene, particles.voxel_particle[event])
        extra = particle_features(
            particles.at(event), fragments.at(event), kinematics.at(event), scene, clusters
        )
        placed = _placed(clusters, kinematics, detector, event, extra)
        return candidates(scene, placed, REACH)


def _placed(
    clusters: Clusters, kinematics: Kinematics, detector: Detector, event: int, extra: Array
) -> Clusters:
    """Ends and directions as the kinematics have them, which know more than a cluster alone."""

    def place(position: Array) -> Array:
        grid: Array = (position.astype(np.float64) - detector.lower) / detector.voxel_size - 0.5
        return grid

    direction = np.nan_to_num(kinematics.direction[event].astype(np.float64))
    shape = clusters.shape._replace(
        start=place(kinematics.start[event]),
        end=place(kinematics.end[event]),
        direction=direction,
    )
    nodes = np.concatenate([clusters.nodes, extra], axis=1)
    return Clusters(clusters.cluster, clusters.members, shape, nodes)


def particle_features(
    particles: Particles,
    fragments: Fragments,
    kinematics: Kinematics,
    scene: Scene,
    clusters: Clusters,
) -> Array:
    """(P, N_EXTRA) float32 of one event: kinematics, the energy of each hypothesis by its range
    against the deposited one, the profile of the deposit from start to end, the class."""
    calo = np.maximum(_finite(kinematics.energy_calo.values), 1e-3)
    length = np.maximum(_finite(kinematics.length.values), 0.0)
    csda = _finite(kinematics.energy_csda.values)
    mcs = _finite(kinematics.energy_mcs.values)
    straight = np.linalg.norm(kinematics.end.values - kinematics.start.values, axis=1)
    dedx = _finite(kinematics.start_dedx.values)
    n_fragments = np.bincount(particles.fragment_particle.values, minlength=len(calo))
    primary = np.zeros(len(calo))
    np.maximum.at(
        primary, particles.fragment_particle.values, particles.fragment_primary_score.values
    )
    columns = [
        np.log(calo) / 3,
        np.log1p(length) / 2,
        np.log1p(np.maximum(dedx, 0)),
        dedx > 0,
        straight / np.maximum(length, 0.3),
        np.log(calo / np.maximum(length, 0.3)),
        kinematics.contained.values,
        np.log1p(n_fragments),
        primary,
        np.log1p(np.maximum(mcs, 0)) / 3,
        mcs > 0,
    ]
    by_range = np.where(csda > 0, np.log(np.maximum(csda, 1e-3) / calo[:, None]), 0.0)
    kind = np.eye(N_SEMANTIC)[particles.semantic.values]
    profile = _profile(scene, clusters)
    blocks = [np.stack(columns, axis=1), np.clip(by_range, -3, 3), profile, kind]
    return np.concatenate(blocks, axis=1).astype(np.float32)


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


def _finite(values: Array) -> Array:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def decode(output: GraphOutput, found: Candidates, voxel_particle: Array) -> Interactions:
    """One event."""
    group = group_particles(output, found)
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


def group_particles(output: GraphOutput, found: Candidates) -> Array:
    """(P,) int32 interaction of each particle."""
    sizes = found.n_voxels[found.pairs]
    vote = log_odds(output.pairs.sigmoid().numpy(), sizes[:, 0], sizes[:, 1])
    return partition(len(found.n_voxels), found.pairs, vote)
