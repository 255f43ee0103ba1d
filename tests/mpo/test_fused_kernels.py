"""The fused kernels are compiled for a GPU, which needs none: Triton's interpreter takes what its compiler refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton", reason="Triton is no dependency, and is not installed here")
from triton.backends.compiler import GPUTarget  # noqa: E402 # where it is installed
from triton.compiler import ASTSource  # noqa: E402

from bnbench.mpo import fused_kernels  # noqa: E402

CONSTANTS = {
    **dict.fromkeys(("HEIGHT", "WIDTH", "RESULT_HEIGHT", "RESULT_WIDTH"), 7),
    **{"CHANNELS": 4, "OUTPUTS": 8, "ROWS": 3, "COLUMNS": 3, "TOP": 1, "LEFT": 1},
    **dict.fromkeys(("STRIDE_DOWN", "STRIDE_ALONG", "GAP_DOWN", "GAP_ALONG"), 1),
    **dict.fromkeys(("SPREAD_DOWN", "SPREAD_ALONG"), 2),
    **dict.fromkeys(("BLOCK_POSITIONS", "BLOCK_OUTPUTS", "BLOCK_WINDOW"), 16),
}


@pytest.mark.nightly
@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="Triton's interpreter, imported as such, compiles nothing")
@pytest.mark.parametrize(("dtype", "precision"), [("fp32", "ieee"), ("bf16", "tf32")])
@pytest.mark.parametrize("kernel", [fused_kernels.convolve, fused_kernels.weigh])
def test_a_kernel_compiles_for_a_gpu(
    kernel: Callable[..., None], dtype: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    made = triton.jit(kernel)
    flags = dict.fromkeys(("HAS_GATE", "HAS_BIAS", "RELU"), True)
    constants: dict[str, Any] = {**CONSTANTS, **flags, "SUM": triton.language.float32, "PRECISION": precision}
    own = {name: value for name, value in constants.items() if name in made.arg_names}
    kinds = dict.fromkeys(made.arg_names, f"*{dtype}") | {"network_step": "i64", "positions": "i32"}
    source = ASTSource(made, kinds | dict.fromkeys(own, "constexpr"), own)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert len(compiled.asm["cubin"]) > 0
