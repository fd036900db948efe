"""A transformer over what an interaction is made of: its particles, and the points near them.

The vertex is one of the places that the stages before have proposed (starts and ends of particles,
points of interest), or rather the mean of those that agree with the best of them, moved along the
particle that starts there; its covariance is a ball, drawn out along the particles. Energies are
weighted geometric means of range, calorimetry and scattering, times a correction, with a width.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import nn

METHODS = ("calorimetry", "range μ", "range π", "range p", "range K", "scattering")
"""What an energy can be estimated by, in the order of InteractionInput.methods."""

GROUPS = ("exiting shower", "contained shower", "exiting track", "contained track")
"""Of particles, whose energies are measured by different means and so have errors of their own."""

CORE = 1.0
"""cm around the best place; the places within are the same vertex."""
REACHES = (0.6, 2.5)
"""cm at which the places around a place are counted."""
VERTEX_FLOOR, ENERGY_FLOOR = 0.02, 0.005
"""Smallest width of a vertex, cm, and of the logarithm of an energy."""
TAIL_BINS = 5
"""Of widths, each with as many events, in which the tails of the errors are measured."""

_AROUND = 3 * len(REACHES) + 1
_FRAME = 7
_PREFERENCE = 6.0
"""Logit by which the preferred method leads: the others begin with one part in a hundred."""
_FINE = 0.3
"""Corrections of energies are of per cents for what stops, and only a wide one needs large
activations; a step of the optimiser must not move the former by its own resolution."""


@dataclass(frozen=True)
class InteractionInput:
    """I interactions padded to T particles and M points.

    scalars: (I, T, S) and point_scalars: (I, M, G), what does not turn with the axes.
    particle_mask: (I, T), point_mask: (I, M) bool, True where there is one; every interaction has
    a particle. start, end: (I, T, 3) and point: (I, M, 3) cm from the origin of the interaction.
    direction: (I, T, 3). methods: (I, T, 6) log of MeV by each of METHODS where known: (I, T, 6)
    bool (calorimetry always is). preferred: (I, T) int64, the method to start from.
    primary: (I, T) score that a particle comes from the vertex, point_score: (I, M).
    contained: (I, T) bool.
    """

    scalars: torch.Tensor
    particle_mask: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor
    direction: torch.Tensor
    methods: torch.Tensor
    known: torch.Tensor
    preferred: torch.Tensor
    primary: torch.Tensor
    contained: torch.Tensor
    point_scalars: torch.Tensor
    point_mask: torch.Tensor
    point: torch.Tensor
    point_score: torch.Tensor

    def __len__(self) -> int:
        return len(self.particle_mask)

    @property
    def group(self) -> torch.Tensor:
        """(I, T) int64, row of GROUPS; a track is what has a range."""
        return 2 * self.known[..., 1:5].any(dim=-1).long() + self.contained.long()

    def to(self, device: torch.device) -> "InteractionInput":
        return InteractionInput(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass(frozen=True)
class InteractionOutput:
    """vertex: (I, 3) cm from the origin. vertex_cov: (I, 3, 3) cm2. candidates: (I, 2 T + M) log
    weights of starts, ends and points. energy: (I, T) log of MeV and energy_width: (I, T), the
    standard deviation of it. total, total_width: (I,) likewise for the interaction. energy_tail:
    (I, T), vertex_tail, total_tail: (I,), how many times 1.96 standard deviations hold 95 %."""

    vertex: torch.Tensor
    vertex_cov: torch.Tensor
    candidates: torch.Tensor
    energy: torch.Tensor
    energy_width: torch.Tensor
    total: torch.Tensor
    total_width: torch.Tensor
    vertex_tail: torch.Tensor
    energy_tail: torch.Tensor
    total_tail: torch.Tensor


@dataclass(frozen=True)
class _Heads:
    """What the network says of the particles, (I, T) each, `method` (I, T, 6); all about zero."""

    start: torch.Tensor
    end: torch.Tensor
    shift: torch.Tensor
    spread: torch.Tensor
    correction: torch.Tensor
    width: torch.Tensor
    primary: torch.Tensor
    method: torch.Tensor

    N = 7 + len(METHODS)

    @classmethod
    def of(cls, raw: torch.Tensor) -> "_Heads":
        columns = [*raw[..., :7].unbind(-1), raw[..., 7:]]
        return cls(*columns)


class InteractionTransformer(nn.Module):
    """scalars, point_scalars: S and G of the input. width, layers, heads: of the encoder (pre-norm,
    without dropout). What is known of a particle also goes straight to what is said of it: the
    norms of the encoder lose the last per cents of an energy.

    vertex_scale: (), energy_scale: (4,) by GROUPS, total_scale: (2,) for exiting and contained,
    factors on the widths; fitted after training on events that were not trained on, so that pulls
    have width 1. vertex_tail: (2, TAIL_BINS), energy_tail: (4, 2, TAIL_BINS), total_tail:
    (2, 2, TAIL_BINS), see `tail`; fitted then too, so that 95 % intervals hold 95 %: errors are not
    normal, a vertex is right or far away.
    """

    vertex_scale: torch.Tensor
    energy_scale: torch.Tensor
    total_scale: torch.Tensor
    vertex_tail: torch.Tensor
    energy_tail: torch.Tensor
    total_tail: torch.Tensor

    def __init__(
        self,
        scalars: int,
        point_scalars: int,
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
    ) -> None:
        super().__init__()
        of_particle = scalars + 2 * len(METHODS) + 2 * _FRAME + 3 + 2 * _AROUND
        self.embed_particle = _embedding(of_particle, width)
        self.embed_point = _embedding(point_scalars + _FRAME + _AROUND, width)
        self.summary = nn.Parameter(torch.zeros(width))
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            2 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), False)
        self.straight = _embedding(of_particle, width)
        self.of_particle = _silent(2 * width, _Heads.N)
        self.of_point = _silent(width, 1)
        self.of_interaction = _silent(width, 6)
        self.register_buffer("vertex_scale", torch.ones(()))
        self.register_buffer("energy_scale", torch.ones(len(GROUPS)))
        self.register_buffer("total_scale", torch.ones(2))
        self.register_buffer("vertex_tail", torch.ones(2, TAIL_BINS))
        self.register_buffer("energy_tail", torch.ones(len(GROUPS), 2, TAIL_BINS))
        self.register_buffer("total_tail", torch.ones(2, 2, TAIL_BINS))

    def forward(self, batch: InteractionInput) -> InteractionOutput:
        t = batch.particle_mask.shape[1]
        particle, point = features(batch)
        encoded = self._encode(particle, point, batch)
        seen = torch.cat([encoded[:, 1 : 1 + t], self.straight(particle)], dim=-1)
        heads = _Heads.of(self.of_particle(seen).float())
        point = self.of_point(encoded[:, 1 + t :]).float()[..., 0]
        whole = self.of_interaction(encoded[:, 0]).float()
        weights = candidate_weights(heads.start, heads.end, point, batch)
        energy = estimate_energy(heads.method, heads.correction, batch)
        width = _bounded(_width(heads.width - 2.0, ENERGY_FLOOR), 3.0)
        energy_width = width * self.energy_scale[batch.group]
        total, total_width = self._total(energy, width, heads.primary, whole[:, 4:], batch)
        spread = covariance(whole[:, 3], heads.spread, batch) * self.vertex_scale**2
        contained = _all_contained(batch)
        return InteractionOutput(
            vertex=vertex_at(weights, heads.shift, batch) + whole[:, :3],
            vertex_cov=spread,
            candidates=weights,
            energy=energy,
            energy_width=energy_width,
            total=total,
            total_width=total_width,
            vertex_tail=tail(vertex_width(spread), self.vertex_tail),
            energy_tail=tail(energy_width, self.energy_tail[batch.group]),
            total_tail=tail(total_width, self.total_tail[contained]),
        )

    def _encode(
        self, particle: torch.Tensor, point: torch.Tensor, batch: InteractionInput
    ) -> torch.Tensor:
        n = len(batch)
        tokens = torch.cat(
            [
                self.summary.expand(n, 1, -1),
                self.embed_particle(particle),
                self.embed_point(point),
            ],
            dim=1,
        )
        there = torch.cat(
            [batch.particle_mask.new_ones(n, 1), batch.particle_mask, batch.point_mask], dim=1
        )
        encoded: torch.Tensor = self.encoder(tokens, src_key_padding_mask=~there)
        return encoded

    def _total(
        self,
        energy: torch.Tensor,
        width: torch.Tensor,
        primary: torch.Tensor,
        whole: torch.Tensor,
        batch: InteractionInput,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum over the primaries, the widths added in quadrature; then a correction of both."""
        counted = torch.sigmoid(torch.logit(batch.primary, 1e-3) + primary)
        part = counted * energy.detach().exp() * batch.particle_mask
        total = part.sum(dim=1) + 0.1
        spread = (part * width.detach()).square().sum(dim=1).sqrt() / total
        contained = _all_contained(batch)
        total_width = _bounded(spread * _bounded(whole[:, 1], 3.0).exp(), 3.0) + ENERGY_FLOOR
        return (
            total.log() + _bounded(whole[:, 0], 3.0),
            total_width * self.total_scale[contained],
        )


def features(batch: InteractionInput) -> tuple[torch.Tensor, torch.Tensor]:
    """What is known of each particle, (I, T, A), and of each point, (I, M, B): the scalars, and
    places in cm and energies in log of MeV brought to order one."""
    t = batch.particle_mask.shape[1]
    around = surroundings(batch)
    particle = [
        batch.scalars,
        batch.methods / 3 * batch.known,
        batch.known.float(),
        _frame(batch.start),
        _frame(batch.end),
        batch.direction,
        around[:, :t],
        around[:, t : 2 * t],
    ]
    point = [batch.point_scalars, _frame(batch.point), around[:, 2 * t :]]
    return torch.cat(particle, dim=-1), torch.cat(point, dim=-1)


def places(batch: InteractionInput) -> torch.Tensor:
    """(I, 2 T + M, 3) cm, the places that the vertex may be at: starts, ends, points."""
    return torch.cat([batch.start, batch.end, batch.point], dim=1)


def place_mask(batch: InteractionInput) -> torch.Tensor:
    """(I, 2 T + M) bool, True where there is a place."""
    return torch.cat([batch.particle_mask, batch.particle_mask, batch.point_mask], dim=1)


def surroundings(batch: InteractionInput) -> torch.Tensor:
    """(I, 2 T + M, 7): for each place, how many starts, ends and points of others lie within each
    of REACHES, and how many particles point away from it; the logarithm of 1 + each."""
    place, there = places(batch), place_mask(batch)
    t, m = batch.start.shape[1], batch.point.shape[1]
    distance = torch.cdist(place, place, compute_mode="donot_use_mm_for_euclid_dist")
    number = torch.arange(t + m, device=place.device)
    owner = torch.cat([number[:t], number])
    weight = torch.cat([there[:, : 2 * t].float(), batch.point_score * batch.point_mask], dim=1)
    weight = weight[:, None] * (owner[:, None] != owner)
    counts = []
    for reach in REACHES:
        near = torch.exp(-0.5 * (distance / reach) ** 2) * weight
        counts += [part.sum(dim=2) for part in near.tensor_split((t, 2 * t), dim=2)]
    foreign = (owner[:, None] != owner[:t]) & batch.particle_mask[:, None]
    counts.append((_pointing(place, batch) * foreign).sum(dim=2))
    return torch.log1p(torch.stack(counts, dim=2))


def _pointing(place: torch.Tensor, batch: InteractionInput) -> torch.Tensor:
    """(I, C, T): does the particle fly away from the place, as a photon from the vertex?"""
    away = batch.start[:, None] - place[:, :, None]
    along = (away * batch.direction[:, None]).sum(dim=-1)
    across = (away - along[..., None] * batch.direction[:, None]).norm(dim=-1)
    return torch.exp(-((across / (0.6 + 0.1 * along.abs())) ** 2)) * (along > -CORE)


def candidate_weights(
    start: torch.Tensor, end: torch.Tensor, point: torch.Tensor, batch: InteractionInput
) -> torch.Tensor:
    """Logits of starts, ends (I, T) and points (I, M) -> (I, 2 T + M) log weights. Starts of
    primaries are likeliest from the outset."""
    start = start + (batch.primary + 0.05).log()
    logits = torch.cat([start, end - 3.0, point - 2.0], dim=1)
    return logits.masked_fill(~place_mask(batch), -math.inf).log_softmax(dim=1)


def vertex_at(weights: torch.Tensor, shift: torch.Tensor, batch: InteractionInput) -> torch.Tensor:
    """(I, 3) cm: the weighted mean of the places in the CORE of the best one.

    shift: (I, T) cm along its particle from a start to the vertex. The mean of all would lie
    between the ends of a track of which nobody knows where it starts: at neither.
    """
    place = places(batch)
    best = weights.argmax(dim=1)
    rows = torch.arange(len(place), device=place.device)
    near = (place - place[rows, best][:, None]).norm(dim=2) <= CORE
    share = weights.masked_fill(~near, -math.inf).softmax(dim=1)[..., None]
    moved = batch.start + shift[..., None] * batch.direction
    place = torch.cat([moved, place[:, batch.start.shape[1] :]], dim=1)
    return (share * place).sum(dim=1)


def covariance(radius: torch.Tensor, spread: torch.Tensor, batch: InteractionInput) -> torch.Tensor:
    """(I,) and (I, T) raw widths of the ball and along each particle -> (I, 3, 3) cm2."""
    ball = _width(radius - 1.5, VERTEX_FLOOR) ** 2
    along = _width(spread - 3.0, 0.0) ** 2 * batch.particle_mask
    drawn = torch.einsum("it,ita,itb->iab", along, batch.direction, batch.direction)
    return drawn + ball[:, None, None] * torch.eye(3, device=ball.device)


def estimate_energy(
    method: torch.Tensor, correction: torch.Tensor, batch: InteractionInput
) -> torch.Tensor:
    """(I, T, 6) logits of the methods and (I, T) corrections -> (I, T) log of MeV."""
    preferred = nn.functional.one_hot(batch.preferred, len(METHODS))
    usable = batch.known | ~batch.particle_mask[..., None]
    logits = (method + _PREFERENCE * preferred).masked_fill(~usable, -math.inf)
    share = logits.softmax(dim=-1)
    return (share * batch.methods).sum(dim=-1) + _bounded(_FINE * correction, 4.0)


def sigma(energy: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Log of MeV and its standard deviation -> MeV, half of the interval that holds 68 %."""
    return energy.exp() * torch.sinh(width)


def _all_contained(batch: InteractionInput) -> torch.Tensor:
    """(I,) int64, 1 where no particle leaves the detector."""
    return (batch.contained | ~batch.particle_mask).all(dim=1).long()


def vertex_width(covariance: torch.Tensor) -> torch.Tensor:
    """(I, 3, 3) cm2 -> (I,) cm, the mean over the axes."""
    return covariance.diagonal(dim1=1, dim2=2).mean(dim=1).sqrt()


def tail(width: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """(...) widths and (..., 2, TAIL_BINS) upper edges of their bins and the factor of each ->
    (...) the factor of the bin."""
    row = (width[..., None] > table[..., 0, :-1]).sum(dim=-1, keepdim=True)
    factors = table[..., 1, :].expand(*width.shape, -1)
    return factors.gather(-1, row)[..., 0]


def _frame(place: torch.Tensor) -> torch.Tensor:
    """(..., 3) cm from the origin -> (..., 7), fine near it and coarse far away."""
    distance = place.norm(dim=-1, keepdim=True)
    return torch.cat([place / 50, torch.tanh(place / 3), torch.log1p(distance) / 2], dim=-1)


def _embedding(features: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.GELU()
    )


def _silent(features: int, outputs: int) -> nn.Linear:
    """A layer that says zero until it has learnt better."""
    layer = nn.Linear(features, outputs)
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.bias)
    return layer


def _width(raw: torch.Tensor, floor: float) -> torch.Tensor:
    return nn.functional.softplus(raw) + floor


def _bounded(raw: torch.Tensor, limit: float) -> torch.Tensor:
    return limit * torch.tanh(raw / limit)
