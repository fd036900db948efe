"""Weights of other engines: the same numbers, with the kernel offsets in another order."""

import torch


def x_fastest(offsets: int) -> torch.Tensor:
    """(K,) int64: offsets counted with z fastest, in the order that counts x fastest.

    Its own inverse: `kernel[x_fastest(K)]` turns weights (K, C_in, C_out) of MinkowskiEngine into
    ours, and ours into its.
    """
    size = round(offsets ** (1 / 3))
    return torch.arange(offsets).view(size, size, size).permute(2, 1, 0).reshape(-1)
