"""Voxels -> what each of them is: the sparse U-Net and its heads."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from reco.data.products import Semantics, Voxels
from reco.data.ragged import Array, Ragged
from reco.nn.backbone import Backbone, BackboneInput, BackboneOutput, energy_features
from reco.sparse import build_pyramid
from reco.stages.learned import Depth, LearnedOptions, LearnedStage, ModelOptions, Width


class BackboneModel(ModelOptions):
    """filters: channels of the finest level. levels, blocks: of the U-Net. hidden: of the head."""

    filters: Width = 16
    levels: Annotated[int, Field(ge=1, le=16)] = 6
    blocks: Depth = 2
    hidden: Width = 32


class Segment(LearnedStage):
    """One event at a time, so that no answer depends on what else is in the batch."""

    name = "segment"
    Options = LearnedOptions
    Model = BackboneModel
    module: Backbone

    def network(self, model: BackboneModel) -> Backbone:
        return Backbone(**model.model_dump())

    def __call__(self, voxels: Voxels) -> Semantics:
        events = [
            self._event(index, energy)
            for index, energy in zip(voxels.index, voxels.energy, strict=True)
        ]
        return Semantics.concat(events)

    def _event(self, index: Array, energy: Array) -> Semantics:
        lowered = self.context.precision != torch.float32
        kind = self.context.device.type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=lowered):
            return decode(self.module(self.prepare(index, energy)))

    def prepare(self, index: Array, energy: Array) -> BackboneInput:
        """index: (N, 3) int32, sorted. energy: (N,) MeV."""
        batch = np.zeros((len(index), 1), np.int32)
        pyramid = build_pyramid(np.concatenate([batch, index], axis=1), self.module.levels)
        features = energy_features(torch.from_numpy(energy))
        return BackboneInput(features.to(self.context.device), pyramid)


def decode(output: BackboneOutput) -> Semantics:
    """One event: logits to probabilities, and to the precision that is stored."""
    scores = _half(output.semantic.softmax(dim=1))
    return Semantics(
        scores=scores,
        semantic=scores.like(scores.values.argmax(axis=1).astype(np.int8)),
        features=_half(output.features),
        point_score=_half(output.point_score.sigmoid()),
        point_offset=_half(output.point_offset),
        point_type=Ragged.one(output.point_type.argmax(dim=1).cpu().numpy().astype(np.int8)),
        affinity=_half(output.affinity.sigmoid()),
    )


def _half(values: torch.Tensor) -> Ragged:
    return Ragged.one(values.half().cpu().numpy())
