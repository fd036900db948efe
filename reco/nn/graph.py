"""A network over the clusters of an event: which of them belong together, and what each is.

Messages pass along candidate pairs in both directions, conditioned on how the two clusters lie to
each other, and change the state of pairs as well as that of clusters, as in arXiv:1806.01261.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from reco.nn.dense import Dense, TwoLayers, gathered


@dataclass(frozen=True)
class Graph:
    """One event, or several one after the other.

    nodes: (C, A) float32. ends: (2, M) int64, the clusters a and b of each pair.
    pairs: (M, B + 2 D) float32: B features that are the same from both sides, then D as seen from
    a, then D as seen from b.
    """

    nodes: Tensor
    ends: Tensor
    pairs: Tensor

    @staticmethod
    def join(graphs: "Sequence[Graph]") -> "Graph":
        """Events side by side (at least one), without a pair between them."""
        first = np.cumsum([0, *(len(g.nodes) for g in graphs)])
        return Graph(
            torch.cat([g.nodes for g in graphs]),
            torch.cat([g.ends + int(n) for g, n in zip(graphs, first, strict=False)], dim=1),
            torch.cat([g.pairs for g in graphs]),
        )

    def to(self, device: torch.device) -> "Graph":
        return Graph(self.nodes.to(device), self.ends.to(device), self.pairs.to(device))

    def directed(self, own: int) -> tuple[Tensor, Tensor]:
        """(2, 2 M) edges, all from a to b and then all back, and their features (2 M, B + 2 D);
        own: D."""
        common, a, b = torch.split(self.pairs, [self.pairs.shape[1] - 2 * own, own, own], dim=1)
        back = torch.cat([common, b, a], dim=1)
        edges = torch.cat([self.ends, self.ends.flip(0)], dim=1)
        return edges, torch.cat([self.pairs, back])


@dataclass(frozen=True)
class GraphOutput:
    """Logits. nodes: (C, K), see the stage. pairs: (M,), that both clusters belong together."""

    nodes: Tensor
    pairs: Tensor

    def cpu(self) -> "GraphOutput":
        return GraphOutput(self.nodes.cpu(), self.pairs.cpu())


class _Messages(nn.Module):
    """One round: pairs look at their two ends, then clusters at their pairs.

    What an edge takes from its ends is computed once per cluster and then copied: the same sum as
    a layer over all three, for a third of the work.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.source = Dense(width, width, bias=False)
        self.target = Dense(width, width, bias=False)
        self.pair = Dense(width, width)
        self.pair_norm, self.node_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.message = Dense(width, width)
        self.node = TwoLayers(3 * width, width, width)

    def forward(self, nodes: Tensor, edges: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        state = self.node_norm(nodes)
        ends = (self.source(state), edges[0]), (self.target(state), edges[1])
        message = self.message(self.pair(pairs, self.pair_norm, plus=ends, relu=True))
        seen = torch.cat([state, *gathered(message, edges[1], len(nodes))], dim=1)
        return self.node(seen, plus=((nodes, None),)), pairs + message


class GraphNet(nn.Module):
    """node_features, common, own: widths of the input. node_outputs: logits per cluster.

    The input is brought to zero mean and unit width by `standardise`, once, before training.
    """

    node_mean: Tensor
    node_width: Tensor
    pair_mean: Tensor
    pair_width: Tensor

    def __init__(
        self,
        node_features: int,
        common: int,
        own: int,
        node_outputs: int,
        width: int = 64,
        rounds: int = 3,
    ) -> None:
        super().__init__()
        self.own = own
        pair_features = common + 2 * own
        for name, size in (("node", node_features), ("pair", pair_features)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_width", torch.ones(size))
        self.node_in = TwoLayers(node_features, width, width)
        self.pair_in = TwoLayers(pair_features, width, width)
        self.rounds = nn.ModuleList(_Messages(width) for _ in range(rounds))
        self.node_out = nn.Sequential(nn.LayerNorm(width), TwoLayers(width, width, node_outputs))
        self.pair_out = nn.Sequential(nn.LayerNorm(width), TwoLayers(width, width, 1))

    def forward(self, graph: Graph) -> GraphOutput:
        edges, features = graph.directed(self.own)
        nodes = self.node_in(_scaled(graph.nodes, self.node_mean, self.node_width))
        pairs = self.pair_in(_scaled(features, self.pair_mean, self.pair_width))
        for messages in self.rounds:
            nodes, pairs = messages(nodes, edges, pairs)
        there, back = pairs.view(2, graph.ends.shape[1], pairs.shape[1])
        return GraphOutput(
            _output(self.node_out, nodes), _output(self.pair_out, there + back)[:, 0]
        )

    def standardise(self, graph: Graph) -> None:
        """Take mean and width of the input from these events."""
        for name, values in (("node", graph.nodes), ("pair", graph.directed(self.own)[1])):
            getattr(self, f"{name}_mean").copy_(values.mean(dim=0))
            getattr(self, f"{name}_width").copy_(values.std(dim=0).clamp_min(0.05))


LARGEST_INPUT = 8.0
"""Widths from the mean. Nothing a network never saw shall drive it far."""


def _scaled(values: Tensor, mean: Tensor, width: Tensor) -> Tensor:
    return (values - mean).div_(width).clamp_(-LARGEST_INPUT, LARGEST_INPUT)


def _output(out: nn.Sequential, state: Tensor) -> Tensor:
    """(N, W) -> (N, K): an output's norm and layers."""
    norm, layers = out
    result: Tensor = layers(state, norm)
    return result
