"""One backbone, several heads: what each voxel is, where points of interest lie, what belongs
together.

The heads for points follow the point proposal network of arXiv:2006.14745 at the finest level; the
affinities are those of connectomics (arXiv:1706.00120) on the 26-neighbourhood of a voxel.
"""

from dataclasses import dataclass

import torch
from torch import nn

from reco.nn.unet import UNet
from reco.sparse import Pyramid

N_CLASSES = 5
N_FEATURES = 3
N_AFFINITIES = 13
"""Half of the 26 neighbours: the other half says the same from the other side."""

_WIDTHS = {"semantic": N_CLASSES, "score": 1, "offset": 3, "type": N_CLASSES, "link": N_AFFINITIES}


@dataclass(frozen=True)
class BackboneInput:
    """features: (N, 3) float32, see `voxel_features`. pyramid: over the same N voxels."""

    features: torch.Tensor
    pyramid: Pyramid


@dataclass(frozen=True)
class BackboneOutput:
    """Per voxel, N rows, float32; all but `features` and `point_offset` are logits.

    semantic: (N, 5). features: (N, F). point_score: (N,), that a point lies near.
    point_offset: (N, 3), from the voxel's centre to that point, in voxels. point_type: (N, 5).
    affinity: (N, 13), that the neighbour at offset k of a 3^3 map is of the same fragment.
    """

    semantic: torch.Tensor
    features: torch.Tensor
    point_score: torch.Tensor
    point_offset: torch.Tensor
    point_type: torch.Tensor
    affinity: torch.Tensor


def voxel_features(energy: torch.Tensor, near_dead: torch.Tensor) -> torch.Tensor:
    """(N,) MeV and (N,) as `reco.ops.dead.nearness` -> (N, 3): the energy's logarithm and value,
    both of order one for 3 mm voxels of argon, and how near blind readout is."""
    energy = energy.clamp(1e-3, 1e3)
    return torch.stack([torch.log(energy), energy.clamp_max(10.0), near_dead.to(energy)], dim=1)


class Backbone(nn.Module):
    """Sparse U-Net with the heads that every later stage lives on.

    filters, levels, blocks: see UNet. hidden: width of the head.
    """

    def __init__(
        self, filters: int = 16, levels: int = 6, blocks: int = 2, hidden: int = 32
    ) -> None:
        super().__init__()
        self.unet = UNet(N_FEATURES, filters=filters, levels=levels, blocks=blocks)
        self.norm = nn.BatchNorm1d(filters)
        self.hidden = nn.Linear(filters, hidden)
        self.out = nn.Linear(hidden, sum(_WIDTHS.values()))

    @property
    def levels(self) -> int:
        return self.unet.levels

    def forward(self, batch: BackboneInput) -> BackboneOutput:
        """Raises InputError where features and pyramid do not fit the network."""
        last = self.unet(batch.features, batch.pyramid)[-1]
        with torch.autocast(last.device.type, enabled=False):  # small, and they are the answer
            features = torch.relu(self.norm(last))
            heads = self.out(torch.relu(self.hidden(features))).split(list(_WIDTHS.values()), dim=1)
        semantic, score, offset, kind, link = heads
        return BackboneOutput(semantic, features, score[:, 0], offset, kind, link)
