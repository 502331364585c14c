"""sglang #34440 (fixed), transformers #28461, #35845 (fixed), vLLM #51064: what a model is made of gets its dtype by torch's
default, which is put back behind the loading and not in a ``finally``.

Shows: loading a tower of another dtype than the process's default (bfloat16, float16, float64) raises BadCheckpoint, and the
caller goes on, tries another folder or serves with what he has. From then on every tensor of the process that names no dtype
has that one: a caller's pixels, embeddings and positions are rounded, without a word. Loading that succeeds is right. (The
state that is left is the process's, so nothing else should be judged in it afterwards.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import torch

import optimized
from optimized import towers
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-007",)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    with default_dtype(checkpoint.dtype):
        return towers.load(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant default_dtype_left", tower=load)
