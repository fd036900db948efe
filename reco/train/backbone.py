"""Training of the backbone: classes, points of interest and affinities, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree

from reco.data.bundle import Bundle
from reco.data.classes import N_SEMANTIC, Semantic
from reco.data.products import TruthParticles, VoxelLabels, Voxels
from reco.data.ragged import Array
from reco.detector import Detector
from reco.metrics.truth_points import truth_points
from reco.nn.backbone import Backbone, BackboneInput, BackboneOutput, voxel_features
from reco.ops.dead import nearness
from reco.ops.symmetry import IDENTITY, Symmetry, random_symmetry
from reco.sparse import build_pyramid
from reco.sparse.tensor import lexicographic_order
from reco.stages.segment import Segment
from reco.train.blind import PART, random_blind
from reco.train.loop import SampleTask

NEEDS = (Voxels, VoxelLabels, TruthParticles)
"""Products of an event that the backbone learns from."""

POINT_RADIUS = 3.0
"""A voxel proposes a point of interest that lies within so many voxels of it."""

CLASS_WEIGHTS = (0.6, 0.4, 2.0, 2.0, 1.5)
"""Rare classes count more: the target is the mean F1 over classes."""

ENERGY_JITTER = 0.05
"""Relative spread of the energy scale between events."""


@dataclass(frozen=True)
class Sample:
    """One event as the backbone learns it.

    index: (N, 3) int16. energy: (N,) float32 MeV. near_dead: (N,) float32, as the network is
    told. semantic: (N,) int8, -1 unlabelled. fragment: (N,) int32. points: (M, 3) float32 in
    voxels. types: (M,) int8.
    """

    index: Array
    energy: Array
    near_dead: Array
    semantic: Array
    fragment: Array
    points: Array
    types: Array


@dataclass(frozen=True)
class Targets:
    """semantic: (N,) int64, -1 none. near: (N,) bool. offset: (N, 3) float32 voxels.
    type: (N,) int64. linked, paired: (N, 13) bool; paired where both voxels are labelled."""

    semantic: torch.Tensor
    near: torch.Tensor
    offset: torch.Tensor
    type: torch.Tensor
    linked: torch.Tensor
    paired: torch.Tensor


def sample_of(event: Bundle, detector: Detector) -> Sample:
    """One event with truth, reduced to what is learnt."""
    voxels, labels, particles = event[Voxels], event[VoxelLabels], event[TruthParticles]
    truth = truth_points(
        voxels.position.values,
        labels.particle.values,
        particles.semantic.values,
        particles.start.values,
        particles.end.values,
    )
    points = (truth.position - detector.lower) / detector.voxel_size - 0.5
    return Sample(  # of copies: a view would keep the arrays of its whole file
        voxels.index.values.astype(np.int16),
        voxels.energy.values.astype(np.float32),
        nearness(voxels.index.values, *detector.dead_boxes),
        labels.semantic.values.astype(np.int8),
        labels.fragment.values.astype(np.int32),
        points.astype(np.float32),
        truth.type.astype(np.int8),
    )


def blinded(sample: Sample, rng: np.random.Generator) -> Sample:
    """The event as it would be seen with dead readout; as it is, where hardly a voxel is left."""
    blind = random_blind(sample.index, rng)
    seen = ~blind.covers(sample.index)
    if seen.sum() < 2:
        return sample
    near = nearness(sample.index[seen], *blind.boxes())
    return replace(
        sample,
        index=sample.index[seen],
        energy=sample.energy[seen],
        near_dead=np.maximum(near, sample.near_dead[seen]),
        semantic=sample.semantic[seen],
        fragment=sample.fragment[seen],
    )


def collate(
    samples: Sequence[Sample], symmetries: Sequence[Symmetry], scales: Sequence[float], levels: int
) -> tuple[BackboneInput, Targets]:
    """Transform events and join them into one batch."""
    rows = [_transformed(i, *args) for i, args in enumerate(zip(samples, symmetries, strict=True))]
    coordinates = np.concatenate([row[0] for row in rows])
    energy = np.concatenate(
        [s.energy[r[1]] * k for s, r, k in zip(samples, rows, scales, strict=True)]
    )
    near_dead, semantic, fragment = (
        np.concatenate([getattr(s, name)[r[1]] for s, r in zip(samples, rows, strict=True)])
        for name in ("near_dead", "semantic", "fragment")
    )
    distance, offset, kind = (np.concatenate([r[2][i] for r in rows]) for i in range(3))
    pyramid = build_pyramid(coordinates, levels)
    linked, paired = link_targets(pyramid.same[0].table[:13], fragment, semantic)
    tensor = torch.from_numpy
    features = voxel_features(tensor(energy.astype(np.float32)), tensor(near_dead))
    batch = BackboneInput(features, pyramid)
    targets = Targets(
        tensor(semantic.astype(np.int64)),
        tensor(distance < POINT_RADIUS),
        tensor(offset.astype(np.float32)),
        tensor(kind.astype(np.int64)),
        tensor(linked),
        tensor(paired),
    )
    return batch, targets


def _transformed(
    number: int, sample: Sample, symmetry: Symmetry
) -> tuple[Array, Array, tuple[Array, Array, Array]]:
    index = symmetry.index(sample.index.astype(np.int32))
    batch = np.full((len(index), 1), number, np.int32)
    coordinates = np.concatenate([batch, index], axis=1)
    order = lexicographic_order(coordinates)
    nearest = nearest_points(index[order], symmetry.points(sample.points), sample.types)
    return np.ascontiguousarray(coordinates[order]), order, nearest


def nearest_points(index: Array, points: Array, types: Array) -> tuple[Array, Array, Array]:
    """Distance (N,), offset (N, 3) and type (N,) of the point nearest to each voxel."""
    if len(points) == 0 or len(index) == 0:
        n = len(index)
        return np.full(n, np.inf), np.zeros((n, 3)), np.zeros(n, np.int8)
    distance, nearest = cKDTree(points).query(index)
    return distance, points[nearest] - index, types[nearest]


def link_targets(table: Array, fragment: Array, semantic: Array) -> tuple[Array, Array]:
    """(13, N) neighbours and labels -> linked, paired, each (N, 13) bool."""
    if table.shape[1] == 0:
        return np.zeros((0, 13), bool), np.zeros((0, 13), bool)
    exists = (table >= 0) & (fragment >= 0) & (fragment[table] >= 0)
    linked = exists & (fragment[table] == fragment) & (semantic[table] == semantic)
    return np.ascontiguousarray(linked.T), np.ascontiguousarray(exists.T)


def losses(output: BackboneOutput, targets: Targets) -> dict[str, torch.Tensor]:
    """The terms of the loss, each of order one at the start."""
    near = targets.near
    score = F.binary_cross_entropy_with_logits(
        output.point_score, near.float(), pos_weight=output.point_score.new_tensor(2.0)
    )
    return {
        "semantic": _class_loss(output.semantic, targets.semantic),
        "overlap": lovasz(output.semantic, targets.semantic),
        "point_score": score,
        "point_offset": 0.3
        * _mean(
            F.smooth_l1_loss(output.point_offset[near], targets.offset[near], reduction="none")
        ),
        "point_type": 0.2
        * _mean(F.cross_entropy(output.point_type[near], targets.type[near], reduction="none")),
        "affinity": _link_loss(output.affinity, targets),
    }


def _class_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the labelled voxels; 0 where there are none."""
    weight = logits.new_tensor(CLASS_WEIGHTS)
    total = F.cross_entropy(logits, target, weight, ignore_index=-1, reduction="sum")
    return total / weight[target[target >= 0]].sum().clamp_min(1e-6)


def _mean(values: torch.Tensor) -> torch.Tensor:
    return values.sum() / max(values.numel(), 1)


def _link_loss(logits: torch.Tensor, targets: Targets) -> torch.Tensor:
    """Boundaries are rare and one false link merges two fragments: they count more."""
    linked = targets.linked.float()
    weight = targets.paired * (1.0 + 3.0 * (1.0 - linked))
    loss = F.binary_cross_entropy_with_logits(logits, linked, weight, reduction="sum")
    return loss / targets.paired.sum().clamp_min(1)


def lovasz(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Lovász softmax, the surrogate of the mean intersection over union (arXiv:1705.08790)."""
    known = target >= 0
    scores, target = logits[known].softmax(dim=1), target[known]
    terms = []
    for kind in range(scores.shape[1]):
        truth = (target == kind).to(scores.dtype)
        if not truth.any():
            continue
        errors, order = (truth - scores[:, kind]).abs().sort(descending=True)
        truth = truth[order]
        intersection = truth.sum() - truth.cumsum(0)
        union = truth.sum() + (1 - truth).cumsum(0)
        jaccard = 1 - intersection / union
        terms.append(errors @ torch.diff(jaccard, prepend=jaccard.new_zeros(1)))
    return torch.stack(terms).mean() if terms else logits.sum() * 0


class BackboneTask(SampleTask[Sample]):
    """See Task."""

    module: Backbone

    def loss(self, events: Sequence[int], rng: np.random.Generator) -> dict[str, torch.Tensor]:
        symmetries = [random_symmetry(rng) for _ in events]
        scales = list(np.exp(rng.normal(0, ENERGY_JITTER, len(events))))
        samples = [self.samples[i] for i in events]
        chosen = [blinded(s, rng) if rng.random() < PART else s for s in samples]
        batch, targets = self._batch(chosen, symmetries, scales)
        return losses(self.module(batch), targets)

    def _batch(
        self, samples: Sequence[Sample], symmetries: Sequence[Symmetry], scales: Sequence[float]
    ) -> tuple[BackboneInput, Targets]:
        batch, targets = collate(samples, symmetries, scales, self.module.levels)
        device = next(self.module.parameters()).device
        moved = {name: value.to(device) for name, value in vars(targets).items()}
        return BackboneInput(batch.features.to(device), batch.pyramid), Targets(**moved)

    def validate(self) -> dict[str, float]:
        confusion = np.zeros((N_SEMANTIC, N_SEMANTIC), np.int64)
        links = np.zeros((2, 2), np.int64)
        near = np.zeros((2, 2), np.int64)
        miss = []
        for first in range(0, len(self.held_out), 4):
            chosen = self.held_out[first : first + 4]
            n = len(chosen)
            batch, truth = self._batch(chosen, [IDENTITY] * n, [1.0] * n)
            output = self.module(batch)
            known = truth.semantic >= 0
            _count(confusion, truth.semantic[known], output.semantic[known].argmax(dim=1))
            _count(
                links, truth.linked[truth.paired].long(), (output.affinity > 0)[truth.paired].long()
            )
            _count(near, truth.near.long(), (output.point_score > 0).long())
            miss.append((output.point_offset - truth.offset)[truth.near].norm(dim=1))
        return {
            **_semantic_figures(confusion),
            "link_f1_cut": float(_f1(links)[0]),
            "point_f1": float(_f1(near)[1]),
            "point_miss_voxels": float(torch.cat(miss).median()),
        }


def _count(table: Array, truth: torch.Tensor, predicted: torch.Tensor) -> None:
    np.add.at(table, (truth.cpu().numpy(), predicted.cpu().numpy()), 1)


def _f1(confusion: Array) -> Array:
    hit = np.diag(confusion)
    return 2 * hit / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)


def _semantic_figures(confusion: Array) -> dict[str, float]:
    f1 = _f1(confusion)
    names = [Semantic(i).name.lower() for i in range(N_SEMANTIC)]
    return {
        "macro_f1": float(f1.mean()),
        **{f"f1_{n}": float(v) for n, v in zip(names, f1, strict=True)},
    }


def learnt(stage: Segment, event: Bundle) -> Sample | None:
    """See train.run.Recipe; the mean and variance of a single voxel say nothing to normalize by."""
    several = len(event[Voxels].energy.values) > 1
    return sample_of(event, stage.context.detector) if several else None


def task(stage: Segment, samples: Sequence[Sample], held_out: Sequence[Sample]) -> BackboneTask:
    """See train.run.Recipe."""
    return BackboneTask(stage.module, samples, held_out)
