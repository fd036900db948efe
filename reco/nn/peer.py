"""The reference U-Net of SPINE and lartpc_mlreco3d (arXiv:2102.01033), with its own weights.

It is our U-Net with other numbers: MinkowskiEngine counts kernel offsets x fastest, the peer joins
the encoder before the decoder, its activation leaks more, and the first kernel may be wider.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from reco.errors import InputError
from reco.nn.unet import UNet
from reco.sparse import (
    BatchNormLeakyReLU,
    KernelMap,
    Pyramid,
    SubmanifoldConv3d,
    submanifold_map,
)
from reco.sparse.layouts import x_fastest

State = Mapping[str, torch.Tensor]
STEM = "encoder.input_layer.kernel"
BIAS = re.compile(r"coder\..*(input_layer|conv\d|\.2|residual\.linear)\.bias$")
NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class PeerModel:
    """Options of `PeerUNet`. stem: size of the first kernel. classes: 0 for no semantic head.

    slope, eps: of the leaky ReLU and of batch normalization; a checkpoint does not hold them, its
    configuration does (`activation`, `norm_layer`).
    """

    in_channels: int
    filters: int
    levels: int
    blocks: int
    stem: int = 3
    classes: int = 0
    slope: float = 0.33
    eps: float = 1e-4


class WideStem(SubmanifoldConv3d):
    """First convolution with a kernel larger than that of the levels, over the same voxels."""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__(in_channels, out_channels, size)
        self.size = size

    def then(
        self, features: torch.Tensor, kernel_map: KernelMap, *following: Any, **keywords: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return super().then(features, kernel_map.derived(_wider, self.size), *following, **keywords)


class PeerUNet(nn.Module):
    """Our U-Net with the peer's constants, and its semantic head where it has one."""

    def __init__(self, model: PeerModel) -> None:
        super().__init__()
        self.unet = UNet(model.in_channels, model.filters, model.levels, model.blocks)
        if model.stem != 3:
            self.unet.stem = WideStem(model.in_channels, model.filters, model.stem)
        self.norm = BatchNormLeakyReLU(model.filters) if model.classes else None
        self.linear = nn.Linear(model.filters, model.classes) if model.classes else None
        for layer in self.modules():
            if isinstance(layer, BatchNormLeakyReLU):
                layer.slope, layer.eps = model.slope, model.eps

    def forward(
        self, features: torch.Tensor, pyramid: Pyramid
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Features of every level as `UNet` gives them, and logits (N, classes) or None."""
        levels = self.unet(features, pyramid)
        if self.norm is None or self.linear is None:
            return levels, None
        return levels, self.linear(self.norm(levels[-1]))


def from_checkpoint(
    state: State, slope: float = 0.33, eps: float = 1e-4, prefix: str | None = None
) -> tuple[PeerModel, PeerUNet]:
    """The U-Net under `prefix` ("" to "a.b.") of a checkpoint; the only one where that is None.

    Raises InputError where there is none, or several; and for missing tensors, other shapes,
    biases in convolutions, and whatever else is not this U-Net.
    """
    prefix = _prefix(state) if prefix is None else prefix
    inside = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    above = prefix.removesuffix(".").rpartition(".")[0]
    above = f"{above}." if above else ""
    for part in ("output.0.bn.", "linear_segmentation.linear."):
        start = above + part
        inside |= {k.removeprefix(above): v for k, v in state.items() if k.startswith(start)}
    model = _model(inside, slope, eps)
    net = PeerUNet(model).eval()
    net.load_state_dict(_translate(inside, net, model))
    return model, net


def _prefix(state: State) -> str:
    found = [key.removesuffix(STEM) for key in state if key.endswith(STEM)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} U-Nets ({', '.join(found)}); choose one" if found else "no U-Net"
    raise InputError(
        f"checkpoint: holds {what}; looked for ...{STEM} among {len(state)} tensors of a "
        "MinkowskiEngine U-Net of SPINE or lartpc_mlreco3d"
    )


def _model(state: State, slope: float, eps: float) -> PeerModel:
    """What names and shapes tell about the network."""
    if STEM not in state or state[STEM].ndim != 3:
        raise InputError(f"checkpoint: {STEM} is missing, or is no (K, C_in, C_out) kernel")
    for key in filter(BIAS.search, state):
        raise InputError(f"checkpoint: {key}: a bias in convolutions is not supported")
    offsets, inputs, filters = state[STEM].shape
    head = state.get("linear_segmentation.linear.weight")
    return PeerModel(
        inputs,
        filters,
        levels=_count(state, r"encoder\.encoding_block\.(\d+)\.0\."),
        blocks=_count(state, r"encoder\.encoding_block\.0\.(\d+)\."),
        stem=round(offsets ** (1 / 3)),
        classes=0 if head is None else len(head),
        slope=slope,
        eps=eps,
    )


def _count(state: State, pattern: str) -> int:
    found = {int(match[1]) for key in state if (match := re.match(pattern, key))}
    if not found:
        raise InputError(f"checkpoint: no tensor is named {pattern}: not the expected U-Net")
    return max(found) + 1


def _translate(state: State, net: PeerUNet, model: PeerModel) -> dict[str, torch.Tensor]:
    """State of ours from the peer's. Raises InputError for names and shapes that do not fit."""
    wanted, result = net.state_dict(), {}
    names = dict(_names(model))
    used = set(names.values())
    extra = [k for k in state if k not in used and not k.endswith("num_batches_tracked")]
    missing = [name for name in names.values() if name not in state]
    if missing or extra:
        raise InputError(
            f"checkpoint: not the expected U-Net ({asdict(model)}); "
            f"missing: {_few(missing)}; not understood: {_few(extra)}"
        )
    for ours, theirs in names.items():
        tensor = _converted(ours, state[theirs])
        if tensor.shape != wanted[ours].shape:
            shape, expected = tuple(state[theirs].shape), tuple(wanted[ours].shape)
            raise InputError(f"checkpoint: {theirs}: shape {shape}, expected {expected}")
        result[ours] = tensor
    return result


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(names[:3]) or "none") + more


def _converted(ours: str, tensor: torch.Tensor) -> torch.Tensor:
    """Offsets counted as ours; the two halves of a joined input exchanged."""
    if tensor.ndim == 3 and round(len(tensor) ** (1 / 3)) ** 3 == len(tensor):
        tensor = tensor[x_fastest(len(tensor))]
    joined = re.fullmatch(r"unet\.decoder\.\d+\.blocks\.0\.(norm1\.\w+|conv1.*|shortcut.*)", ours)
    if joined:
        axis = 0 if tensor.ndim == 1 else 1
        tensor = tensor.roll(tensor.shape[axis] // 2, axis)
    return tensor


def _names(model: PeerModel) -> Iterator[tuple[str, str]]:
    """(ours, theirs) for every tensor."""
    last = model.levels - 1
    yield "unet.stem.weight", STEM
    for level in range(model.levels):
        yield from _stack_names(f"unet.encoder.{level}", f"encoder.encoding_block.{level}", model)
    for level in range(last):
        step = last - 1 - level
        yield from _step_names(f"unet.down.{level}", f"encoder.encoding_conv.{level}")
        yield from _step_names(f"unet.up.{level}", f"decoder.decoding_conv.{step}")
        ours, theirs = f"unet.decoder.{level}", f"decoder.decoding_block.{step}"
        yield f"{ours}.blocks.0.shortcut.weight", f"{theirs}.0.residual.linear.weight"
        yield from _stack_names(ours, theirs, model)
    if model.classes:
        yield from _norm_names("norm", "output.0")
        for name in ("weight", "bias"):
            yield f"linear.{name}", f"linear_segmentation.linear.{name}"


def _stack_names(ours: str, theirs: str, model: PeerModel) -> Iterator[tuple[str, str]]:
    for block in range(model.blocks):
        for i in (1, 2):
            yield f"{ours}.blocks.{block}.conv{i}.weight", f"{theirs}.{block}.conv{i}.kernel"
            yield from _norm_names(f"{ours}.blocks.{block}.norm{i}", f"{theirs}.{block}.norm{i}")


def _step_names(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield from _norm_names(f"{ours}.norm", f"{theirs}.0")
    yield f"{ours}.conv.weight", f"{theirs}.2.kernel"


def _norm_names(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    for name in NORM:
        yield f"{ours}.{name}", f"{theirs}.bn.{name}"


def _wider(same: KernelMap, size: int) -> KernelMap:
    if same.places is None:
        raise InputError("pyramid: its maps have no places; build it with build_pyramid")
    return submanifold_map(same.places.inputs, size)
