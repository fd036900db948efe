"""What the trainings of both graph networks share: samples, batches, loss and figures."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reco.data.ragged import Array
from reco.metrics.clustering import ClusterScores, cluster_scores, overlaps
from reco.metrics.stats import mean
from reco.nn.graph import Graph, GraphNet
from reco.stages.graphs import Candidates, GraphStage, groups
from reco.train.loop import SampleTask

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

    @staticmethod
    def of(
        found: Candidates,
        truth: Array,
        group: Array,
        overlap: Overlap,
        *,
        flag: Array,
        kind: Array,
        weight: Array | float = 1.0,
    ) -> "Sample":
        """truth, group: (C,) true particle and true group of each cluster, -1 for none. weight:
        (C,) of its class in the loss, beside that by size."""
        return Sample(
            graph=compact(found.graph),
            n_voxels=found.n_voxels,
            linked=links(found, group),
            flag=flag,
            kind=kind.astype(np.int8),
            focus=((1 + np.log(found.n_voxels)) * weight).astype(np.float32),
            truth=truth.astype(np.int32),
            overlap=overlap,
        )


@dataclass(frozen=True)
class Batch:
    """Events side by side, see Sample."""

    graph: Graph
    n_voxels: Tensor
    linked: Tensor
    flag: Tensor
    kind: Tensor
    focus: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


def compact(graph: Graph) -> Graph:
    return Graph(graph.nodes.half(), graph.ends, graph.pairs.half())


def whole(graph: Graph) -> Graph:
    return Graph(graph.nodes.float(), graph.ends, graph.pairs.float())


def of_row(values: Array, rows: Array) -> Array:
    """values[rows], -1 where the row is -1."""
    return np.append(values, values.dtype.type(-1))[rows]


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
    balance = balance.to(logits.device)
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


class Judged(NamedTuple):
    """A validation event, and what the network says of it. linked: (M,) logit of each pair. group:
    (C,) of each cluster. flag: (C,) logit of yes. kind: (C,) likeliest class."""

    sample: Sample
    linked: Array
    group: Array
    flag: Array
    kind: Array


class GraphTask(SampleTask[Sample], ABC):
    """Of a graph network; stage: its network is trained.

    flag, kind: name and weight of both terms of the loss beside that of pairs. n_kinds: classes.
    """

    flag: ClassVar[tuple[str, float]]
    kind: ClassVar[tuple[str, float]]
    n_kinds: ClassVar[int]
    module: GraphNet

    def __init__(
        self, stage: GraphStage, samples: Sequence[Sample], held_out: Sequence[Sample]
    ) -> None:
        first = collate(samples[:STANDARDISED_ON]).graph
        if stage.weights_sha256 is None:
            stage.begin(first)
        stage.check(first)
        super().__init__(stage.module, samples, held_out)
        self.balance = balance_of(samples, self.n_kinds)

    def loss(self, events: Sequence[int], rng: np.random.Generator) -> dict[str, Tensor]:
        batch = augment(collate([self.samples[i] for i in events]), rng).to(self._device)
        output = self.module(batch.graph)
        (flag, of_flag), (kind, of_kind) = self.flag, self.kind
        return {
            "pair": pair_loss(output.pairs, batch),
            flag: of_flag * flag_loss(output.nodes[:, 0], batch),
            kind: of_kind * kind_loss(output.nodes[:, 1:], batch, self.balance),
        }

    def validate(self) -> dict[str, float]:
        judged = [self._judge(sample) for sample in self.held_out]
        return {**_of_groups(judged), **self.figures(judged)}

    @abstractmethod
    def figures(self, judged: Sequence[Judged]) -> dict[str, float]:
        """What is reported beside pairs and groups."""

    @property
    def _device(self) -> torch.device:
        return self.module.node_mean.device

    def _judge(self, sample: Sample) -> Judged:
        output = self.module(whole(sample.graph).to(self._device)).cpu()
        found = Candidates(sample.graph, sample.graph.ends.numpy().T, sample.n_voxels)
        return Judged(
            sample,
            output.pairs.numpy(),
            groups(output, found),
            output.nodes[:, 0].numpy(),
            output.nodes[:, 1:].argmax(dim=1).numpy(),
        )


def _of_groups(judged: Sequence[Judged]) -> dict[str, float]:
    """F1 of the pairs, and how well the groups agree with the true ones, a mean over events."""
    pairs = confusion(2, ((j.sample.linked, (j.linked > 0).astype(int)) for j in judged))
    scores = [j.sample.overlap.scores(j.group) for j in judged]
    means = {
        name: mean(np.array([getattr(score, name) for score in scores]))
        for name in ("ari", "purity", "efficiency")
    }
    f1 = 2 * pairs[1, 1] / max(pairs[1].sum() + pairs[:, 1].sum(), 1)
    return {"pair_f1": float(f1), **means}


def confusion(n: int, events: Iterable[tuple[Array, Array]]) -> Array:
    """(n, n) counts, truth by prediction, of both in each event; a truth of -1 does not count."""
    counts = np.zeros((n, n), np.int64)
    for truth, said in events:
        known = truth >= 0
        np.add.at(counts, (truth[known], said[known]), 1)
    return counts


def accuracy(confusion: Array) -> float:
    """Part of all that is right."""
    return float(np.trace(confusion) / max(confusion.sum(), 1))


def recall_mean(confusion: Array) -> float:
    """Mean over the classes that occur of the part found; NaN for none."""
    total = confusion.sum(axis=1)
    seen = total > 0
    return float((np.diag(confusion)[seen] / total[seen]).mean()) if seen.any() else float("nan")
