"""Targets, losses and training of the transformer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from reco.data.bundle import Bundle
from reco.data.classes import PID, Semantic
from reco.data.products import Kinematics, TruthParticles
from reco.nn.transformer import tail
from reco.stages.base import Context
from reco.stages.estimates import Estimate
from reco.stages.interaction_input import event_input
from reco.stages.learned import LearnedOptions
from reco.train.estimate_figures import factor, tails
from reco.train.estimates import (
    BLIP,
    FREEDOM,
    SLIGHT,
    augment,
    by_size,
    collate,
    learnt,
    losses,
    partners,
    place_loss,
    sample_of,
    student,
    task,
    vertex_loss,
)

from ..stages.estimates_events import GENERIC, Line, event, star

CONTEXT = Context(GENERIC, torch.device("cpu"))


def small_stage() -> Estimate:
    return Estimate(LearnedOptions(), CONTEXT)


def turned_round(whole: Bundle) -> Bundle:
    """The same event, every particle found from its wrong end."""
    found = whole[Kinematics]
    back = found.direction.like(-found.direction.values)
    columns = {**vars(found), "start": found.end, "end": found.start, "direction": back}
    return Bundle(tuple(Kinematics(**columns) if p is found else p for p in whole))


def test_partners_share_more_than_half():
    found = np.array([0, 0, 1, 1, 1, 2, 3, -1])
    true = np.array([5, 5, 5, 5, 5, 2, -1, 0])
    assert partners(found, true, 6).tolist() == [-1, 5, 2, -1]
    assert partners(np.zeros(0, int), np.zeros(0, int), 0).tolist() == []


def test_targets_are_the_truth():
    lines = [
        Line((0, 0, 0), (30, 0, 0), energy=101.0),
        Line((0, 0, 0), (0, 8, 0), pid=PID.PROTON, energy=55.0),
        Line((50, 50, 50), (50, 50, 20), interaction=1, energy=80.0),
    ]
    sample = sample_of(event(lines), GENERIC)
    there = sample.input.particle_mask
    np.testing.assert_allclose(sample.targets.energy[there].exp(), [101, 55, 80], rtol=1e-5)
    np.testing.assert_allclose(sample.targets.total.exp(), [156, 80], rtol=1e-5)
    np.testing.assert_allclose(sample.targets.vertex, np.zeros((2, 3)), atol=1e-5)
    assert sample.targets.has_vertex.tolist() == [True, True]
    assert (sample.targets.weight[~there] == 0).all()


def test_of_a_vertex_outside_the_place_of_entry_is_learnt():
    lines = [Line((0, 130, 0), (0, 20, 0)), Line((0, 60, 0), (20, 60, 0), interaction=1)]
    outside = event(lines)
    entered = changed(outside, start=[[0, 115, 0], [0, 60, 0]])
    sample, made = sample_of(entered, GENERIC), event_input(entered, GENERIC)
    assert sample.targets.has_vertex.tolist() == [True, True]
    place = sample.targets.vertex.numpy() + made.origin
    np.testing.assert_allclose(place, [[0, 115, 0], [0, 60, 0]], atol=1e-4)


def changed(whole: Bundle, **columns: list[object]) -> Bundle:
    """The same event with other true particles."""
    truth = whole[TruthParticles]
    new = {name: getattr(truth, name).like(np.array(c)) for name, c in columns.items()}
    other = TruthParticles(**{**vars(truth), **new})
    return Bundle(tuple(other if p is truth else p for p in whole))


def test_weight_of_what_users_look_at():
    """A primary, a faint secondary, a bright one, a low-energy scatter, and one that is no kind."""
    lines = [Line((0, 5.0 * i, 0), (20.0 - i, 5.0 * i, 0)) for i in range(5)]
    whole = changed(
        event(lines),
        is_primary=[True, False, False, True, True],
        energy=[10.0, 10.0, 60.0, 60.0, 60.0],
        semantic=[Semantic.TRACK] * 3 + [Semantic.LOW_ENERGY, Semantic.TRACK],
        pid=[PID.MUON] * 4 + [-1],
    )
    weight = sample_of(whole, GENERIC).targets.weight[0]
    np.testing.assert_allclose(weight, [1, SLIGHT, 1, BLIP, 0], rtol=1e-6)


def test_interaction_without_a_visible_primary_is_no_target():
    whole = changed(event([Line((0, 0, 0), (20, 0, 0))]), is_primary=[False])
    targets = sample_of(whole, GENERIC).targets
    assert not targets.has_vertex.any()
    assert not targets.has_total.any()


def test_student_against_scipy():
    residual, width = torch.randn(50, dtype=torch.float64), torch.rand(50).double() + 0.1
    own = student(residual, width).numpy()
    wanted = -stats.t(FREEDOM, scale=width.numpy()).logpdf(residual.numpy())
    np.testing.assert_allclose(own - own[0], wanted - wanted[0], rtol=1e-9, atol=1e-9)


def test_vertex_loss_against_scipy():
    root = torch.randn(10, 3, 3).double()
    covariance = root @ root.mT + 0.1 * torch.eye(3)
    residual = torch.randn(10, 3).double()
    own = vertex_loss(residual, covariance).numpy()
    wanted = np.array(
        [
            -stats.multivariate_t(shape=c, df=FREEDOM).logpdf(r)
            for c, r in zip(covariance.numpy(), residual.numpy(), strict=True)
        ]
    )
    np.testing.assert_allclose(own - own[0], wanted - wanted[0], rtol=1e-4, atol=1e-4)


def test_place_loss_is_smallest_for_the_right_place():
    sample = sample_of(star(np.random.default_rng(0), 3), GENERIC)
    n = 2 * sample.input.particle_mask.shape[1] + sample.input.point_mask.shape[1]
    loss = [
        place_loss(
            torch.nn.functional.one_hot(torch.tensor([k]), n).float().mul(5).log_softmax(1),
            sample.input,
            sample.targets,
        )
        for k in range(n)
    ]
    at_vertex = [0, 1, 2, 6]
    assert max(loss[k] for k in at_vertex) < min(loss[k] for k in range(n) if k not in at_vertex)


def test_augmentation_turns_everything_alike():
    rng = np.random.default_rng(0)
    sample = collate([sample_of(star(rng, n), GENERIC) for n in (1, 2, 4)])
    moved = augment(sample, rng)
    before, after = sample.input, moved.input
    there = before.particle_mask
    lengths = ((s.end - s.start).norm(dim=2)[there] for s in (before, after))
    torch.testing.assert_close(*lengths, atol=0.5, rtol=0)
    way = (after.end - after.start) / (after.end - after.start).norm(dim=2, keepdim=True)
    assert ((way * after.direction).sum(dim=2)[there] > 0.99).all()
    distance = (after.start - moved.targets.vertex[:, None]).norm(dim=2)[there]
    assert (distance < 0.5).all()
    assert (after.start[~there] == 0).all()
    assert not torch.equal(after.end, before.end)


def test_augmentation_moves_calorimetry_and_no_other_method():
    sample = sample_of(star(np.random.default_rng(1), 3), GENERIC)
    moved = augment(sample, np.random.default_rng(2)).input
    change = moved.methods - sample.input.methods
    assert (change[..., 1:] == 0).all()
    torch.testing.assert_close(change[..., 0], moved.scalars[..., 0] - sample.input.scalars[..., 0])


def test_what_has_no_truth_teaches_nothing():
    sample = collate([sample_of(star(np.random.default_rng(3), 2), GENERIC)])
    targets = sample.targets
    silent = replace(
        targets,
        has_vertex=torch.zeros_like(targets.has_vertex),
        weight=torch.zeros_like(targets.weight),
        has_total=torch.zeros_like(targets.has_total),
    )
    module = small_stage().module
    terms = losses(module(sample.input), sample.input, silent)
    assert all((term.detach() == 0).all() for term in terms.values())


def test_parts_of_a_batch_are_the_batch():
    """Each interaction once, with all its particles, and the same loss as all at once."""
    rng = np.random.default_rng(4)
    sample = collate([sample_of(star(rng, n), GENERIC) for n in (1, 2, 12, 9, 40)])
    parts = by_size(sample)
    assert [part.input.particle_mask.shape for part in parts] == [(2, 2), (2, 12), (1, 40)]
    module = small_stage().module
    whole = losses(module(sample.input), sample.input, sample.targets)
    terms = [losses(module(part.input), part.input, part.targets) for part in parts]
    for name, wanted in whole.items():
        torch.testing.assert_close(sum(t[name] for t in terms), wanted, rtol=1e-4, atol=1e-4)


def test_events_without_interactions_are_left_out():
    stage = small_stage()
    assert learnt(stage, event([])) is None
    some = learnt(stage, star(np.random.default_rng(0), 2))
    made = task(stage, [some], [some])
    assert len(made) == 1
    assert np.isfinite(made.validate()["vertex_r68_cm"])


def test_learns_the_vertex_and_then_calibrates():
    """Tracks are found from their wrong ends; the point they share tells where the vertex is."""
    rng = np.random.default_rng(5)
    stage = small_stage()
    samples = [learnt(stage, turned_round(star(rng, 3))) for _ in range(48)]
    made = task(stage, samples[:32], samples[32:])
    optimizer = torch.optim.AdamW(made.module.parameters(), lr=3e-3)
    for _ in range(60):
        terms = made.loss(rng.choice(32, 16, replace=False), rng)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    made.module.eval()
    before = made.validate()
    assert before["vertex_r68_cm"] < 1.0 < before["vertex_r68_cm_start"]
    factors = made.finish()
    after = made.validate()
    with torch.inference_mode():
        found = made._found()
    true, energy, sigma, _ = found.energy[found.contained].T
    pulls = {"vertex": found.miss / found.vertex_sigma, "contained": (energy - true) / sigma}
    for name, pull in pulls.items():
        width = np.diff(np.quantile(pull, [0.1587, 0.8413]))[0] / 2
        assert width == pytest.approx(after[f"{name}_pull"], rel=0.01)
        assert width * np.quantile(np.abs(pull), 0.6827) == pytest.approx(1, rel=0.02)
    assert after["vertex_r68_cm"] == before["vertex_r68_cm"]
    assert factors["vertex_scale"] != pytest.approx(1, abs=0.01)


def test_the_factor_is_halfway_between_what_widths_and_coverage_want():
    rng = np.random.default_rng(7)
    sigma = np.full(200_000, 2.0)
    assert factor(rng.normal(0, 3, len(sigma)), sigma) == pytest.approx(1.5, rel=0.01)
    skew = stats.expon(loc=-np.log(2))  # its median is 0
    width = (skew.ppf(0.8413) - skew.ppf(0.1587)) / 2
    within = optimize.brentq(lambda x: skew.cdf(x) - skew.cdf(-x) - 0.6827, 0.1, 5)
    assert within != pytest.approx(width, rel=0.05)
    found = factor(skew.rvs(len(sigma), random_state=8), np.ones(len(sigma)))
    assert found == pytest.approx(np.sqrt(width * within), rel=0.01)
    assert factor(np.zeros(3), np.ones(3)) == 1  # too few


def test_tails_hold_95_percent_in_every_bin():
    """Errors that are the less normal the wider they are, of which a normal sigma says nothing."""
    rng = np.random.default_rng(6)
    width = rng.uniform(1, 2, 20_000)
    pull = np.where(width < 1.5, rng.normal(size=20_000), rng.standard_t(2, 20_000))
    factor = tail(torch.from_numpy(width), tails(pull[:, None], width)).numpy()
    assert np.mean(np.abs(pull) <= 1.96 * factor) == pytest.approx(0.95, abs=0.005)
    assert factor[width < 1.39] == pytest.approx(1, abs=0.06)
    assert factor[width > 1.7] == pytest.approx(stats.t(2).ppf(0.975) / 1.96, rel=0.1)
    assert (tails(pull[:9, None], width[:9]) == 1).all()
