"""What the trainings of both graph networks share: samples, batches, loss and figures."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reco.data.ragged import Array
from reco.metrics.clustering import ClusterScores, cluster_scores, overlaps
from reco.metrics.stats import mean
from reco.nn.graph import Graph, GraphOutput
from reco.stages.graphs import Candidates
from reco.stages.interactions import MakeInteractions
from reco.stages.particles import MakeParticles

NOISE = 0.05
"""Spread of what is added to the features, in units of their own width."""
DROP = 0.05
"""Part of the clusters left out of a training event."""
STANDARDISED_ON = 500
"""Events that say how wide the features are."""


@dataclass(frozen=True)
class Overlap:
    """Common voxels of clusters and true groups, K of them. cluster, truth, count: (K,) int32."""

    cluster: Array
    truth: Array
    count: Array

    @staticmethod
    def of(cluster: Array, truth: Array) -> "Overlap":
        """(N,) clusters and (N,) true groups of voxels; those with -1 are left out."""
        known = (cluster >= 0) & (truth >= 0)
        n = int(truth.max(initial=-1)) + 1
        table = overlaps(cluster[known], truth[known].astype(np.int64), n)
        return Overlap(*(column.astype(np.int32) for column in table))

    def majority(self, n: int) -> Array:
        """(n,) true group with most voxels of each cluster, -1 for none."""
        best = np.full(n, -1, np.int64)
        order = np.lexsort((-self.truth, self.count))
        best[self.cluster[order]] = self.truth[order]
        return best

    def scores(self, group: Array) -> ClusterScores:
        """Agreement when each cluster goes to its (C,) group."""
        truth = np.repeat(self.truth, self.count)
        return cluster_scores(truth, np.repeat(group[self.cluster], self.count))


@dataclass(frozen=True)
class Sample:
    """One event as a graph network learns it.

    graph: float16, to save memory. n_voxels: (C,). linked: (M,) int8, both of one true group, -1
    unknown. flag: (C,) int8, the yes-or-no of the stage. kind: (C,) int8, the class of the stage;
    -1 unknown in both. focus: (C,) float32, weight of a cluster in the loss. truth: (C,) int32,
    the true particle. overlap: with the true groups.
    """

    graph: Graph
    n_voxels: Array
    linked: Array
    flag: Array
    kind: Array
    focus: Array
    truth: Array
    overlap: Overlap


@dataclass(frozen=True)
class Batch:
    """Events side by side, see Sample."""

    graph: Graph
    n_voxels: Tensor
    linked: Tensor
    flag: Tensor
    kind: Tensor
    focus: Tensor


def compact(graph: Graph) -> Graph:
    return Graph(graph.nodes.half(), graph.ends, graph.pairs.half())


def whole(graph: Graph) -> Graph:
    return Graph(graph.nodes.float(), graph.ends, graph.pairs.float())


def links(found: Candidates, truth: Array) -> Array:
    """(M,) int8: both clusters of a pair are of one true group (C,); -1 where one has none."""
    a, b = truth[found.pairs].T
    return np.where((a >= 0) & (b >= 0), a == b, -1).astype(np.int8)


def collate(samples: Sequence[Sample]) -> Batch:
    def join(columns: list[Array]) -> Tensor:
        return torch.from_numpy(np.concatenate(columns))

    return Batch(
        Graph.join([whole(s.graph) for s in samples]),
        join([s.n_voxels for s in samples]),
        join([s.linked for s in samples]),
        join([s.flag for s in samples]),
        join([s.kind for s in samples]).long(),
        join([s.focus for s in samples]),
    )


def augment(batch: Batch, rng: np.random.Generator) -> Batch:
    """Noise on the features; some clusters left out, with their pairs."""
    kept = torch.from_numpy(rng.random(len(batch.n_voxels)) >= DROP)
    number = torch.cumsum(kept, 0) - 1
    stay = kept[batch.graph.ends].all(dim=0)
    graph = Graph(
        _noisy(batch.graph.nodes[kept], rng),
        number[batch.graph.ends[:, stay]],
        _noisy(batch.graph.pairs[stay], rng),
    )
    return Batch(
        graph,
        batch.n_voxels[kept],
        batch.linked[stay],
        batch.flag[kept],
        batch.kind[kept],
        batch.focus[kept],
    )


def _noisy(values: Tensor, rng: np.random.Generator) -> Tensor:
    if len(values) < 2:
        return values
    noise = torch.from_numpy(rng.standard_normal(tuple(values.shape), np.float32))
    return values + NOISE * values.std(dim=0) * noise


def pair_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy; a pair counts by the logarithm of its smaller cluster, as the wrong merging
    of large ones costs most voxels."""
    size = batch.n_voxels[batch.graph.ends].amin(dim=0)
    weight = (batch.linked >= 0) * (1 + torch.log(size))
    target = batch.linked.clamp_min(0).float()
    loss = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
    return loss / weight.sum().clamp_min(1)


def flag_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy; both answers weigh the same, so that the score is a probability."""
    weight = (batch.flag >= 0) * (1 + torch.log(batch.n_voxels))
    target = batch.flag.clamp_min(0).float()
    loss = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
    return loss / weight.sum().clamp_min(1)


def kind_loss(logits: Tensor, batch: Batch, balance: Tensor) -> Tensor:
    """balance: weight of each class."""
    loss = F.cross_entropy(logits, batch.kind, balance, reduction="none", ignore_index=-1)
    weight = (batch.kind >= 0) * batch.focus
    return (loss * weight).sum() / weight.sum().clamp_min(1)


def balance_of(samples: Sequence[Sample], n: int) -> Tensor:
    """(n,) weights of classes: the inverse root of how often they occur, 1 on average."""
    count = np.zeros(n)
    for sample in samples:
        known = sample.kind >= 0
        count += np.bincount(sample.kind[known], sample.focus[known], n)
    weight = 1 / np.sqrt(np.maximum(count, 1))
    weight *= max(count.sum(), 1) / max((weight * count).sum(), 1e-9)
    return torch.from_numpy(weight.astype(np.float32))


class GraphTask(ABC):
    """See Task. stage: its network is trained. samples, held_out: for training and validation."""

    kinds: ClassVar[int]
    """Classes of the stage."""

    def __init__(
        self,
        stage: MakeParticles | MakeInteractions,
        samples: Sequence[Sample],
        held_out: Sequence[Sample],
    ) -> None:
        self.module = stage.module
        self.samples, self.held_out = samples, held_out
        self.balance = balance_of(samples, self.kinds)
        if stage.weights_sha256 is None:
            self.module.standardise(collate(samples[:STANDARDISED_ON]).graph)

    def __len__(self) -> int:
        return len(self.samples)

    def loss(self, events: Sequence[int], rng: np.random.Generator) -> dict[str, Tensor]:
        batch = augment(collate([self.samples[i] for i in events]), rng)
        return self.terms(self.module(batch.graph), batch)

    @abstractmethod
    def terms(self, output: GraphOutput, batch: Batch) -> dict[str, Tensor]:
        """The terms of the loss, by name."""

    @abstractmethod
    def validate(self) -> dict[str, float]: ...

    def judged(self) -> Iterator[tuple[Sample, GraphOutput, Candidates]]:
        """Each validation event, what the network says of it, and the pairs it says it of."""
        for sample in self.held_out:
            found = Candidates(sample.graph, sample.graph.ends.numpy().T, sample.n_voxels)
            yield sample, self.module(whole(sample.graph)), found

    def finish(self) -> dict[str, float]:
        return {}


@dataclass
class Tally:
    """Counts over validation events. pairs: (2, 2) truth by prediction."""

    pairs: Array
    scores: list[ClusterScores]

    @staticmethod
    def empty() -> "Tally":
        return Tally(np.zeros((2, 2), np.int64), [])

    def add(self, sample: Sample, logits: Tensor, group: Array) -> None:
        known = sample.linked >= 0
        np.add.at(self.pairs, (sample.linked[known], (logits.numpy()[known] > 0).astype(int)), 1)
        self.scores.append(sample.overlap.scores(group))

    def figures(self) -> dict[str, float]:
        f1 = 2 * self.pairs[1, 1] / max(self.pairs[1].sum() + self.pairs[:, 1].sum(), 1)
        means = {
            name: mean(np.array([getattr(score, name) for score in self.scores]))
            for name in ("ari", "purity", "efficiency")
        }
        return {"pair_f1": float(f1), **means}


def recall_mean(confusion: Array) -> float:
    """Mean over the classes that occur of the part found; NaN for none."""
    total = confusion.sum(axis=1)
    seen = total > 0
    return float((np.diag(confusion)[seen] / total[seen]).mean()) if seen.any() else float("nan")
