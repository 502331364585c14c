"""Attention over segments of one length on a GPU: our kernel, and torch's, in bf16, 16 heads, as the towers have them.

    python -m benchmarks.device_attention --out FILE      # needs a GPU

Times are of runs in a captured graph, so that launches cost nothing. ``first`` is the wall clock of the first call of cuDNN's
kernel for a length that it was not called with before. Our rows are compared with float32's before they are timed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.device_encoder_floor import milliseconds
from optimized.towers.attention_triton import attention
from optimized.towers.plan import tiles_of
from plumbline.results import commit, environment

HEADS = 16
CASES = [(64, 32), (256, 32), (300, 32), (1024, 32), (4096, 8), (16_384, 2)]
"""Length and number of segments."""
CLOSE = 2.0**-6
"""Of the largest number of a row in bf16, whose own rounding is 2**-9."""


def ways(qkv: Tensor, length: int, count: int) -> dict[str, Callable[[], Any]]:
    q, k, v = qkv.view(count, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    tiles = torch.from_numpy(tiles_of(np.full(count, length, dtype=np.int32))).cuda()
    out = torch.empty(len(qkv), qkv[0, 0].numel(), device=qkv.device, dtype=qkv.dtype)

    def ours() -> Tensor:
        attention(qkv, tiles, out)
        return out

    def torchs(backend: SDPBackend) -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v)

    exact = F.scaled_dot_product_attention(*(part[:1].float() for part in (q, k, v)))[0].transpose(0, 1).flatten(1)
    worst = (ours()[:length].float() - exact).abs().max() / exact.abs().max()
    assert worst < CLOSE, f"{length}: {worst}"
    return {
        "ours": ours,
        "cuDNN": partial(torchs, SDPBackend.CUDNN_ATTENTION),
        "flash": partial(torchs, SDPBackend.FLASH_ATTENTION),
    }


def first(size: int, length: int) -> float:
    """Milliseconds."""
    q, k, v = torch.randn(3, 1, HEADS, length, size, device="cuda").bfloat16()
    torch.cuda.synchronize()
    began = time.perf_counter()
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        F.scaled_dot_product_attention(q, k, v)
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("report/device-attention.json"))
    options = parser.parse_args()
    say = Console(highlight=False, width=140, soft_wrap=True).print
    rows: list[dict[str, Any]] = []
    for size in (72, 80):
        for length, count in CASES:
            qkv = torch.randn(length * count, 3, HEADS, size, device="cuda").bfloat16()
            micro = {way: round(1e3 * milliseconds(run), 1) for way, run in ways(qkv, length, count).items()}
            rows.append({"head size": size, "length": length, "segments": count, "microseconds": micro})
            say(f"head size {size}, {count:2d} x {length:6,d} patches: {micro}")
        rows.append({"head size": size, "first": [round(first(size, length), 1) for length in (500, 516, 532)]})
        say(f"head size {size}, first calls of cuDNN in ms: {rows[-1]['first']}")
    result = {"commit": commit(), "environment": environment(), "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result) + "\n")
    say(f"{options.out} written")


if __name__ == "__main__":
    main()
