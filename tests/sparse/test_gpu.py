"""What can be said of the GPU's kernels without one: that they compile, to tensor cores."""

import os
import subprocess
import sys

import pytest

from reco.sparse import BACKENDS

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from reco.sparse import gpu

BLOCKS = {"BLOCK_ROWS": gpu.BLOCK_ROWS, "BLOCK_IN": 32, "BLOCK_OUT": 64, "WIDEN": False}
KERNELS = {
    gpu._gather_multiply: {"table": "*i32", "rows": "*i32", "x": "*{0}", "weight": "*{0}",
                           "out": "*{0}"},
    gpu._outer_products: {"sources": "*i32", "targets": "*i32", "starts": "*i32", "x": "*{0}",
                          "gradient": "*{0}", "out": "*fp32"},
}
for kernel, pointers in KERNELS.items():
    signature = dict.fromkeys(kernel.arg_names, "i32") | dict.fromkeys(BLOCKS, "constexpr")
    for dtype in ("fp32", "bf16", "fp16"):
        signature |= {name: kind.format(dtype) for name, kind in pointers.items()}
        for generation in (80, 90):
            source = ASTSource(fn=kernel, signature=signature, constexprs=BLOCKS)
            done = triton.compile(source, target=GPUTarget("cuda", generation, 32))
            print(kernel.__name__, dtype, generation, "mma" in done.asm["ptx"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not BACKENDS["gpu"].installed, reason="not installed")
def test_kernels_compile_for_tensor_cores(tmp_path):
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 12
    assert all(mma == "True" for _, dtype, _, mma in lines if dtype != "fp32")
