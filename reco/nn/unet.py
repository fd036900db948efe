"""A pre-activation residual U-Net over sparse voxels."""

from collections.abc import Sequence
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
)
from reco.sparse.cache import Cache
from reco.sparse.functional import conv_norm

Both = tuple[torch.Tensor, torch.Tensor]
"""Features, and what the norm and activation that come next make of them."""


class Shortcut(nn.Module):
    """A linear change of width, (N, C_in) to (N, C_out), with the layout of nn.Linear.

    It goes through `conv` because a BLAS rounds a row differently in a larger batch.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        spread = in_channels**-0.5
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels).uniform_(-spread, spread))
        self._cache = Cache()

    def forward(self, x: torch.Tensor, same: KernelMap) -> torch.Tensor:
        return conv_norm(x, self.weight.T[None], same.pointwise, cache=self._cache)[0]


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

    def forward(
        self,
        x: torch.Tensor,
        activated: torch.Tensor,
        same: KernelMap,
        following: BatchNormLeakyReLU | None,
    ) -> Both:
        """x, norm1(x) -> y, following(y): so each norm is taken while its input is in cache."""
        _, y = self.conv1.then(activated, same, self.norm2, keep=False)
        kept = x if self.shortcut is None else self.shortcut(x, same)
        return self.conv2.then(y, same, following, plus=kept)


class Stack(nn.Module):
    """Residual blocks in a row at one level."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * blocks
        row = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))
        self.blocks: Sequence[ResidualBlock] = row  # type: ignore[assignment]

    @property
    def norm(self) -> BatchNormLeakyReLU:
        """That of the first block, which whoever makes the input applies."""
        return self.blocks[0].norm1

    def forward(
        self,
        x: torch.Tensor,
        activated: torch.Tensor,
        same: KernelMap,
        following: BatchNormLeakyReLU | None,
    ) -> Both:
        norms = [*[block.norm1 for block in self.blocks][1:], following]
        for block, norm in zip(self.blocks, norms, strict=True):
            x, activated = block(x, activated, same, norm)
        return x, activated


class Down(nn.Module):
    """Norm, activation, stride-2 convolution to the next coarser level."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = BatchNormLeakyReLU(in_channels)
        self.conv = SparseConv3d(in_channels, out_channels)


class Up(nn.Module):
    """Norm, activation, inverse convolution to the next finer level."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = BatchNormLeakyReLU(in_channels)
        self.conv = SparseInverseConv3d(in_channels, out_channels)


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
        encoder = nn.ModuleList(Stack(p, p, blocks) for p in planes)
        down = nn.ModuleList(Down(planes[i], planes[i + 1]) for i in fine)
        up = nn.ModuleList(Up(planes[i + 1], planes[i]) for i in fine)
        decoder = nn.ModuleList(Stack(2 * planes[i], planes[i], blocks) for i in fine)
        self.encoder: Sequence[Stack] = encoder  # type: ignore[assignment]
        self.down: Sequence[Down] = down  # type: ignore[assignment]
        self.up: Sequence[Up] = up  # type: ignore[assignment]
        self.decoder: Sequence[Stack] = decoder  # type: ignore[assignment]

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
        x, activated, skips = self._encode(features, pyramid)
        outputs = [x]
        for level in reversed(range(self.levels - 1)):
            x, _ = self.up[level].conv.then(activated, pyramid.down[level].transposed)
            x = torch.cat([x, skips[level]], dim=1)
            stack, following = self.decoder[level], self.up[level - 1].norm if level else None
            x, activated = stack(x, stack.norm(x), pyramid.same[level], following)
            outputs.append(x)
        return outputs

    def _encode(
        self, features: torch.Tensor, pyramid: Pyramid
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Of the coarsest level, plain and activated for the way up; of all, finest first."""
        x, activated = self.stem.then(features, pyramid.same[0], self.encoder[0].norm)
        skips = []
        for level, (stack, same) in enumerate(zip(self.encoder, pyramid.same, strict=True)):
            if level:
                conv, norm = self.down[level - 1].conv, stack.norm
                x, activated = conv.then(activated, pyramid.down[level - 1], norm)
            x, activated = stack(x, activated, same, self._after(level))
            skips.append(x)
        return x, activated, skips

    def _after(self, level: int) -> BatchNormLeakyReLU | None:
        """The norm that follows a level of the encoder."""
        steps = [*(step.norm for step in self.down), self.up[-1].norm if self.up else None]
        return steps[level]
