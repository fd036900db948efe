"""Vertex and energies, with their uncertainties, by the transformer."""

from typing import Self

import numpy as np
import torch
from pydantic import model_validator

from reco.data.bundle import Bundle
from reco.data.products import (
    Estimates,
    Interactions,
    Kinematics,
    Particles,
    Points,
    Semantics,
    Voxels,
)
from reco.data.ragged import Array, Ragged
from reco.errors import InputError
from reco.nn.transformer import InteractionOutput, InteractionTransformer, sigma
from reco.stages.interaction_input import N_POINT_SCALARS, N_SCALARS, EventInput, event_input
from reco.stages.learned import Depth, LearnedOptions, LearnedStage, ModelOptions, Width

UNSEEN_WIDTH = 0.5
"""Relative sigma of an energy that the network did not see: the particle is in no interaction, or
beyond the largest of a crowded one."""


class TransformerModel(ModelOptions):
    """width, layers, heads: of the encoder; each head takes the same part of the width."""

    width: Width = 64
    layers: Depth = 3
    heads: Depth = 4

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads cannot share a width of {self.width}")
        return self


class Estimate(LearnedStage):
    """One event at a time, so that no answer depends on what else is in the batch."""

    name = "estimates"
    Options = LearnedOptions
    Model = TransformerModel
    module: InteractionTransformer

    def network(self, model: TransformerModel) -> InteractionTransformer:
        return InteractionTransformer(N_SCALARS, N_POINT_SCALARS, **model.model_dump())

    def __call__(
        self,
        voxels: Voxels,
        semantics: Semantics,
        points: Points,
        particles: Particles,
        kinematics: Kinematics,
        interactions: Interactions,
    ) -> Estimates:
        whole = Bundle((voxels, semantics, points, particles, kinematics, interactions))
        return Estimates.concat([self._event(whole.at(i)) for i in range(len(whole))])

    def _event(self, event: Bundle) -> Estimates:
        prepared = self.prepare(event)
        n = len(event[Interactions].id.values)
        if len(prepared.interaction) == 0:
            return _unseen(prepared.reference, n)
        with torch.inference_mode():
            return decode(self.module(prepared.input.to(self.context.device)), prepared, n)

    def prepare(self, event: Bundle) -> EventInput:
        """event: the inputs of the stage, of one event."""
        return event_input(event, self.context.detector)


def decode(output: InteractionOutput, prepared: EventInput, n_interactions: int) -> Estimates:
    """One event. An interaction without particles has no vertex (NaN), and no energy.

    Raises InputError where one with particles has none either: these columns may hold NaN, so that
    no one else would tell.
    """
    rows, there = prepared.interaction, prepared.particle >= 0
    particle = prepared.particle[there]
    estimates = _unseen(prepared.reference, n_interactions)
    estimates.energy.values[particle] = _numpy(output.energy.exp())[there]
    energy_sigma = sigma(output.energy, output.energy_width)
    estimates.energy_sigma.values[particle] = _numpy(energy_sigma)[there]
    estimates.vertex.values[rows] = prepared.origin + _numpy(output.vertex)
    estimates.vertex_cov.values[rows] = _numpy(output.vertex_cov)
    for name, found in (("vertex", estimates.vertex), ("vertex_cov", estimates.vertex_cov)):
        if not np.isfinite(found.values[rows]).all():
            raise InputError(f"the network made NaN or infinite numbers of interactions.{name}")
    estimates.interaction_energy.values[rows] = _numpy(output.total.exp())
    total_sigma = sigma(output.total, output.total_width)
    estimates.interaction_energy_sigma.values[rows] = _numpy(total_sigma)
    estimates.energy_tail.values[particle] = _numpy(output.energy_tail)[there]
    estimates.vertex_tail.values[rows] = _numpy(output.vertex_tail)
    estimates.interaction_energy_tail.values[rows] = _numpy(output.total_tail)
    return estimates


def _unseen(reference: Array, n_interactions: int) -> Estimates:
    nothing = np.zeros(n_interactions, np.float32)
    return Estimates(
        energy=Ragged.one(reference.copy()),
        energy_sigma=Ragged.one(reference * UNSEEN_WIDTH),
        vertex=Ragged.one(np.full((n_interactions, 3), np.nan, np.float32)),
        vertex_cov=Ragged.one(np.full((n_interactions, 3, 3), np.nan, np.float32)),
        interaction_energy=Ragged.one(nothing),
        interaction_energy_sigma=Ragged.one(nothing.copy()),
        energy_tail=Ragged.one(np.ones_like(reference)),
        vertex_tail=Ragged.one(nothing + 1),
        interaction_energy_tail=Ragged.one(nothing + 1),
    )


def _numpy(values: torch.Tensor) -> Array:
    return values.cpu().numpy()
