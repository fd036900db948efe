"""The transformer of interactions, against what must hold whatever it has learnt."""

from dataclasses import replace

import pytest
import torch

from reco.nn.transformer import (
    METHODS,
    TAIL_BINS,
    InteractionInput,
    InteractionTransformer,
    candidate_weights,
    covariance,
    estimate_energy,
    surroundings,
    tail,
    vertex_at,
)

SCALARS, POINT_SCALARS = 5, 4


def interactions(n: int = 3, t: int = 4, m: int = 2) -> InteractionInput:
    """Random interactions, all of them full."""
    direction = torch.randn(n, t, 3)
    return InteractionInput(
        scalars=torch.randn(n, t, SCALARS),
        particle_mask=torch.ones(n, t, dtype=torch.bool),
        start=3 * torch.randn(n, t, 3),
        end=20 * torch.randn(n, t, 3),
        direction=direction / direction.norm(dim=2, keepdim=True),
        methods=torch.rand(n, t, len(METHODS)) + 4,
        known=torch.ones(n, t, len(METHODS), dtype=torch.bool),
        preferred=torch.randint(len(METHODS), (n, t)),
        primary=torch.rand(n, t),
        contained=torch.rand(n, t) > 0.5,
        point_scalars=torch.randn(n, m, POINT_SCALARS),
        point_mask=torch.ones(n, m, dtype=torch.bool),
        point=3 * torch.randn(n, m, 3),
        point_score=torch.rand(n, m),
    )


def padded(batch: InteractionInput, particles: int, points: int) -> InteractionInput:
    """The same with rows of nonsense that the masks leave out (where nothing is known)."""

    def longer(name: str, values: torch.Tensor) -> torch.Tensor:
        extra = points if name.startswith("point") else particles
        filling = torch.zeros(len(values), extra, *values.shape[2:], dtype=values.dtype)
        if values.is_floating_point():
            filling += 7.0
        return torch.cat([values, filling], dim=1)

    return InteractionInput(**{name: longer(name, v) for name, v in vars(batch).items()})


def rearranged(batch: InteractionInput, order: torch.Tensor) -> InteractionInput:
    columns = vars(batch).items()
    return InteractionInput(**{n: v if n.startswith("point") else v[:, order] for n, v in columns})


@pytest.fixture
def network() -> InteractionTransformer:
    """Not trained, but loud: every head says something."""
    module = InteractionTransformer(SCALARS, POINT_SCALARS, width=16, layers=2, heads=2)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.eval()


def test_padding_changes_nothing(network):
    batch = interactions()
    with torch.no_grad():
        plain, wide = network(batch), network(padded(batch, 5, 3))
    torch.testing.assert_close(wide.vertex, plain.vertex, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wide.vertex_cov, plain.vertex_cov, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wide.energy[:, :4], plain.energy, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wide.total, plain.total, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wide.total_width, plain.total_width, rtol=1e-4, atol=1e-5)


def test_order_of_particles_does_not_matter(network):
    batch, order = interactions(), torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        plain, other = network(batch), network(rearranged(batch, order))
    torch.testing.assert_close(other.vertex, plain.vertex, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other.energy, plain.energy[:, order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other.total, plain.total, rtol=1e-4, atol=1e-4)


def test_covariance_is_one_for_any_weights(network):
    output = network(interactions(20))
    torch.testing.assert_close(output.vertex_cov, output.vertex_cov.mT)
    assert (torch.linalg.eigvalsh(output.vertex_cov) > 0).all()
    assert (output.energy_width > 0).all()
    assert (output.total_width > 0).all()


def test_gradients_are_numbers_for_one_particle_without_points(network):
    output = network(padded(interactions(2, 1, 0), 3, 2))
    terms = (output.vertex, output.vertex_cov, output.energy[:, :1], output.total_width)
    sum(term.sum() for term in (*terms, output.candidates[:, 0])).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_fresh_network_says_the_preferred_energy():
    batch = interactions()
    fresh = InteractionTransformer(SCALARS, POINT_SCALARS)
    preferred = batch.methods.gather(2, batch.preferred[..., None])[..., 0]
    assert ((fresh(batch).energy - preferred).abs() < 0.1).all()


def test_factors_scale_the_widths(network):
    batch = interactions()
    batch.known[:, :2, 1:] = False
    with torch.no_grad():
        before = network(batch)
        network.vertex_scale.fill_(2.0)
        network.energy_scale.copy_(torch.tensor([3.0, 4.0, 5.0, 6.0]))
        after = network(batch)
    torch.testing.assert_close(after.vertex_cov, 4 * before.vertex_cov)
    ratio = after.energy_width / before.energy_width
    torch.testing.assert_close(ratio, 3.0 + batch.contained + 2.0 * batch.known[..., 1])
    torch.testing.assert_close(after.vertex, before.vertex)


def test_tail_of_the_bin_of_a_width():
    factors = torch.arange(1.0, TAIL_BINS + 1)
    table = torch.stack([factors, 10 * factors])
    width = torch.tensor([[0.5, 1.0], [1.5, 99.0]])
    wanted = torch.tensor([[10.0, 10.0], [20.0, 10.0 * TAIL_BINS]])
    torch.testing.assert_close(tail(width, table), wanted)
    of_each = torch.stack([table, 2 * table])[torch.tensor([[0, 1]])]
    torch.testing.assert_close(tail(torch.ones(1, 2), of_each), torch.tensor([[10.0, 20.0]]))


def test_surroundings_of_a_vertex_of_two():
    """Two particles fly apart from one place, with a point of score one half on it."""
    batch = replace(
        interactions(1, 2, 1),
        start=torch.zeros(1, 2, 3),
        end=torch.tensor([[[50.0, 0, 0], [0, 50, 0]]]),
        direction=torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]),
        point=torch.zeros(1, 1, 3),
        point_score=torch.full((1, 1), 0.5),
    )
    found = surroundings(batch)[0].expm1()
    start, end, point = found[0], found[2], found[4]
    torch.testing.assert_close(start[:3], torch.tensor([1.0, 0.0, 0.5]))
    torch.testing.assert_close(end, torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(point[:3], torch.tensor([2.0, 0.0, 0.0]))
    assert start[6] == pytest.approx(1)
    assert point[6] == pytest.approx(2)


def test_photon_points_back_at_the_vertex():
    """It starts 20 cm from the start of a track, and flies away from it."""
    batch = replace(
        interactions(1, 2, 0),
        start=torch.tensor([[[0.0, 0, 0], [20, 0, 0]]]),
        end=torch.tensor([[[0.0, 30, 0], [40, 0, 0]]]),
        direction=torch.tensor([[[0.0, 1, 0], [1, 0, 0]]]),
    )
    pointing = surroundings(batch)[0, :, 6].expm1()
    assert pointing[0] == pytest.approx(1, abs=1e-3)
    assert pointing[2] == pytest.approx(0, abs=1e-3)


def test_vertex_is_the_mean_of_the_places_that_agree():
    batch = replace(
        interactions(1, 2, 1),
        start=torch.tensor([[[0.0, 0, 0], [0.4, 0, 0]]]),
        end=torch.tensor([[[30.0, 0, 0], [0, 30, 0]]]),
        point=torch.tensor([[[9.0, 0, 0]]]),
    )
    weights = torch.tensor([[0.3, 0.3, 0.1, 0.1, 0.2]]).log()
    found = vertex_at(weights, torch.zeros(1, 2), batch)
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.0, 0.0]]))


def test_shift_moves_along_the_particle():
    batch = interactions(1, 1, 0)
    weights = candidate_weights(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 0), batch)
    found = vertex_at(weights, torch.full((1, 1), -14.0), batch)
    torch.testing.assert_close(found, batch.start[:, 0] - 14 * batch.direction[:, 0])


def test_covariance_is_drawn_out_along_the_particle():
    batch = replace(interactions(1, 1, 0), direction=torch.tensor([[[0.0, 0, 1]]]))
    found = covariance(torch.zeros(1), torch.full((1, 1), 10.0), batch)[0]
    assert found[2, 2] > 10 * found[0, 0]
    torch.testing.assert_close(found[0, 0], found[1, 1])
    torch.testing.assert_close(found - found.diagonal().diag(), torch.zeros(3, 3))


def test_energy_lies_between_the_known_methods():
    batch = interactions(5, 6, 0)
    batch = replace(batch, known=batch.known & (torch.rand(batch.known.shape) > 0.5))
    known = batch.known.clone()
    known[..., 0] = True
    batch = replace(batch, known=known)
    found = estimate_energy(10 * torch.randn(5, 6, 6), torch.zeros(5, 6), batch)
    low = batch.methods.masked_fill(~known, torch.inf).amin(dim=2)
    high = batch.methods.masked_fill(~known, -torch.inf).amax(dim=2)
    assert (found >= low - 1e-5).all()
    assert (found <= high + 1e-5).all()
