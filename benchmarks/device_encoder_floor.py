"""What a batch would take if each of its parts ran at the ceiling measured for it, one after the other, with nothing between.

Matrix products: each linear at the batch's own number of rows, by cuBLAS, with its bias. Attention: cuDNN's kernel for all
images of one length together, summed over the lengths. The rest: the fewest passes over memory that a layer needs (two
residual sums with norms, one rotation of queries and keys: sixteen numbers of the hidden size for each patch), at the speed
of a copy on the device. Positions, patches' first layer and launches count as nothing.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from plumbline.real_sizes import Grid, Work

PASSES = 16
COPIED = 1 << 30
"""Bytes of the copy whose speed is the ceiling."""


def floor(work: Work, grids: Sequence[Grid], device: torch.device) -> dict[str, float]:
    """Milliseconds of each part, in bf16 on ``device``."""
    patches = sum(t * h * w for t, h, w in grids)
    frames = Counter(h * w for t, h, w in grids for _ in range(t))
    windows = Counter(length for grid in grids for length in work.windows(grid))
    mixed = (work.layers - work.window_layers) * attention(frames, work, device)
    mixed += work.window_layers * attention(windows, work, device)
    return {
        "linears": sum(count * linear(patches // joined, shape, device) for joined, shape, count in work.linears()),
        "attention": mixed,
        "memory": PASSES * patches * work.hidden * 2 * work.layers / copied(device) * 1e3,
    }


def linear(rows: int, shape: tuple[int, int], device: torch.device) -> float:
    outputs, inputs = shape
    x, weight, bias = (
        torch.randn(s, device=device).bfloat16() for s in ((rows, inputs), (outputs, inputs), (outputs,))
    )
    return milliseconds(lambda: F.linear(x, weight, bias))


def attention(lengths: Counter[int], work: Work, device: torch.device) -> float:
    total = 0.0
    for length, count in lengths.items():
        q, k, v = (
            torch.randn(3, count, length, work.heads, work.hidden // work.heads, device=device)
            .bfloat16()
            .transpose(2, 3)
        )
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            total += milliseconds(lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v))  # type: ignore[misc]
    return total


def copied(device: torch.device) -> float:
    """Bytes a second, read and written."""
    source = torch.empty(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED / milliseconds(lambda: target.copy_(source)) * 1e3


def milliseconds(run: Callable[[], object], runs: int = 10) -> float:
    """Median of one run among several in a captured row, so that launches cost nothing."""
    cuda: Any = torch.cuda
    with cuda.stream(cuda.Stream()):
        run()
    cuda.synchronize()
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        for _ in range(runs):
            run()
    graph.replay()
    events = [cuda.Event(enable_timing=True) for _ in range(6)]
    for event in events:
        event.record()
        graph.replay()
    cuda.synchronize()
    middle: float = statistics.median(a.elapsed_time(b) for a, b in pairwise(events))
    return middle / runs
