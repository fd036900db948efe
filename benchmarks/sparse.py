"""Time of the sparse engine against the machine's own matrix product, other engines, and itself.

    python benchmarks/sparse.py

Voxels are those of the sample in data_samples/, events in a batch. A process of its own is started
for each number of threads, and two for the start-up. The floor of a layer is 2 * pairs * C_in *
C_out operations at the best float32 rate on as many threads: of a large matrix product in torch or
in numpy, or of multiply-adds that stay in registers, which is what the processor can do at most;
three times that for forward and backward, the float32 floor for bf16 as well. Variables that hold a
library of matrix products back are taken out of the environment. Times are minimum and median over
repetitions; ratios are those of the minima, then of the medians.

MinkowskiEngine and spconv take part where they are installed, each at its best number of threads.
No ratio is printed where their answer differs from ours by more than `AGREE` of the largest value,
nor where that of bf16 differs from fp32 by more than `AGREE_BF16`.
MinkowskiEngine is charged for its convolutions alone, we for the whole U-Net.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
import numpy as np
import torch
from numba import njit, prange

from reco.data.products import Voxels
from reco.nn.unet import UNet
from reco.pipeline import Pipeline
from reco.sparse import BACKENDS, KernelMap, Pyramid, build_pyramid, conv, set_backend
from reco.sparse.cpu import _tile_rows
from reco.sparse.vector import HAS_BFLOAT16, LANES, multiply_block

ROOT = Path(__file__).parents[1]
SIZES = (10_000, 40_000)
WIDTHS = (16, 32, 64, 128)
LEVELS, FILTERS = 6, 32
AGREE = 1e-5
AGREE_BF16 = 3e-2
HOLDING_BACK = ("OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY")

Times = list[float]
"""Milliseconds, minimum and median."""
Results = dict[str, Times]

START_UP = """
import numpy as np, torch
from numba.core import entrypoints
entrypoints._already_initialized = True  # as `reco run` has it: no kernels for awkward arrays
from reco.sparse import conv, submanifold_map
same = submanifold_map(np.zeros((1, 4), np.int32))
conv(torch.ones(1, 16), torch.ones(27, 16, 16), same)
"""


def measure(function: Callable[[], object], seconds: float) -> Times:
    """Time of calls for `seconds`, at least three, after two that warm up."""
    function()
    function()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return [1e3 * min(times), 1e3 * float(np.median(times))]


def sample(pipeline: Pipeline, voxels: int) -> np.ndarray:
    """The first `voxels` rows (N, 4) int32 [batch, x, y, z] of the sample's events, sorted."""
    events: list[np.ndarray] = []
    for bundle in pipeline.products(ROOT / "data_samples" / "lartpc.h5", [Voxels]):
        for index in bundle[Voxels].index:
            order = np.lexsort(index.T[::-1])
            events.append(np.insert(index[order], 0, len(events), axis=1).astype(np.int32))
    rows = np.concatenate(events)
    if len(rows) < voxels:
        sys.exit(f"no figures: the sample has {len(rows)} voxels, {voxels} are needed")
    return np.ascontiguousarray(rows[:voxels])


CHANNELS = 512
_eight_by_three = multiply_block(8, 3)


@njit(parallel=True)
def multiply_adds(rounds, kernels):
    """On each thread, blocks of 8 x 3 vectors over `CHANNELS` channels in the nearest cache."""
    for _ in prange(kernels):
        x = np.zeros((8, CHANNELS), np.float32)
        weight = np.zeros(3 * LANES, np.float32)
        sums = np.zeros((8, 3 * LANES), np.float32)
        rows = np.arange(8).astype(np.int32)
        for _round in range(rounds):
            _eight_by_three(x, rows, rows, 0, 8, 8, 1, weight, 0, 0, 0, sums)


def matrix_product(seconds: float) -> Results:
    size = 1536
    a, b = torch.randn(size, size), torch.randn(size, size)
    x, y, out = a.numpy(), b.numpy(), np.empty((size, size), np.float32)
    rounds, kernels = 4000, numba.get_num_threads()
    products = {
        "torch matrix product": (lambda: torch.mm(a, b), size**3),
        "numpy matrix product": (lambda: np.dot(x, y, out=out), size**3),
        "multiply-adds in registers": (
            lambda: multiply_adds(rounds, kernels), kernels * rounds * 24 * LANES * CHANNELS
        ),
    }  # fmt: skip
    return {
        f"{name}, GFLOP/s": [2e-6 * count / t for t in measure(function, seconds)]
        for name, (function, count) in products.items()
    }


def layer(name: str, same: KernelMap, channels: int, seconds: float) -> Results:
    """One 3^3 layer: forward, with both gradients, and forward in spconv."""
    x = torch.randn(same.inputs, channels, requires_grad=True)
    weight = torch.randn(27, channels, channels, requires_grad=True)
    gradient = torch.randn(same.outputs, channels)
    name = f"{name}, {channels} channels"
    with torch.inference_mode():
        times = {f"{name}, forward": measure(lambda: conv(x, weight, same), seconds)}
        if BACKENDS["spconv"].installed:
            theirs = conv(x, weight, same, "spconv")
            key = f"{name}, spconv{differs(conv(x, weight, same), theirs)}"
            times[key] = measure(lambda: conv(x, weight, same, "spconv"), seconds)

    def both() -> None:
        torch.autograd.grad(conv(x, weight, same), (x, weight), gradient)

    return times | {f"{name}, and backward": measure(both, seconds)}


def differs(ours: torch.Tensor, theirs: torch.Tensor, agree: float = AGREE) -> str:
    """Nothing, or by how much."""
    error = float((ours - theirs).abs().max() / ours.abs().max())
    return "" if error <= agree else f", differs by {error:.1e}"


def convolutions(net: UNet, pyramid: Pyramid) -> Iterator[tuple[torch.Tensor, KernelMap]]:
    """Weight and map of every convolution of a forward pass."""
    yield net.stem.weight, pyramid.same[0]
    for stacks in (net.encoder, net.decoder):
        for stack, same in zip(stacks, pyramid.same, strict=False):
            for block in stack.blocks:
                yield block.conv1.weight, same
                yield block.conv2.weight, same
                if block.shortcut is not None:
                    yield block.shortcut.weight.T[None], same.pointwise
    for down, up, step in zip(net.down, net.up, pyramid.down, strict=True):
        yield down.conv.weight, step
        yield up.conv.weight, step.transposed


def operations(layers: Iterator[tuple[torch.Tensor, KernelMap]]) -> float:
    return sum(2.0 * m.pair_count * w.shape[1] * w.shape[2] for w, m in layers)


def all_maps(voxels: np.ndarray) -> Pyramid:
    """The pyramid, and the pairs that a forward pass asks it for."""
    pyramid = build_pyramid(voxels, LEVELS)
    for kernel_map in (*pyramid.same, *pyramid.down, *(d.transposed for d in pyramid.down)):
        kernel_map.runs(_tile_rows(kernel_map.outputs, numba.get_num_threads()))
    return pyramid


def unet(name: str, voxels: np.ndarray, seconds: float) -> Results:
    """Kernel maps, inference and training step of the U-Net."""
    torch.manual_seed(0)
    net, x = UNet(1, FILTERS, LEVELS), torch.rand(len(voxels), 1)
    name = f"U-Net, {name}"
    times = {f"{name}, kernel maps": measure(lambda: all_maps(voxels), seconds)}
    pyramid = all_maps(voxels)

    def train() -> None:
        net.zero_grad()
        net(x, pyramid)[-1].square().mean().backward()

    times[f"{name}, and backward"] = measure(train, seconds)
    net.zero_grad()
    net.eval()
    with torch.inference_mode():
        times[f"{name}, forward"] = measure(lambda: net(x, pyramid), seconds)
        ours = net(x, pyramid)[-1]
        if HAS_BFLOAT16:
            with torch.autocast("cpu", torch.bfloat16):
                key = f"{name}, bf16{differs(ours, net(x, pyramid)[-1], AGREE_BF16)}"
                times[key] = measure(lambda: net(x, pyramid), seconds)
        if BACKENDS["minkowski"].installed:
            set_backend(net, "minkowski")
            key = f"{name}, MinkowskiEngine{differs(ours, net(x, pyramid)[-1])}"
            times[key] = measure(minkowski(net, pyramid), seconds)
    return times | {f"{name}, operations": [operations(convolutions(net, pyramid))] * 2}


def minkowski(net: UNet, pyramid: Pyramid) -> Callable[[], None]:
    """All convolutions of a forward pass, on features and kernels that are as it wants them."""
    from reco.sparse.minkowski import _plan

    calls: list[Callable[[], torch.Tensor]] = []
    for weight, kernel_map in convolutions(net, pyramid):
        x, w = torch.randn(kernel_map.inputs, weight.shape[1]), weight.detach().contiguous()
        if kernel_map.offsets == 1:
            calls.append(lambda x=x, w=w: x @ w[0])
        else:
            plan = kernel_map.derived(_plan, None)
            calls.append(lambda x=x, w=w, p=plan: p.function(x, w, *p.arguments))

    def forward() -> None:
        for call in calls:
            call()

    return forward


def child(threads: int, seconds: float) -> Results:
    """Everything that is measured on one number of threads."""
    pipeline = Pipeline.load(ROOT / "pipelines" / "lartpc.yaml", [f"run.threads={threads}"])
    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    results = matrix_product(seconds)
    for size in SIZES:
        voxels, name = sample(pipeline, size), f"{size} voxels"
        same = build_pyramid(voxels, 1).same[0]
        for channels in WIDTHS:
            results |= layer(name, same, channels, seconds)
            results[f"{name}, {channels} channels, operations"] = [
                2.0 * same.pair_count * channels**2
            ] * 2
        results |= unet(name, voxels, seconds)
    return results


def run_child(threads: int, seconds: float) -> Results:
    count = str(threads)
    names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, count)
    for name in HOLDING_BACK:
        environment.pop(name, None)
    words = [sys.executable, __file__, "--child", count, "--seconds", str(seconds)]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def start_up() -> tuple[float, float]:
    """Seconds of a process that imports and convolves, with no compiled kernels, and again."""
    seconds = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            began = time.perf_counter()
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            subprocess.run([sys.executable, "-c", START_UP], env=environment, cwd=ROOT, check=True)
            seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def quotient(a: Times, b: Times) -> str:
    return f"{a[0] / b[0]:7.2f} {a[1] / b[1]:7.2f}"


def table(results: Results, threads: int) -> Iterator[str]:
    """Every time on one number of threads, over its floor."""
    rates = [v[0] for k, v in results.items() if k.endswith("GFLOP/s")]
    yield f"\n{f'{threads} thread(s)':44s} {'min ms':>9s} {'median':>9s}  over the floor"
    for name, times in results.items():
        task, _, kind = name.rpartition(", ")
        if kind == "operations":
            continue
        line = f"{name:44s} {times[0]:9.2f} {times[1]:9.2f} "
        floor = results.get(f"{task}, operations", [0.0])[0] / max(rates) / 1e6
        if kind in ("forward", "bf16", "and backward"):
            passes = 3 if kind == "and backward" else 1
            line += quotient(times, [passes * floor] * 2)
        yield line


def scaling(one: Results, many: Results, threads: int) -> Iterator[str]:
    yield f"\n{f'speed-up from 1 to {threads} threads':62s} {'':3s}min  median"
    for name in one:
        if name.startswith("U-Net") and name.endswith(("forward", "backward", "maps", "bf16")):
            yield f"{name:62s} {quotient(one[name], many[name])}"


def shares(runs: dict[int, Results]) -> Iterator[str]:
    yield "\nkernel maps over forward"
    for threads, results in runs.items():
        for size in SIZES:
            name = f"U-Net, {size} voxels"
            ratio = quotient(results[f"{name}, kernel maps"], results[f"{name}, forward"])
            yield f"{f'{name}, {threads} thread(s)':62s} {ratio}"


def peers(runs: dict[int, Results]) -> Iterator[str]:
    """How many times faster we are than the others, each at its best number of threads."""
    yield "\nfaster than"
    for name in next(iter(runs.values())):
        task, _, engine = name.partition(", spconv" if "spconv" in name else ", MinkowskiEngine")
        if "spconv" not in name and "MinkowskiEngine" not in name:
            continue
        theirs = min(r.get(name, [float("inf")] * 2) for r in runs.values())
        for kind in ("forward", "bf16"):
            times = [r[f"{task}, {kind}"] for r in runs.values() if f"{task}, {kind}" in r]
            if times:
                ratio = "no ratio" if engine else quotient(theirs, min(times))
                yield f"{f'{name}, over our {kind}':62s} {ratio}"
    for engine in ("spconv", "minkowski"):
        if not BACKENDS[engine].installed:
            yield f"{engine}: not installed, not measured"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="the most")
    parser.add_argument("--seconds", type=float, default=0.5, help="per measurement")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.seconds)))
        return
    counts = sorted({1, options.threads})
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    print(f"{processor()}, {os.cpu_count()} cores, load {load}")
    first, later = start_up()
    print(f"start-up: {first:.1f} s with nothing compiled, {later:.1f} s after")
    runs = {threads: run_child(threads, options.seconds) for threads in counts}
    for threads, results in runs.items():
        print(*table(results, threads), sep="\n")
    if len(counts) > 1:
        print(*scaling(runs[1], runs[options.threads], options.threads), sep="\n")
    print(*shares(runs), sep="\n")
    print(*peers(runs), sep="\n")


if __name__ == "__main__":
    main()
