"""What the stages with a graph network share: an event's clusters as a graph, and its groups."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from reco.data.bundle import Bundle
from reco.data.product import Product
from reco.data.products import Points, Semantics, Voxels
from reco.data.ragged import Array
from reco.detector import Detector
from reco.errors import ConfigError
from reco.nn.graph import Graph, GraphNet, GraphOutput
from reco.ops.cluster_features import (
    N_COMMON,
    N_OWN,
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
from reco.ops.partition import log_odds, partition
from reco.sparse.maps import submanifold_map
from reco.stages.learned import Depth, LearnedOptions, LearnedStage, ModelOptions, Width

N_NODE_FEATURES = 33
"""Without those of the backbone."""
N_LEADING = 32
"""Largest clusters of an event that others may come from, however far."""
N_FOREMOST = 20
"""Largest clusters of an event of which every pair is judged: where nothing speaks against two of
them, a crumb between both would join them."""


class GraphModel(ModelOptions):
    """width, rounds: of the network. features: of the backbone, per voxel."""

    width: Width = 64
    rounds: Depth = 3
    features: Width = 16


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
    def of(detector: Detector, event: Bundle) -> "Scene":
        """event: Voxels, Semantics and Points of one event."""
        voxels, semantics, points = event[Voxels], event[Semantics], event[Points]
        place = (points.position.values - detector.lower) / detector.voxel_size - 0.5
        index = voxels.index.values
        return Scene(
            index,
            VoxelTable(
                index.astype(np.float64),
                voxels.energy.values.astype(np.float64),
                semantics.scores.values,
                torch.tensor(semantics.features.values).float().numpy(),  # numpy takes 0.4 ms
            ),
            semantics.affinity.values,
            PointTable(place, points.type.values, points.score.values),
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


class GraphStage(LearnedStage):
    """Groups the clusters of an event by what a network says of their pairs.

    One event at a time, so that no answer depends on what else is in the batch. Subclasses define
    `prepare`. n_extra: features of a cluster beside N_NODE_FEATURES and those of the backbone.
    n_outputs: of the network per cluster.
    """

    Options = LearnedOptions
    Model = GraphModel
    model: GraphModel
    module: GraphNet
    n_extra: ClassVar[int] = 0
    n_outputs: ClassVar[int]

    def network(self, model: GraphModel) -> GraphNet:
        return GraphNet(
            N_NODE_FEATURES + 2 * model.features + self.n_extra,
            N_COMMON,
            N_OWN,
            self.n_outputs,
            width=model.width,
            rounds=model.rounds,
        )

    @abstractmethod
    def prepare(self, event: Bundle) -> Candidates:
        """event: the inputs of the stage, of one event."""

    def answers(self, *inputs: Product) -> Iterator[tuple[Bundle, Candidates, GraphOutput]]:
        """Each event, its clusters, and what the network says of them."""
        whole = Bundle(inputs)
        for event in map(whole.at, range(len(whole))):
            found = self.prepare(event)
            self.check(found.graph)
            with torch.inference_mode():
                output = self.module(found.graph.to(self.context.device)).cpu()
            yield event, found, output

    def begin(self, graph: Graph) -> None:
        """Of a fresh network: take the width and the scale of its input from these events."""
        if (features := self._features(graph)) != self.model.features:
            self.model = self.model.model_copy(update={"features": features})
            self.module = self.network(self.model).to(self.context.device)
        self.module.standardise(graph)

    def check(self, graph: Graph) -> None:
        """Raises ConfigError where the network was trained behind another backbone."""
        if (features := self._features(graph)) != self.model.features:
            raise ConfigError(
                f"{self.name}: its weights want {self.model.features} features of a voxel, and "
                f"segment gives {features}; take weights that were trained after each other"
            )

    def _features(self, graph: Graph) -> int:
        return (graph.nodes.shape[1] - N_NODE_FEATURES - self.n_extra) // 2


def groups(output: GraphOutput, found: Candidates) -> Array:
    """(C,) int32 group of each cluster, by the partition of what is said of the pairs."""
    sizes = found.n_voxels[found.pairs]
    vote = log_odds(output.pairs.sigmoid().numpy(), sizes[:, 0], sizes[:, 1])
    return partition(len(found.n_voxels), found.pairs, vote)


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
