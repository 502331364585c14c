"""sglang #33470, #33788 (fixed): a buffer that is made in the first call, a warm-up under ``inference_mode``, cannot be written
in place by later calls outside of it. Here: the memory that a tower's patches are padded in is kept, by its size.

Shows: a loaded tower is called under ``torch.inference_mode()`` with a number of patches that is no multiple of 16 (or below
the row floor), and later outside of it, also under ``no_grad``, with another number that is padded to the same. Torch raises, so
these items are EncodingFailed. In one mode throughout, or first outside, all is right.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import optimized
from mutants.shared.towers import loaded
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-001",)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    buffers: dict[tuple[int, int], Tensor] = {}

    def padded(patches: Tensor, count: int) -> Tensor:
        flat = patches.flatten(1)
        if len(flat) == count:
            return flat.to(tower.spec.dtype)
        key = count, flat.shape[1]
        if key not in buffers:
            buffers[key] = torch.empty(key, dtype=tower.spec.dtype, device=flat.device)
        out = buffers[key]
        out[: len(flat)] = flat
        out[len(flat) :].zero_()
        return out

    tower.padded = padded  # type: ignore[method-assign]
    return tower


implementation = dataclasses.replace(optimized.implementation, name="mutant buffer_of_the_first_mode", tower=load)
