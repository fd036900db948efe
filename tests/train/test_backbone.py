"""Targets and losses of the backbone against their definitions, written out."""

import dataclasses

import numpy as np
import pytest
import torch

from reco.nn.backbone import Backbone, BackboneOutput
from reco.ops.symmetry import IDENTITY, random_symmetry
from reco.train.backbone import (
    CLASS_WEIGHTS,
    POINT_RADIUS,
    BackboneTask,
    Sample,
    Targets,
    collate,
    link_targets,
    losses,
    lovasz,
    nearest_points,
)

OFFSETS = [(k // 9 - 1, k // 3 % 3 - 1, k % 3 - 1) for k in range(13)]


def sample(seed: int, steps: int = 150, points: int = 3) -> Sample:
    """A random walk with random labels; some voxels have none."""
    rng = np.random.default_rng(seed)
    index = np.unique(np.cumsum(rng.integers(-1, 2, (steps, 3)), axis=0) + 90, axis=0)
    n = len(index)
    return Sample(
        index=index.astype(np.int16),
        energy=rng.gamma(2, 0.4, n).astype(np.float32),
        near_dead=np.zeros(n, np.float32),
        semantic=rng.integers(-1, 5, n).astype(np.int8),
        fragment=rng.integers(-1, 4, n).astype(np.int32),
        points=(index[rng.integers(0, n, points)] + rng.normal(0, 0.5, (points, 3))).astype("f4"),
        types=rng.integers(0, 5, points).astype(np.int8),
    )


def small() -> Backbone:
    return Backbone(filters=8, levels=3, blocks=1, hidden=8)


def test_nearest_point_by_brute_force():
    rng = np.random.default_rng(1)
    index = rng.integers(0, 30, (50, 3))
    points, types = rng.uniform(0, 30, (9, 3)), rng.integers(0, 5, 9)
    distance, offset, kind = nearest_points(index, points, types)
    for i, voxel in enumerate(index):
        each = np.sqrt(((points - voxel) ** 2).sum(axis=1))
        best = int(each.argmin())
        assert distance[i] == pytest.approx(each[best])
        np.testing.assert_allclose(offset[i], points[best] - voxel)
        assert kind[i] == types[best]


def test_no_point_is_near_where_there_is_none():
    distance, offset, kind = nearest_points(np.zeros((2, 3), int), np.zeros((0, 3)), np.zeros(0))
    assert np.isinf(distance).all()
    assert offset.shape == (2, 3)
    assert len(kind) == 2
    assert len(nearest_points(np.zeros((0, 3), int), np.ones((1, 3)), np.ones(1))[0]) == 0


def test_targets_by_brute_force():
    """Of two events in a batch, each moved by a symmetry of its own."""
    rng = np.random.default_rng(2)
    samples, symmetries = [sample(1), sample(2)], [random_symmetry(rng), random_symmetry(rng)]
    batch, targets = collate(samples, symmetries, [1.0, 2.0], 3)
    rows = batch.pyramid.coordinates[0]
    assert len(rows) == sum(len(s.index) for s in samples)
    place = {tuple(r): i for i, r in enumerate(rows.tolist())}
    for number, (s, symmetry) in enumerate(zip(samples, symmetries, strict=True)):
        moved = symmetry.index(s.index.astype(int))
        points = symmetry.points(s.points)
        for old, voxel in enumerate(moved.tolist()):
            row = place[(number, *voxel)]
            assert targets.semantic[row] == s.semantic[old]
            energy = float(s.energy[old]) * (number + 1)
            assert float(batch.features[row, 0]) == pytest.approx(np.log(max(energy, 1e-3)), 1e-4)
            distance = np.linalg.norm(points - voxel, axis=1)
            assert bool(targets.near[row]) == bool(distance.min() < POINT_RADIUS)
            np.testing.assert_allclose(
                targets.offset[row], points[distance.argmin()] - voxel, atol=1e-4
            )
            assert targets.type[row] == s.types[distance.argmin()]
            for k, step in enumerate(OFFSETS):
                there = [i for i, v in enumerate(moved.tolist()) if v == [*np.add(voxel, step)]]
                both = bool(there) and s.fragment[old] >= 0 and s.fragment[there[0]] >= 0
                assert bool(targets.paired[row, k]) == both
                same = both and s.fragment[old] == s.fragment[there[0]]
                same = same and s.semantic[old] == s.semantic[there[0]]
                assert bool(targets.linked[row, k]) == same


def test_links_of_no_voxel():
    linked, paired = link_targets(np.zeros((13, 0), int), np.zeros(0), np.zeros(0))
    assert linked.shape == paired.shape == (0, 13)


def lovasz_by_definition(logits: np.ndarray, target: np.ndarray) -> float:
    """Mean over classes of sum_i m_i (J(first i) - J(first i - 1)), errors m in falling order,
    with J(S) the Jaccard loss when the voxels of S are wrong: arXiv:1705.08790, eq. 9."""
    logits, target = logits[target >= 0], target[target >= 0]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    terms = []
    for kind in np.unique(target):
        truth = target == kind
        errors = np.abs(truth - scores[:, kind])
        order = np.argsort(-errors)

        def jaccard_loss(wrong, truth=truth):
            predicted = truth.copy()
            predicted[wrong] = ~predicted[wrong]
            return 1 - (truth & predicted).sum() / (truth | predicted).sum()

        terms.append(
            sum(
                errors[order[i]] * (jaccard_loss(order[: i + 1]) - jaccard_loss(order[:i]))
                for i in range(len(order))
            )
        )
    return float(np.mean(terms))


@pytest.mark.parametrize("seed", range(4))
def test_lovasz_is_its_definition(seed):
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(0, 2, (60, 5)), rng.integers(-1, 3 + seed % 3, 60)
    got = float(lovasz(torch.from_numpy(logits), torch.from_numpy(target)))
    assert got == pytest.approx(lovasz_by_definition(logits, target), rel=1e-9)
    assert 0 <= got <= 1


def test_lovasz_at_its_bounds():
    target = torch.tensor([0, 1, 2, 1])
    right = 100.0 * torch.eye(5)[target]
    assert float(lovasz(right, target)) == pytest.approx(0, abs=1e-6)
    wrong = 100.0 * torch.eye(5)[(target + 1) % 3]
    assert float(lovasz(wrong, target)) == pytest.approx(1, abs=1e-6)
    assert float(lovasz(right, torch.full((4,), -1))) == 0


def output_of(n: int, seed: int = 0) -> BackboneOutput:
    g = torch.Generator().manual_seed(seed)
    rows = {"semantic": (n, 5), "features": (n, 8), "point_score": (n,), "point_offset": (n, 3)}
    rows |= {"point_type": (n, 5), "affinity": (n, 13)}
    return BackboneOutput(
        **{k: torch.randn(s, generator=g).requires_grad_() for k, s in rows.items()}
    )


def test_losses_by_hand():
    _, targets = collate([sample(3)], [IDENTITY], [1.0], 2)
    n = len(targets.semantic)
    output = output_of(n)
    got = losses(output, targets)
    o = {k: v.detach().double().numpy() for k, v in vars(output).items()}
    t = {k: v.numpy() for k, v in vars(targets).items()}

    def log_softmax(x):
        return x - np.log(np.exp(x).sum(axis=1, keepdims=True))

    def binary(x, y):
        return -(y * np.log(1 / (1 + np.exp(-x))) + (1 - y) * np.log(1 / (1 + np.exp(x))))

    rows = np.flatnonzero(t["semantic"] >= 0)
    kind = t["semantic"][rows]
    weight = np.array(CLASS_WEIGHTS)[kind]
    semantic = -(weight * log_softmax(o["semantic"])[rows, kind]).sum() / weight.sum()
    score = np.where(t["near"], 2.0, 1.0) * binary(o["point_score"], t["near"])
    near = np.flatnonzero(t["near"])
    away = np.abs(o["point_offset"] - t["offset"])[near]
    smooth = np.where(away < 1, away**2 / 2, away - 0.5)
    kinds = -log_softmax(o["point_type"])[near, t["type"][near]]
    links = np.where(t["linked"], 1.0, 4.0) * binary(o["affinity"], t["linked"])
    wanted = {
        "semantic": semantic,
        "overlap": lovasz_by_definition(o["semantic"], t["semantic"]),
        "point_score": score.mean(),
        "point_offset": 0.3 * smooth.mean(),
        "point_type": 0.2 * kinds.mean(),
        "affinity": links[t["paired"]].sum() / t["paired"].sum(),
    }
    assert {k: float(v.detach()) for k, v in got.items()} == pytest.approx(wanted, rel=1e-4)


def test_events_without_labels_or_points_have_a_loss_and_a_gradient():
    bare = sample(4, points=0)
    none = np.full(len(bare.semantic), -1)
    bare = dataclasses.replace(bare, semantic=none.astype(np.int8), fragment=none)
    _, targets = collate([bare], [IDENTITY], [1.0], 2)
    output = output_of(len(none))
    terms = losses(output, targets)
    torch.stack(list(terms.values())).sum().backward()
    assert all(
        float(terms[k].detach()) == 0 for k in ("semantic", "overlap", "point_offset", "affinity")
    )
    assert float(terms["point_score"].detach()) > 0
    assert all(v.grad is None or torch.isfinite(v.grad).all() for v in vars(output).values())


def test_figures_are_perfect_for_perfect_answers():
    """A network that answers with the targets themselves."""

    class Oracle(Backbone):
        def forward(self, batch):
            _, t = collate([held_out], [IDENTITY], [1.0], self.levels)
            n = len(t.semantic)
            return BackboneOutput(
                semantic=10 * torch.eye(5)[t.semantic.clamp_min(0)],
                features=torch.zeros(n, 8),
                point_score=10 * t.near.float() - 5,
                point_offset=t.offset,
                point_type=10 * torch.eye(5)[t.type],
                affinity=10 * t.linked.float() - 5,
            )

    held_out = sample(5, steps=400)
    figures = BackboneTask(Oracle(8, 3, 1, 8).eval(), [], [held_out]).validate()
    assert figures.pop("point_miss_voxels") == 0
    assert all(v == pytest.approx(1) for v in figures.values()), figures


def test_it_learns_an_event_by_heart():
    learnt = dataclasses.replace(sample(6), semantic=np.repeat([0, 1], 500)[: len(sample(6).index)])
    half = (np.arange(len(learnt.index)) > len(learnt.index) // 2).astype(np.int8)
    learnt = dataclasses.replace(learnt, semantic=half)
    task = BackboneTask(small(), [learnt], [learnt])
    optimizer = torch.optim.Adam(task.module.parameters(), 1e-2)
    totals = []
    for step in range(25):
        optimizer.zero_grad()
        total = torch.stack(list(task.loss([0], np.random.default_rng(step)).values())).sum()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.75 * totals[0]


def test_targets_have_a_row_per_voxel():
    batch, targets = collate([sample(7), sample(8)], [IDENTITY] * 2, [1.0] * 2, 2)
    sizes = {len(getattr(targets, f.name)) for f in dataclasses.fields(Targets)}
    assert sizes == {len(batch.features)}
