"""A transformer over what an interaction is made of: its particles, and the points near them.

The vertex is a weighted mean of places that the stages before have proposed (starts and ends of
particles, points of interest) plus a small correction, with a full covariance; energies are
corrections to the estimates of range and calorimetry, with a width each.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

PARTICLE, POINT, SUMMARY = 0, 1, 2

SIGMA_FLOOR = 1e-2
"""Smallest width of a vertex coordinate, cm, and of the logarithm of an energy."""


@dataclass(frozen=True)
class InteractionInput:
    """I interactions padded to T particles and M points.

    particles: (I, T, F). particle_mask: (I, T) bool, True where there is one.
    points: (I, M, G). point_mask: (I, M) bool. start, end: (I, T, 3) cm and point: (I, M, 3) cm,
    relative to the origin of the interaction. reference: (I, T) MeV, what the energy corrects.
    primary: (I, T), score that a particle comes from the vertex.
    """

    particles: torch.Tensor
    particle_mask: torch.Tensor
    points: torch.Tensor
    point_mask: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor
    point: torch.Tensor
    reference: torch.Tensor
    primary: torch.Tensor


@dataclass(frozen=True)
class InteractionOutput:
    """vertex: (I, 3) cm from the origin. vertex_root: (I, 3, 3) lower triangular L, covariance
    L L^T. candidates: (I, 2 T + M) log weights of starts, ends and points. energy: (I, T) MeV and
    energy_width: (I, T), the standard deviation of its logarithm. total, total_width: (I,)
    likewise for the interaction."""

    vertex: torch.Tensor
    vertex_root: torch.Tensor
    candidates: torch.Tensor
    energy: torch.Tensor
    energy_width: torch.Tensor
    total: torch.Tensor
    total_width: torch.Tensor


class InteractionTransformer(nn.Module):
    """particle_features, point_features: F and G of the input. width, layers, heads: of the
    encoder (pre-norm, without dropout)."""

    def __init__(
        self,
        particle_features: int,
        point_features: int,
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.embed_particle = _embedding(particle_features, width)
        self.embed_point = _embedding(point_features, width)
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
        self.of_particle = nn.Linear(width, 4)
        self.of_point = nn.Linear(width, 1)
        self.of_interaction = nn.Linear(width, 11)

    def forward(self, batch: InteractionInput) -> InteractionOutput:
        n, t = batch.particle_mask.shape
        tokens = torch.cat(
            [
                self.summary.expand(n, 1, -1),
                self.embed_particle(batch.particles),
                self.embed_point(batch.points),
            ],
            dim=1,
        )
        there = torch.cat(
            [batch.particle_mask.new_ones(n, 1), batch.particle_mask, batch.point_mask], dim=1
        )
        encoded = self.encoder(tokens, src_key_padding_mask=~there)
        particle = self.of_particle(encoded[:, 1 : 1 + t])
        whole = self.of_interaction(encoded[:, 0])
        weights = self._weights(particle, self.of_point(encoded[:, 1 + t :]), batch)
        energy = batch.reference * torch.exp(2 * torch.tanh(particle[..., 2] / 2))
        total = (energy.detach() * batch.primary * batch.particle_mask).sum(dim=1)
        return InteractionOutput(
            vertex=_mean_place(weights, batch) + whole[:, :3],
            vertex_root=_root(whole[:, 3:9]),
            candidates=weights,
            energy=energy,
            energy_width=_width(particle[..., 3]),
            total=total * torch.exp(2 * torch.tanh(whole[:, 9] / 2)),
            total_width=_width(whole[:, 10]),
        )

    def _weights(
        self, particle: torch.Tensor, point: torch.Tensor, batch: InteractionInput
    ) -> torch.Tensor:
        logits = torch.cat([particle[..., 0], particle[..., 1], point[..., 0]], dim=1)
        there = torch.cat([batch.particle_mask, batch.particle_mask, batch.point_mask], dim=1)
        return logits.masked_fill(~there, -math.inf).log_softmax(dim=1)


def _embedding(features: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width))


def places(batch: InteractionInput) -> torch.Tensor:
    """(I, 2 T + M, 3) cm, the places that the vertex may be at: starts, ends, points."""
    return torch.cat([batch.start, batch.end, batch.point], dim=1)


def _mean_place(weights: torch.Tensor, batch: InteractionInput) -> torch.Tensor:
    return (weights.exp()[..., None] * places(batch)).sum(dim=1)


def _width(raw: torch.Tensor) -> torch.Tensor:
    return nn.functional.softplus(raw - 2.0) + SIGMA_FLOOR


def _root(raw: torch.Tensor) -> torch.Tensor:
    """(I, 6) -> (I, 3, 3) lower triangular with a positive diagonal."""
    root = raw.new_zeros(len(raw), 3, 3)
    diagonal = nn.functional.softplus(raw[:, :3]) + SIGMA_FLOOR
    root[:, range(3), range(3)] = diagonal
    root[:, (1, 2, 2), (0, 0, 1)] = raw[:, 3:]
    return root
