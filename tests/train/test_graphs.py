from dataclasses import replace

import numpy as np
import pytest
import torch

from reco.data.bundle import Bundle
from reco.data.products import Semantics
from reco.errors import ConfigError
from reco.nn.graph import Graph
from reco.stages.interactions import MakeInteractions
from reco.stages.particles import MakeParticles
from reco.train import interactions, particles
from reco.train.graphs import Overlap, augment, balance_of, collate, pair_loss, recall_mean
from reco.train.particles import starts, starts_found
from tests.stages.graph_events import CONTEXT, broken_lines, tiny
from tests.stages.test_interactions import complete


def events(n, seed=0):
    rng = np.random.default_rng(seed)
    return [broken_lines(rng, 4) for _ in range(n)]


def particles_task(events):
    torch.manual_seed(0)
    stage = MakeParticles(MakeParticles.Options(), CONTEXT)
    samples = [particles.sample_of(stage, event) for event in events]
    return particles.ParticlesTask(stage, samples, samples)


def interactions_task(events):
    torch.manual_seed(0)
    stage = MakeInteractions(MakeInteractions.Options(), CONTEXT)
    samples = [interactions.sample_of(stage, complete(event)) for event in events]
    return interactions.InteractionsTask(stage, samples, samples)


def test_a_network_is_as_wide_as_the_backbone_before_it():
    """A fresh one becomes so; one from weights cannot."""
    event = broken_lines(np.random.default_rng(0))
    semantics = event[Semantics]
    features = semantics.features.like(np.tile(semantics.features.values, 2))
    wide = replace(semantics, features=features)
    event = Bundle(tuple(wide if p is semantics else p for p in event))
    for make_task in (particles_task, interactions_task):
        task = make_task([event])
        with torch.inference_mode():
            assert np.isfinite(task.validate()["ari"])
    stage = MakeParticles(MakeParticles.Options(weights="particles"), CONTEXT)
    samples = [particles.sample_of(stage, event)]
    with pytest.raises(ConfigError, match="want 24 features of a voxel, and segment gives 32"):
        particles.ParticlesTask(stage, samples, samples)


@pytest.mark.parametrize("make_task", [particles_task, interactions_task])
def test_sixty_steps_learn_five_events(make_task):
    task = make_task(events(5))
    optimizer = torch.optim.AdamW(task.module.parameters(), lr=3e-3)
    losses = []
    for step in range(60):
        task.module.train()
        total = torch.stack(list(task.loss(range(5), np.random.default_rng(step)).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.4 * losses[0]
    with torch.inference_mode():
        figures = task.validate()
    assert figures["pair_f1"] > 0.9
    assert figures["ari"] > 0.9


@pytest.mark.parametrize("make_task", [particles_task, interactions_task])
def test_events_without_anything_can_be_learnt_from(make_task):
    task = make_task([tiny(0), tiny(1), tiny(2)])
    for chosen in ([0], [1], [0, 1, 2]):
        terms = task.loss(chosen, np.random.default_rng(0))
        assert all(torch.isfinite(t) for t in terms.values())
        torch.stack(list(terms.values())).sum().backward()
    with torch.inference_mode():
        assert set(task.validate()) >= {"pair_f1", "ari"}


def test_majority_and_scores_are_those_of_the_voxels():
    cluster = np.array([0, 0, 0, 1, 1, 2, 3])
    truth = np.array([5, 5, 2, 2, 2, -1, 5])
    overlap = Overlap.of(cluster, truth)
    np.testing.assert_array_equal(overlap.majority(4), [5, 2, -1, 5])
    assert overlap.scores(np.array([0, 1, 2, 0])).purity == pytest.approx((3 / 4 + 1) / 2)


def test_the_fragment_nearest_to_the_start_starts_the_shower():
    place = np.array([[0.0, 0, 0], [1, 0, 0], [5, 0, 0], [9, 0, 0], [20, 0, 0]])
    fragment = np.array([0, 0, 1, 2, 3])
    truth, kind = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1])
    flag = starts(place, fragment, truth, kind, np.array([[4.0, 0, 0], [20, 0, 0]]))
    np.testing.assert_array_equal(flag, [0, 1, 0, -1])
    assert starts_found(np.array([0.1, 0.9, 0.2, 1.0]), flag, truth) == [True]
    assert starts_found(np.array([0.9, 0.1, 0.2, 1.0]), flag, truth) == [False]


def test_what_is_left_out_takes_its_pairs_along():
    task = particles_task(events(3))
    batch = collate(task.samples)
    part = augment(batch, np.random.default_rng(0))
    n = len(part.n_voxels)
    assert n < len(batch.n_voxels)
    assert part.graph.ends.max() < n
    assert part.graph.ends.shape[1] == len(part.linked) == len(part.graph.pairs)
    assert len(part.graph.nodes) == len(part.flag) == len(part.kind) == len(part.focus) == n


def test_unknown_pairs_do_not_count():
    task = particles_task(events(1))
    batch = collate(task.samples)
    logits = torch.zeros(len(batch.linked))
    before = pair_loss(logits, batch)
    batch.linked[:] = -1
    assert before == pytest.approx(np.log(2), rel=1e-5)
    assert pair_loss(logits, batch) == 0


def test_rare_classes_weigh_more_and_the_mean_weight_is_one():
    samples = particles_task(events(6)).samples
    weight = balance_of(samples, 5)
    kind = np.concatenate([s.kind for s in samples])
    focus = np.concatenate([s.focus for s in samples])
    count = np.bincount(kind, focus, 5)
    assert (count * weight.numpy()).sum() == pytest.approx(count.sum(), rel=1e-5)
    rare, common = np.argmin(count[:2]), np.argmax(count[:2])
    assert weight[rare] > weight[common]


def test_recall_mean():
    assert recall_mean(np.array([[8, 2], [5, 5]])) == pytest.approx(0.65)
    assert np.isnan(recall_mean(np.zeros((2, 2), int)))


def test_stored_graphs_lose_little():
    graph = particles_task(events(1)).samples[0].graph
    assert isinstance(graph, Graph)
    assert graph.nodes.dtype == torch.float16
    assert torch.isfinite(graph.nodes).all()
    assert torch.isfinite(graph.pairs).all()
