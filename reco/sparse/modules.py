"""Sparse convolution layers: a module holds the weights, `conv` does the work."""

import torch
from torch import nn

from reco.sparse.backends import engine
from reco.sparse.cache import Cache
from reco.sparse.functional import conv_norm
from reco.sparse.maps import KernelMap
from reco.sparse.norm import BatchNormLeakyReLU


class _SparseConv(nn.Module):
    """Weights (K, C_in, C_out), He-initialized for the offsets that exist in a typical event."""

    backend = "auto"

    def __init__(self, in_channels: int, out_channels: int, offsets: int, typical: int) -> None:
        super().__init__()
        spread = (2.0 / (in_channels * typical)) ** 0.5
        self.weight = nn.Parameter(torch.randn(offsets, in_channels, out_channels) * spread)
        self._cache = Cache()

    def then(
        self,
        features: torch.Tensor,
        kernel_map: KernelMap,
        norm: BatchNormLeakyReLU | None = None,
        plus: torch.Tensor | None = None,
        keep: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The convolution and what follows it, with the map as `conv` takes it; see `conv_norm`."""
        last = (self.backend, norm, plus, self._cache, keep)
        return conv_norm(features, self.weight, kernel_map, *last)

    def extra_repr(self) -> str:
        offsets, inputs, outputs = self.weight.shape
        return f"{inputs}, {outputs}, offsets={offsets}"


class SubmanifoldConv3d(_SparseConv):
    """size^3 convolution onto the same voxels, without bias; of 27 offsets some 9 exist."""

    def __init__(self, in_channels: int, out_channels: int, size: int = 3) -> None:
        super().__init__(in_channels, out_channels, offsets=size**3, typical=size**2)

    def forward(self, features: torch.Tensor, same: KernelMap) -> torch.Tensor:
        """(N, C_in) to (N, C_out); `same` from `submanifold_map` or `Pyramid.same`."""
        return self.then(features, same)[0]


class SparseConv3d(_SparseConv):
    """2^3 convolution of stride 2 onto the coarser voxels, without bias."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, offsets=8, typical=3)

    def forward(self, features: torch.Tensor, down: KernelMap) -> torch.Tensor:
        """(N_fine, C_in) to (N_coarse, C_out); `down` from `strided_map` or `Pyramid.down`."""
        return self.then(features, down)[0]


class SparseInverseConv3d(_SparseConv):
    """Transposed 2^3 convolution back onto the voxels that the stride-2 map started from."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, offsets=8, typical=1)

    def forward(self, features: torch.Tensor, down: KernelMap) -> torch.Tensor:
        """(N_coarse, C_in) to (N_fine, C_out); `down` is the map of the way down."""
        return self.then(features, down.transposed)[0]


def set_backend(module: nn.Module, backend: str) -> None:
    """Let all sparse convolutions of a model run on one engine of `BACKENDS`, or on "auto".

    Raises InputError for an unknown name, and for an engine that is not installed.
    """
    if backend != "auto":
        engine(backend)
    for layer in module.modules():
        if isinstance(layer, _SparseConv):
            layer.backend = backend
