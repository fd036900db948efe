"""The public sparse convolution: it checks its arguments, then hands them to a backend."""

import torch

from reco.errors import InputError
from reco.sparse.backends import choose
from reco.sparse.cache import Cache
from reco.sparse.cpu import fused, fusible
from reco.sparse.maps import KernelMap
from reco.sparse.norm import BatchNormLeakyReLU
from reco.sparse.vector import lowered


def conv(
    features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap, backend: str = "auto"
) -> torch.Tensor:
    """Sparse convolution: out[i] = sum over k of features[map.table[k, i]] @ weight[k].

    features: (inputs, C_in). weight: (K, C_in, C_out), z fastest, input = output + offset.
    backend: a name of `reco.sparse.BACKENDS`, or "auto": the fastest of our own engines for dtype
    and device.
    Returns (outputs, C_out), differentiable in features and weight.

    Raises InputError for shapes, dtypes or devices that do not fit together, and for a backend
    that is unknown, not installed, or cannot take the features.
    """
    _check(features, weight, kernel_map)
    return choose(backend, features)(features, weight, kernel_map)


def conv_norm(
    features: torch.Tensor,
    weight: torch.Tensor,
    kernel_map: KernelMap,
    backend: str = "auto",
    norm: BatchNormLeakyReLU | None = None,
    plus: torch.Tensor | None = None,
    cache: Cache | None = None,
    keep: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """x = conv(features, weight, kernel_map, backend) + plus, and norm(x).

    plus: (outputs, C_out), or None for nothing. norm: None for x itself. keep: False where x is not
    asked for, and may come back without rows. cache: that of the owner of the weight.
    One pass over memory on the CPU, where nothing needs a gradient. There, under autocast to
    bfloat16, features may be bfloat16, and norm(x) is; x is float32.
    Raises InputError as `conv`, and for a `plus` of another shape or a norm of other channels.
    """
    shape = (kernel_map.outputs, weight.shape[-1])
    if plus is not None and plus.shape != shape:
        raise InputError(f"plus: shape {tuple(plus.shape)}, expected {shape}: that of the result")
    if norm is not None and norm.channels != shape[1]:
        raise InputError(f"norm: of {norm.channels} channels, expected {shape[1]}: the result's")
    half = lowered(features.device)
    if backend in ("auto", "cpu") and fusible(features, weight, norm, plus, half):
        _check_shapes(features, weight, kernel_map)
        return fused(features, weight, kernel_map, norm, plus, cache or Cache(), keep, half)
    if half and features.dtype == torch.bfloat16:
        features = features.to(weight.dtype)
    out = conv(features, weight, kernel_map, backend)
    out = out if plus is None else out + plus
    return out, out if norm is None else norm(out)


def _check(features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> None:
    _check_shapes(features, weight, kernel_map)
    if weight.dtype != features.dtype or weight.device != features.device:
        raise InputError(
            f"weight: {weight.dtype} on {weight.device}, expected {features.dtype} on "
            f"{features.device} as the features"
        )


def _check_shapes(features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> None:
    if features.ndim != 2 or features.shape[0] != kernel_map.inputs:
        raise InputError(
            f"features: shape {tuple(features.shape)}, expected ({kernel_map.inputs}, C_in): "
            "one row per input voxel of the kernel map"
        )
    if not features.is_floating_point():
        raise InputError(f"features: dtype {features.dtype}, expected floating point")
    expected = (kernel_map.offsets, features.shape[1])
    if weight.ndim != 3 or tuple(weight.shape[:2]) != expected:
        raise InputError(
            f"weight: shape {tuple(weight.shape)}, expected {expected} + (C_out,): "
            "kernel offsets, channels of features, output channels"
        )
    if 0 in weight.shape:
        raise InputError(f"weight: shape {tuple(weight.shape)}, expected at least one of each")
