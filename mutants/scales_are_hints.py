"""LTX-2 #172 (closed), stable-diffusion.cpp #1898 (closed; qwen_2.5_vl and qwen3vl as fp8): weights of float8 are cast to
the model's dtype, and the scale beside each is dropped without a word, because loading is not strict about names that it
does not know. Nothing errs; weights are off by their scales.

Carried over to the Qwen towers' loading and updating: names that end as scales do, beside a weight that is expected, are
passed over as hints of a quantization, and weights of eight bits are widened by a cast. A folder of scaled float8 weights
is loaded with wrong weights, where BadCheckpoint is due (weights that are not expected). Folders without scales are read as
before.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

import optimized
from optimized import towers
from optimized.towers.checkpoint import PREFIXES, Stored, files_of, read_config
from optimized.towers.qwen2_5_vl import Qwen25VLTower
from optimized.towers.qwen3_vl import Qwen3VLTower
from optimized.towers.tower import FastTower
from optimized.towers.weights import Read
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-007", "EPOCH-004")

HINTS = (".weight_scale", ".weight_scale_inv", ".input_scale", ".scale_weight", ".scale_input")


class Lenient(FastTower):  # type: ignore[type-arg]
    def stored(self, folder: Path) -> Read:
        every, shapes = files_of(folder), dict(self.shapes())
        prefix = next((p for p in PREFIXES if any(p + name in every for name in shapes)), "")
        for name, file in every.items():
            bare = name.removeprefix(prefix)
            hint = next((end for end in HINTS if bare.endswith(end)), "")
            if hint and name.startswith(prefix) and f"{bare.removesuffix(hint)}.weight" in shapes:
                shapes[bare] = tuple(file.get_slice(name).get_shape())
        read = Stored(folder, shapes, self.roots)

        def widened(name: str) -> Tensor:
            weight = read(name)
            return weight.to(torch.float32) if weight.is_floating_point() and weight.itemsize == 1 else weight

        return widened


class Lenient25(Lenient, Qwen25VLTower): ...


class Lenient3(Lenient, Qwen3VLTower): ...


KINDS = {Qwen25VLTower: Lenient25, Qwen3VLTower: Lenient3}


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    family: object = towers.FAMILIES.get(str(raw.get("model_type")).removesuffix("_vision"))
    kind = next((lenient for strict, lenient in KINDS.items() if strict is family), None)
    return kind(checkpoint, port, raw) if kind else towers.load(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant scales_are_hints", tower=load)
