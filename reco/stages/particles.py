"""Fragments -> particles: a graph network scores pairs, and the scores are partitioned."""

import numpy as np

from reco.data.bundle import Bundle
from reco.data.classes import N_SEMANTIC
from reco.data.products import Fragments, Particles, Points, Semantics, Voxels
from reco.data.ragged import Array, Ragged
from reco.nn.graph import GraphOutput
from reco.ops.graph import Members
from reco.stages.graphs import Candidates, GraphStage, Reach, Scene, candidates, describe, groups

REACH = Reach(near=8, cells=16, far=4)


class MakeParticles(GraphStage):
    """Outputs of the network per fragment: that a shower starts with it, and the class of its
    particle (5)."""

    name = "particles"
    n_outputs = 1 + N_SEMANTIC

    def __call__(
        self, voxels: Voxels, semantics: Semantics, points: Points, fragments: Fragments
    ) -> Particles:
        events = [
            decode(output, found, event[Fragments].voxel_fragment.values)
            for event, found, output in self.answers(voxels, semantics, points, fragments)
        ]
        return Particles.concat(events)

    def prepare(self, event: Bundle) -> Candidates:
        scene = Scene.of(self.context.detector, event)
        return candidates(scene, describe(scene, event[Fragments].voxel_fragment.values), REACH)


def decode(output: GraphOutput, found: Candidates, voxel_fragment: Array) -> Particles:
    """One event: partition the fragments; the class of a particle is voted by its fragments."""
    group = groups(output, found)
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


def _class_of(score: Array, group: Array, n_voxels: Array) -> Array:
    """(P,) int8: the mean of the scores (C, 5), larger fragments counting more."""
    total = Members.of(group).sum(score * np.sqrt(n_voxels)[:, None])
    return total.argmax(axis=1).astype(np.int8)
