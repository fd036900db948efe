"""A pre-activation residual U-Net over sparse voxels."""

from itertools import pairwise

import torch
from torch import nn

from reco.errors import InputError
from reco.sparse import (
    BatchNormLeakyReLU,
    KernelMap,
    Pyramid,
    SparseConv3d,
    SparseInverseConv3d,
    SubmanifoldConv3d,
    conv,
)


class Shortcut(nn.Module):
    """A linear change of width, (N, C_in) to (N, C_out), with the layout of nn.Linear.

    It goes through `conv` because a BLAS rounds a row differently in a larger batch.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        spread = in_channels**-0.5
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels).uniform_(-spread, spread))

    def forward(self, x: torch.Tensor, same: KernelMap) -> torch.Tensor:
        return conv(x, self.weight.T[None], same.pointwise)


class ResidualBlock(nn.Module):
    """Twice (norm, activation, 3^3 convolution), plus the input; (N, C_in) to (N, C_out)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widens = in_channels != out_channels
        self.shortcut = Shortcut(in_channels, out_channels) if widens else None
        self.norm1 = BatchNormLeakyReLU(in_channels)
        self.conv1 = SubmanifoldConv3d(in_channels, out_channels)
        self.norm2 = BatchNormLeakyReLU(out_channels)
        self.conv2 = SubmanifoldConv3d(out_channels, out_channels)

    def forward(self, x: torch.Tensor, same: KernelMap) -> torch.Tensor:
        y = self.conv1(self.norm1(x), same, norm=self.norm2)
        kept = x if self.shortcut is None else self.shortcut(x, same)
        result: torch.Tensor = self.conv2(y, same, plus=kept)
        return result


class Stack(nn.Module):
    """Residual blocks in a row at one level."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * blocks
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))

    def forward(self, x: torch.Tensor, same: KernelMap) -> torch.Tensor:
        for block in self.blocks:
            x = block(x, same)
        return x


class Down(nn.Module):
    """Norm, activation, stride-2 convolution to the next coarser level."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = BatchNormLeakyReLU(in_channels)
        self.conv = SparseConv3d(in_channels, out_channels)

    def forward(self, x: torch.Tensor, down: KernelMap) -> torch.Tensor:
        result: torch.Tensor = self.conv(self.norm(x), down)
        return result


class Up(nn.Module):
    """Norm, activation, inverse convolution to the next finer level."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = BatchNormLeakyReLU(in_channels)
        self.conv = SparseInverseConv3d(in_channels, out_channels)

    def forward(self, x: torch.Tensor, down: KernelMap) -> torch.Tensor:
        result: torch.Tensor = self.conv(self.norm(x), down)
        return result


class UNet(nn.Module):
    """Residual sparse U-Net with `filters * (level + 1)` channels at each level.

    in_channels: features per voxel. levels: resolutions, each half of the one before.
    blocks: residual blocks per level, on the way down and on the way up.
    `channels` lists the channels of what `forward` returns.
    """

    def __init__(
        self, in_channels: int, filters: int = 16, levels: int = 6, blocks: int = 2
    ) -> None:
        super().__init__()
        planes = [filters * (level + 1) for level in range(levels)]
        fine = range(levels - 1)
        self.levels = levels
        self.channels = tuple(reversed(planes))
        self.stem = SubmanifoldConv3d(in_channels, filters)
        self.encoder = nn.ModuleList(Stack(p, p, blocks) for p in planes)
        self.down = nn.ModuleList(Down(planes[i], planes[i + 1]) for i in fine)
        self.up = nn.ModuleList(Up(planes[i + 1], planes[i]) for i in fine)
        self.decoder = nn.ModuleList(Stack(2 * planes[i], planes[i], blocks) for i in fine)

    def forward(self, features: torch.Tensor, pyramid: Pyramid) -> list[torch.Tensor]:
        """Features of every level of the decoder, coarsest first, finest last.

        features: (N, in_channels), rows as pyramid.coordinates[0].
        Entry i has shape (pyramid.sizes()[levels - 1 - i], channels[i]).

        Raises InputError where the pyramid has other levels, or features do not fit.
        """
        if pyramid.levels != self.levels:
            raise InputError(
                f"pyramid: {pyramid.levels} levels, expected {self.levels}: build it with "
                f"build_pyramid(coordinates, {self.levels})"
            )
        skips = self._encode(self.stem(features, pyramid.same[0]), pyramid)
        outputs = [skips.pop()]
        for level in reversed(range(self.levels - 1)):
            x = self.up[level](outputs[-1], pyramid.down[level])
            x = torch.cat([x, skips[level]], dim=1)
            outputs.append(self.decoder[level](x, pyramid.same[level]))
        return outputs

    def _encode(self, x: torch.Tensor, pyramid: Pyramid) -> list[torch.Tensor]:
        features = []
        for level in range(self.levels):
            x = self.encoder[level](x, pyramid.same[level])
            features.append(x)
            if level < self.levels - 1:
                x = self.down[level](x, pyramid.down[level])
        return features
