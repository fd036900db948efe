"""Voxels -> what each of them is: the sparse U-Net and its heads."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from reco.data.products import Semantics, Voxels
from reco.data.ragged import Array, Ragged
from reco.nn.backbone import Backbone, voxel_features
from reco.ops.dead import nearness
from reco.ops.symmetry import Symmetry
from reco.stages.learned import Depth, LearnedOptions, LearnedStage, ModelOptions, Width
from reco.stages.views import VIEWS, Opinion, opinion


class BackboneModel(ModelOptions):
    """filters: channels of the finest level. levels, blocks: of the U-Net. hidden: of the head."""

    filters: Width = 16
    levels: Annotated[int, Field(ge=1, le=16)] = 6
    blocks: Depth = 2
    hidden: Width = 32


class SegmentOptions(LearnedOptions):
    """views: from so many sides the network looks at each event, and says the mean: more is
    better, and takes as many times as long."""

    views: Annotated[int, Field(ge=1, le=len(VIEWS))] = 2


class Segment(LearnedStage):
    """One event at a time, so that no answer depends on what else is in the batch."""

    name = "segment"
    Options = SegmentOptions
    options: SegmentOptions
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
            return decode(opinion(self.module, index, self.features(index, energy), self.views))

    @property
    def views(self) -> Sequence[Symmetry]:
        """The sides from which it looks."""
        return VIEWS[: self.options.views]

    def features(self, index: Array, energy: Array) -> torch.Tensor:
        """(N, 3) voxels and (N,) MeV -> (N, 3) on the network's device."""
        near = torch.from_numpy(nearness(index, *self.context.detector.dead_boxes))
        return voxel_features(torch.from_numpy(energy), near).to(self.context.device)


def decode(seen: Opinion) -> Semantics:
    """One event, with the precision that is stored."""
    scores = _half(seen.semantic)
    return Semantics(
        scores=scores,
        semantic=scores.like(scores.values.argmax(axis=1).astype(np.int8)),
        features=_half(seen.features),
        point_score=_half(seen.point_score),
        point_offset=_half(seen.point_offset),
        point_type=Ragged.one(seen.point_type.argmax(dim=1).cpu().numpy().astype(np.int8)),
        affinity=_half(seen.affinity),
    )


def _half(values: torch.Tensor) -> Ragged:
    return Ragged.one(values.half().cpu().numpy())
