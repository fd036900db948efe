"""Fragments -> particles: a graph network scores pairs, and the scores are partitioned."""

import numpy as np
import torch

from reco.data.classes import N_SEMANTIC
from reco.data.products import Fragments, Particles, Points, Semantics, Voxels
from reco.data.ragged import Array, Ragged
from reco.nn.graph import GraphNet, GraphOutput
from reco.ops.cluster_features import N_COMMON, N_OWN
from reco.ops.graph import Members
from reco.ops.partition import log_odds, partition
from reco.stages.graphs import (
    N_NODE_FEATURES,
    Candidates,
    GraphModel,
    Reach,
    Scene,
    candidates,
    describe,
)
from reco.stages.learned import LearnedOptions, LearnedStage

REACH = Reach(near=8, cells=16, far=4)


class MakeParticles(LearnedStage):
    """One event at a time, so that no answer depends on what else is in the batch.

    Outputs of the network per fragment: that a shower starts with it, and the class of its
    particle (5).
    """

    name = "particles"
    Options = LearnedOptions
    Model = GraphModel
    module: GraphNet

    def network(self, model: GraphModel) -> GraphNet:
        return GraphNet(
            N_NODE_FEATURES + 2 * model.features,
            N_COMMON,
            N_OWN,
            1 + N_SEMANTIC,
            width=model.width,
            rounds=model.rounds,
        )

    def __call__(
        self, voxels: Voxels, semantics: Semantics, points: Points, fragments: Fragments
    ) -> Particles:
        events = []
        for event in range(len(voxels)):
            found = self.prepare(voxels, semantics, points, fragments, event)
            with torch.inference_mode():
                output = self.module(found.graph.to(self.context.device)).cpu()
            events.append(decode(output, found, fragments.voxel_fragment[event]))
        return Particles.concat(events)

    def prepare(
        self,
        voxels: Voxels,
        semantics: Semantics,
        points: Points,
        fragments: Fragments,
        event: int,
    ) -> Candidates:
        """One event of the batch."""
        scene = Scene.of(self.context.detector, voxels, semantics, points, event)
        return candidates(scene, describe(scene, fragments.voxel_fragment[event]), REACH)


def decode(output: GraphOutput, found: Candidates, voxel_fragment: Array) -> Particles:
    """One event: partition the fragments; the class of a particle is voted by its fragments."""
    group = group_fragments(output, found)
    semantic = _class_of(output.nodes[:, 1:].softmax(dim=1).numpy(), group, found.n_voxels)
    n = len(semantic)
    particle = group[voxel_fragment]
    return Particles(
        voxel_particle=Ragged.one(particle),
        fragment_particle=Ragged.one(group),
        fragment_primary_score=Ragged.one(output.nodes[:, 0].sigmoid().numpy()),
        id=Ragged.one(np.arange(n)),
        semantic=Ragged.one(semantic),
        n_voxels=Ragged.one(np.bincount(particle, minlength=n)),
    )


def group_fragments(output: GraphOutput, found: Candidates) -> Array:
    """(C,) int32 particle of each fragment."""
    sizes = found.n_voxels[found.pairs]
    vote = log_odds(output.pairs.sigmoid().numpy(), sizes[:, 0], sizes[:, 1])
    return partition(len(found.n_voxels), found.pairs, vote)


def _class_of(score: Array, group: Array, n_voxels: Array) -> Array:
    """(P,) int8: the mean of the scores (C, 5), larger fragments counting more."""
    total = Members.of(group).sum(score * np.sqrt(n_voxels)[:, None])
    return total.argmax(axis=1).astype(np.int8)
