"""Time of sparse convolution layers and of the U-Net, against the machine's own matrix product.

    python benchmarks/sparse.py --threads 1 --voxels 3000 --batch 4

The floor of a layer is 2 * pairs * C_in * C_out operations at the best rate that a large float32
matrix product reaches here, in torch or in numpy; three times that for forward and backward.
A ratio below 1 means that the layer is faster than that product. Times are minimum and median
over repetitions.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import torch

from reco.nn.unet import UNet
from reco.sparse import Pyramid, SparseTensor, build_pyramid, conv


@dataclass(frozen=True)
class Timing:
    """Milliseconds, minimum and median."""

    least: float
    median: float

    def line(self, name: str, floor: float) -> str:
        ratios = f"{self.least / floor:6.2f} {self.median / floor:6.2f}"
        return f"{name:36s} {self.least:9.2f} {self.median:9.2f} {floor:9.2f}   {ratios}"


def measure(function: Callable[[], object], seconds: float) -> Timing:
    """Time of calls for `seconds`, at least three, after two that warm up."""
    function()
    function()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return Timing(1e3 * min(times), 1e3 * float(np.median(times)))


def event(voxels: int, seed: int, batch: int) -> np.ndarray:
    """About `voxels` unique voxels (N, 4) int32 on scattered, three-voxel-wide tracks."""
    rng = np.random.default_rng(seed)
    points: list[np.ndarray] = []
    while len(points) == 0 or len(np.unique(np.concatenate(points), axis=0)) < voxels:
        steps = rng.normal(size=3) + np.cumsum(0.05 * rng.normal(size=(400, 3)), axis=0)
        steps *= 0.5 / np.linalg.norm(steps, axis=1, keepdims=True)
        line = np.repeat(np.cumsum(steps, axis=0) + rng.uniform(200, 600, 3), 3, axis=0)
        points.append(np.floor(line + 0.5 * rng.normal(size=line.shape)).astype(np.int32))
    rows = np.unique(np.concatenate(points), axis=0)[:voxels]
    return np.insert(rows, 0, batch, axis=1).astype(np.int32)


def gemm_rate(seconds: float) -> float:
    """Operations per millisecond of the faster of torch's and numpy's float32 product."""
    size = 1536
    a, b = torch.randn(size, size), torch.randn(size, size)
    x, y = a.numpy(), b.numpy()
    products = {
        "torch": measure(lambda: torch.mm(a, b), seconds),
        "numpy": measure(lambda: x @ y, seconds),
    }
    for name, timing in products.items():
        print(f"{name} matrix product: {2e-6 * size**3 / timing.least:.0f} GFLOP/s")
    return 2.0 * size**3 / min(t.least for t in products.values())


def layers(pyramid: Pyramid, rate: float, seconds: float) -> None:
    """Print 3^3 layers of 16 (level + 1) channels, forward alone and with backward."""
    for level, same in enumerate(pyramid.same):
        channels = 16 * (level + 1)
        x = torch.randn(same.inputs, channels, requires_grad=True)
        weight = torch.randn(27, channels, channels, requires_grad=True)
        gradient = torch.randn(same.outputs, channels)
        floor = 2.0 * same.pair_count * channels**2 / rate
        name = f"{same.outputs} voxels, {channels} channels"
        with torch.no_grad():
            forward = measure(lambda x=x, w=weight, m=same: conv(x, w, m), seconds)
        both = measure(lambda x=x, w=weight, m=same, g=gradient: conv(x, w, m).backward(g), seconds)
        print(forward.line(f"{name}, forward", floor))
        print(both.line(f"{name}, and backward", 3 * floor))


def operations(net: UNet, pyramid: Pyramid) -> float:
    """Multiplications and additions of one forward pass, convolutions only."""
    total = 0.0

    def add(weight: torch.Tensor, pairs: int) -> None:
        nonlocal total
        total += 2.0 * pairs * weight.shape[1] * weight.shape[2]

    add(net.stem.weight, pyramid.same[0].pair_count)
    for stacks in (net.encoder, net.decoder):
        for stack, same in zip(stacks, pyramid.same, strict=False):
            for block in stack.blocks:
                add(block.conv1.weight, same.pair_count)
                add(block.conv2.weight, same.pair_count)
                if block.shortcut is not None:
                    add(block.shortcut.weight[None], same.outputs)
    for steps in (net.down, net.up):
        for step, down in zip(steps, pyramid.down, strict=True):
            add(step.conv.weight, down.pair_count)
    return total


def unet(voxels: SparseTensor, rate: float, seconds: float) -> None:
    """Print kernel maps, inference and training of the U-Net of 16 filters and 6 levels."""
    net = UNet(1)
    maps = measure(lambda: build_pyramid(voxels.coordinates, 6), seconds)
    pyramid = build_pyramid(voxels.coordinates, 6)
    floor = operations(net, pyramid) / rate

    def train() -> None:
        net.zero_grad()
        net(voxels.features, pyramid)[-1].square().mean().backward()

    both = measure(train, seconds)
    net.eval()
    with torch.no_grad():
        forward = measure(lambda: net(voxels.features, pyramid), seconds)
    print(f"{'kernel maps':36s} {maps.least:9.2f} {maps.median:9.2f}")
    print(forward.line("U-Net inference", floor))
    print(both.line("U-Net forward and backward", 3 * floor))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--voxels", type=int, default=3000, help="per event")
    parser.add_argument("--batch", type=int, default=4, help="events")
    parser.add_argument("--seconds", type=float, default=0.5, help="per measurement")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    numba.set_num_threads(options.threads)
    rows = np.concatenate([event(options.voxels, i, i) for i in range(options.batch)])
    voxels = SparseTensor(torch.from_numpy(rows), torch.rand(len(rows), 1)).sorted()
    rate = gemm_rate(options.seconds)
    print(f"{'':36s} {'min ms':>9s} {'median':>9s} {'floor':>9s}   {'ratios':>13s}")
    layers(build_pyramid(voxels.coordinates, 6), rate, options.seconds)
    unet(voxels, rate, options.seconds)


if __name__ == "__main__":
    main()
