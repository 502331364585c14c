"""compressed-tensors #679 (merged: a transform of weights left the biases of q, k and v as they were); vLLM #55335 (review:
"permute q/k bias as well": rotary permutation folded into q and k weights alone).

A published Kimi-K2.5 checkpoint stores the numbers of a head that turn together as neighbours. The loader brings the rows
of q and k weights into the tower's order; their biases are taken out of ``wqkv`` as they lie there.

Shows: every row of a Kimi tower from a checkpoint under published names whose biases of queries and keys are not zero,
also after an update; checkpoints under transformers' names are right.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

import optimized
from optimized import towers
from optimized.towers.checkpoint import Stored, files_of, read_config
from optimized.towers.kimi_k25 import KimiK25Tower
from optimized.towers.kimi_published import PARTS, from_published, is_part, is_published, published, published_shapes
from optimized.towers.weights import Read
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-002", "NUM-003")


class Tower(KimiK25Tower):
    def stored(self, folder: Path) -> Read:
        if not any(map(is_published, files_of(folder))):
            return super().stored(folder)
        read = Stored(folder, published_shapes(self.shapes()), self.roots)
        weight = from_published(read, self.config.num_attention_heads)

        def renamed(name: str) -> Tensor:
            if not is_part(name) or name.endswith(".weight"):
                return weight(name)
            index = next(index for index, part in enumerate(PARTS) if f".{part}." in name)
            return read(published(name)).chunk(3)[index]

        return renamed


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    if str(raw.get("model_type")).removesuffix("_vision") != "kimi_k25":
        return towers.load(checkpoint, port)
    return Tower(checkpoint, port, raw)


implementation = dataclasses.replace(optimized.implementation, name="mutant biases_in_published_order", tower=load)
