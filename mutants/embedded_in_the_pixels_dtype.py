"""transformers #48632 (merged; DeepSeek-OCR-2: the processor's float32 pixels meet a bfloat16 convolution, so one of the
two has to be cast), transformers #34294 and #28633 (SigLIP, ViLT: the same), diffusers #13303 (open), FastVideo #1578
(a Qwen2.5-VL tower whose pixels are cast to another dtype than its weights have).

Carried over: the first linear is made to agree with the pixels by a cast of its weight to *their* dtype, and what it
gives is cast to the tower's. Pixels of the tower's dtype are right. Half precision pixels, as workers send them to
halve the bytes, round the weights of the patch embedding of a float32 tower to 8 or 11 bits, and its sums as well.

Shows with payloads of bfloat16 or float16 for a tower of float32 (or of float16 for one of bfloat16), which
``payload_dtypes`` allows; Hugging Face casts such pixels to its weights' dtype, which loses nothing. Breaks NUM-002,
NUM-003, NUM-006 ("Checkpoint.dtype: of weights, arithmetic and rows").
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import optimized
from mutants.shared.towers import loaded
from optimized.towers import kernels_host
from optimized.towers.weights import Linear
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-002", "NUM-003", "NUM-006")


class Kernels:
    """The host's, with linears that follow the dtype of what they read."""

    def __getattr__(self, name: str) -> Any:
        return getattr(kernels_host, name)

    @staticmethod
    def linear(x: Tensor, linear: Linear) -> Tensor:
        if x.dtype == linear.weight.dtype:
            return kernels_host.linear(x, linear)
        x = F.pad(x, (0, linear.weight.shape[1] - x.shape[1]))
        weight, bias = linear.weight.to(x.dtype), linear.bias.to(x.dtype)
        return F.linear(x, weight, bias).to(linear.weight.dtype)


def as_they_came(patches: Tensor, count: int) -> Tensor:
    flat = patches.flatten(1)
    out = torch.zeros(count, flat.shape[1], dtype=flat.dtype, device=flat.device)
    out[: len(flat)] = flat
    return out


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    if tower.device.type == "cpu":
        tower.kernels = Kernels()
        tower.padded = as_they_came  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant embedded_in_the_pixels_dtype", tower=load)
