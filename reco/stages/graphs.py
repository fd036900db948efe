"""What the stages with a graph network share: an event's clusters as a graph."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from reco.data.products import Points, Semantics, Voxels
from reco.data.ragged import Array
from reco.detector import Detector
from reco.nn.graph import Graph
from reco.ops.cluster_features import (
    PointTable,
    Shapes,
    VoxelTable,
    node_features,
    pair_features,
    shapes,
    touch,
    towards_starts,
)
from reco.ops.graph import Contacts, Members, Sampled, contacts, touching
from reco.sparse.maps import submanifold_map
from reco.stages.learned import ModelOptions

N_NODE_FEATURES = 33
"""Without those of the backbone."""
N_LEADING = 32
"""Largest clusters of an event that others may come from, however far."""
N_FOREMOST = 20
"""Largest clusters of an event of which every pair is judged: where nothing speaks against two of
them, a crumb between both would join them."""


class GraphModel(ModelOptions):
    """width, rounds: of the network. features: of the backbone, per voxel."""

    width: int = 64
    rounds: int = 3
    features: int = 16


class Reach(NamedTuple):
    """Candidate pairs: near, the closest of each cluster. cells: neighbours that propose them.
    far: leading clusters that each is paired with."""

    near: int = 8
    cells: int = 16
    far: int = 4


@dataclass(frozen=True)
class Scene:
    """What the clusters of one event are seen by."""

    index: Array
    voxels: VoxelTable
    affinity: Array
    points: PointTable

    @staticmethod
    def of(
        detector: Detector, voxels: Voxels, semantics: Semantics, points: Points, event: int
    ) -> "Scene":
        place = (points.position[event] - detector.lower) / detector.voxel_size - 0.5
        index = voxels.index[event]
        return Scene(
            index,
            VoxelTable(
                index.astype(np.float64),
                voxels.energy[event].astype(np.float64),
                semantics.scores[event],
                torch.tensor(semantics.features[event]).float().numpy(),  # numpy takes 0.4 ms
            ),
            semantics.affinity[event],
            PointTable(place, points.type[event], points.score[event]),
        )


@dataclass(frozen=True)
class Candidates:
    """The clusters of one event and which of them may belong together.

    graph: for the network. pairs: (M, 2), a < b. n_voxels: (C,).
    """

    graph: Graph
    pairs: Array
    n_voxels: Array


@dataclass(frozen=True)
class Clusters:
    """The C clusters of a scene, described. cluster: (N,) of each voxel."""

    cluster: Array
    members: Members
    shape: Shapes
    nodes: Array


def describe(scene: Scene, cluster: Array) -> Clusters:
    """cluster: (N,) numbers 0..C-1, each of them present."""
    members = Members.of(cluster)
    points = touch(scene.voxels, members, scene.points)
    shape = shapes(scene.voxels, members, points.start)
    nodes = node_features(scene.voxels, members, shape, points)
    return Clusters(cluster, members, shape, nodes)


def candidates(scene: Scene, clusters: Clusters, reach: Reach) -> Candidates:
    """Pairs of described clusters, and all that the network is told of them."""
    batch = np.zeros((len(scene.index), 1), np.int32)
    table = submanifold_map(np.concatenate([batch, scene.index], axis=1)).table[:13]
    rows, affinity, _ = touching(table, clusters.cluster, scene.affinity)
    sampled = Sampled.of(scene.index, clusters.cluster)
    leading = _leading(clusters.shape)
    among = np.stack(np.triu_indices(len(leading[:N_FOREMOST]), 1), axis=1)
    far = np.concatenate([towards_starts(clusters.shape, leading, reach.far), leading[among]])
    pairs = contacts(sampled, reach.near, reach.cells, rows, far)
    links = _links(clusters, pairs, rows, affinity)
    score, _ = clusters.members.mean_and_max(scene.voxels.scores)
    features = pair_features(sampled, pairs, clusters.shape, score, links)
    graph = _graph(clusters.nodes, pairs, features)
    return Candidates(graph, np.stack([pairs.a, pairs.b], axis=1), clusters.shape.n)


def _leading(shape: Shapes) -> Array:
    order = np.lexsort((np.arange(len(shape.n)), -shape.energy))
    return order[:N_LEADING]


def _links(
    clusters: Clusters, pairs: Contacts, rows: Array, affinity: Array
) -> tuple[Array, Array]:
    """(M,) touching voxels of each pair, and their mean affinity."""
    n = len(clusters.shape.n)
    ends = np.sort(clusters.cluster[rows].astype(np.int64), axis=1)
    at = np.searchsorted(pairs.a * n + pairs.b, ends[:, 0] * n + ends[:, 1])
    known = np.minimum(at, max(len(pairs.a) - 1, 0))
    listed = np.zeros(len(rows), bool)
    if len(pairs.a):
        listed = (pairs.a[known] == ends[:, 0]) & (pairs.b[known] == ends[:, 1])
    count = np.bincount(known[listed], minlength=len(pairs.a))
    total = np.bincount(known[listed], affinity[listed], len(pairs.a))
    return count, total / np.maximum(count, 1)


def _graph(nodes: Array, pairs: Contacts, features: Array) -> Graph:
    ends = np.stack([pairs.a, pairs.b]).astype(np.int64)
    return Graph(torch.from_numpy(nodes), torch.from_numpy(ends), torch.from_numpy(features))
