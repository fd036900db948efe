"""The peer's U-Net: against dense convolutions with its own weights, and against its own engine."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reco.errors import InputError
from reco.nn.peer import PeerUNet, from_checkpoint
from reco.sparse import BACKENDS, build_pyramid, set_backend

from ..sparse.conftest import dense, walk

KEYS = Path(__file__).parents[2].parent / "shared" / "sparse"
SLOPE, EPS = 0.33, 1e-4
State = dict[str, torch.Tensor]


def checkpoint(
    prefix: str, inputs: int, filters: int, levels: int, stem: int = 3, classes: int = 5
) -> State:
    """A state dict with the names of SPINE's U-Net of 2 blocks, and random numbers."""
    generator = torch.Generator().manual_seed(0)
    planes = [filters * (level + 1) for level in range(levels)]
    state: State = {}

    def kernel(name: str, *shape: int) -> None:
        scale = (2 / (shape[-2] * 9)) ** 0.5
        state[name] = torch.randn(shape, generator=generator) * scale

    def norm(name: str, channels: int) -> None:
        for key, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
            state[f"{name}.bn.{key}"] = torch.rand(channels, generator=generator) + low
        state[f"{name}.bn.running_var"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)

    def stack(name: str, first: int, width: int) -> None:
        for block, channels in enumerate((first, width)):
            if channels != width:
                kernel(f"{name}.{block}.residual.linear.weight", width, channels)
            norm(f"{name}.{block}.norm1", channels)
            kernel(f"{name}.{block}.conv1.kernel", 27, channels, width)
            norm(f"{name}.{block}.norm2", width)
            kernel(f"{name}.{block}.conv2.kernel", 27, width, width)

    kernel(f"{prefix}encoder.input_layer.kernel", stem**3, inputs, filters)
    for level, width in enumerate(planes):
        stack(f"{prefix}encoder.encoding_block.{level}", width, width)
        if level < levels - 1:
            norm(f"{prefix}encoder.encoding_conv.{level}.0", width)
            kernel(f"{prefix}encoder.encoding_conv.{level}.2.kernel", 8, width, width + filters)
            step, below = levels - 2 - level, planes[level + 1]
            norm(f"{prefix}decoder.decoding_conv.{step}.0", below)
            kernel(f"{prefix}decoder.decoding_conv.{step}.2.kernel", 8, below, width)
            stack(f"{prefix}decoder.decoding_block.{step}", 2 * width, width)
    if classes:
        above = prefix[: prefix.rstrip(".").rfind(".") + 1]
        norm(f"{above}output.0", filters)
        kernel(f"{above}linear_segmentation.linear.weight", classes, filters)
        kernel(f"{above}linear_segmentation.linear.bias", classes, 1)
        state[f"{above}linear_segmentation.linear.bias"].squeeze_(1)
    return state


class DensePeer:
    """The peer's U-Net on dense grids of one event, as its source has it, in float64."""

    def __init__(self, state: State, levels: int) -> None:
        self.state = {k: v.double() for k, v in state.items()}
        self.levels = levels

    def __call__(self, event: np.ndarray, x: torch.Tensor) -> torch.Tensor:
        there = dense(event, torch.ones(len(event), 1, dtype=torch.float64))
        masks = [there]
        for _ in range(self.levels - 1):
            masks.append(F.max_pool3d(masks[-1], 2))
        y = self.conv(dense(event, x.double()), "net.encoder.input_layer.kernel") * there
        skips = []
        for level, mask in enumerate(masks):
            y = self.stack(y, f"net.encoder.encoding_block.{level}", mask)
            skips.append(y)
            if level < self.levels - 1:
                name = f"net.encoder.encoding_conv.{level}"
                kernel = self.kernel(f"{name}.2.kernel").permute(4, 3, 0, 1, 2)
                y = F.conv3d(self.active(y, f"{name}.0", mask), kernel, stride=2)
        for step, level in enumerate(reversed(range(self.levels - 1))):
            name = f"net.decoder.decoding_conv.{step}"
            kernel = self.kernel(f"{name}.2.kernel").permute(3, 4, 0, 1, 2)
            y = F.conv_transpose3d(self.active(y, f"{name}.0", masks[level + 1]), kernel, stride=2)
            y = torch.cat([skips[level], y * masks[level]], dim=1)
            y = self.stack(y, f"net.decoder.decoding_block.{step}", masks[level])
        y = self.active(y, "output.0", there)
        _, i, j, k = torch.from_numpy(event).long().T
        weight, bias = (
            self.state[f"linear_segmentation.linear.{name}"] for name in ("weight", "bias")
        )
        return F.linear(y[0, :, i, j, k].T, weight, bias)

    def kernel(self, name: str) -> torch.Tensor:
        """(x, y, z, C_in, C_out), from offsets with x fastest."""
        weight = self.state[name]
        size = round(len(weight) ** (1 / 3))
        return weight.view(size, size, size, *weight.shape[1:]).transpose(0, 2)

    def conv(self, x: torch.Tensor, name: str) -> torch.Tensor:
        kernel = self.kernel(name).permute(4, 3, 0, 1, 2)
        return F.conv3d(x, kernel, padding=kernel.shape[-1] // 2)

    def active(self, x: torch.Tensor, name: str, mask: torch.Tensor) -> torch.Tensor:
        values = [self.state[f"{name}.bn.{k}"] for k in ("running_mean", "running_var", "weight")]
        normed = F.batch_norm(x, *values, self.state[f"{name}.bn.bias"], eps=EPS)
        return F.leaky_relu(normed, SLOPE) * mask

    def stack(self, x: torch.Tensor, name: str, mask: torch.Tensor) -> torch.Tensor:
        for block in (f"{name}.0", f"{name}.1"):
            y = self.conv(self.active(x, f"{block}.norm1", mask), f"{block}.conv1.kernel") * mask
            y = self.conv(self.active(y, f"{block}.norm2", mask), f"{block}.conv2.kernel") * mask
            linear = self.state.get(f"{block}.residual.linear.weight")
            x = y + (x if linear is None else torch.einsum("oc,bcxyz->boxyz", linear, x))
        return x


def event_in_grid() -> np.ndarray:
    voxels = walk(1, 300, low=8)
    return voxels[np.all((voxels[:, 1:] >= 0) & (voxels[:, 1:] < 16), axis=1)]


def logits(net: PeerUNet, event: np.ndarray, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        scores = net(x, build_pyramid(event, net.unet.levels))[1]
    assert scores is not None
    return scores


@pytest.mark.parametrize("stem", [3, 5])
def test_answers_as_the_peer_does(stem):
    state, event = checkpoint("net.", 2, 8, 3, stem), event_in_grid()
    x = torch.randn(len(event), 2, generator=torch.Generator().manual_seed(1))
    _, net = from_checkpoint(state, SLOPE, EPS)
    expected = DensePeer(state, 3)(event, x)
    torch.testing.assert_close(logits(net, event, x).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not BACKENDS["minkowski"].installed, reason="not installed")
@pytest.mark.parametrize("stem", [3, 5])
def test_answers_as_minkowski_engine_does(stem):
    """The same network with every convolution but the 1^3 ones by MinkowskiEngine."""
    event = np.concatenate([walk(seed, 800, seed, low=-300 * seed) for seed in range(3)])
    x = torch.randn(len(event), 2, generator=torch.Generator().manual_seed(1))
    _, net = from_checkpoint(checkpoint("net.", 2, 16, 5, stem))
    ours = logits(net, event, x)
    set_backend(net, "minkowski")
    torch.testing.assert_close(
        logits(net, event, x), ours, rtol=0, atol=1e-5 * float(ours.abs().max())
    )


@pytest.mark.parametrize(
    ("file", "model"),
    [
        ("uresnet_keys.txt", (1, 32, 5, 2, 3, 5)),
        ("graph_spice_keys.txt", (4, 32, 5, 2, 5, 0)),
    ],
)
def test_takes_the_names_and_shapes_of_real_checkpoints(file, model):
    if not (KEYS / file).exists():
        pytest.skip("shared files absent")
    state = {}
    for line in (KEYS / file).read_text().splitlines():
        name, rest = line.split(" ", 1)
        shape = tuple(int(n) for n in rest[1 : rest.index(")")].split(",") if n.strip())
        state[name] = torch.zeros(shape, dtype=torch.float32)
    found, net = from_checkpoint(state)
    assert (
        found.in_channels, found.filters, found.levels, found.blocks, found.stem, found.classes
    ) == model  # fmt: skip
    assert net.unet.channels == (160, 128, 96, 64, 32)


def test_refuses_what_is_not_this_network():
    good = checkpoint("a.backbone.", 1, 4, 2)
    name = "a.backbone.encoder.encoding_block.1.0.conv1.kernel"
    cases = [
        ({"weight": torch.zeros(3)}, "holds no U-Net; looked for .*input_layer.kernel"),
        (good | checkpoint("b.", 1, 4, 2), r"holds 2 U-Nets \(a.backbone., b.\); choose one"),
        ({k: v for k, v in good.items() if k != name}, "missing: encoder.encoding_block.1.0.conv1"),
        (good | {"a.backbone.encoder.gate": torch.zeros(1)}, "not understood: encoder.gate"),
        (good | {name: torch.zeros(27, 4, 8)}, r"conv1.kernel: shape \(27, 4, 8\), expected"),
        (good | {name.replace("kernel", "bias"): torch.zeros(8)}, "conv1.bias: a bias"),
    ]
    for state, match in cases:
        with pytest.raises(InputError, match=match):
            from_checkpoint(state)
    assert from_checkpoint(cases[1][0], prefix="b.")[0].levels == 2
