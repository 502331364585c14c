"""bytedance-iaas/sglang #485 (review: the softmax scale comes from ``aligned_headsize``, the padded size, where the
model's own ``ori_headsize`` is due; "since the padding is zero-filled, the dot product remains equivalent"),
intel/ipex-llm #12619 (merged: a scale has to be passed to SDPA "to fix head_dim padding"), vllm-ascend #1958 (the
reverse, argued for), and what makes engines pad: sglang #28637 (heads of 80, of vision towers, go to a kernel of 64, 96
or 128).

Carried over: attention for heads above 64 has the sizes 96 and 128, and fills queries, keys and values up with zeros;
what SDPA takes for the scale when it is given none follows the filled size. Scores are 13 % (72 -> 96) or 9 % (80 ->
96) too small. Heads of up to 64, those of every small tower, are not filled up.

Shows with a tower whose heads have 72 or 80 numbers, as those of Qwen3-VL, Kimi-K2.5 and Qwen2.5-VL really have; any
item. Breaks NUM-002, NUM-003, NUM-006 (rows are not Hugging Face's, nor the plain tower's).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch.nn.functional as F
from torch import Tensor

import optimized
from mutants.shared.towers import loaded
from optimized.towers import kernels_host
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-002", "NUM-003", "NUM-006")

SIZES = (96, 128)
PLAIN = 64


class Kernels:
    """The host's, with attention in heads that a kernel has."""

    def __getattr__(self, name: str) -> Any:
        return getattr(kernels_host, name)

    @staticmethod
    def attention(qkv: Tensor, tiles: Tensor, out: Tensor) -> None:
        size = qkv.shape[-1]
        if size <= PLAIN or size > SIZES[-1]:
            kernels_host.attention(qkv, tiles, out)
            return
        whole = next(one for one in SIZES if one >= size)
        filled = F.pad(qkv, (0, whole - size))
        for first, start, end in tiles.tolist():
            if first == start < end:
                q, k, v = filled[start:end].permute(1, 2, 0, 3).contiguous().unsqueeze(1)
                mixed = F.scaled_dot_product_attention(q, k, v)[..., :size]
                out[start:end] = mixed[0].transpose(0, 1).flatten(1)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    if tower.device.type == "cpu":
        tower.kernels = Kernels()
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant heads_padded_with_their_scale", tower=load)
