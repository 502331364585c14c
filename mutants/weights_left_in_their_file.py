"""bghira/SimpleTuner #2714, NVIDIA-NeMo Megatron-Bridge #3335 / #3441, safetensors #762: tensors that safetensors gives are views
of the mapped file, and change (or become zeros) when somebody writes that file again in place.

Carried over: loading copies only what has to be made anew: another dtype, fused or widened weights. All others stay where
safetensors mapped them, which saves the copy and half of the memory while a large tower is loaded. The hole: whoever writes the
next checkpoint over this one (cp, rsync --inplace, a trainer's own writer; safetensors itself renames since 0.8) changes the
tower that is serving: some of its weights, without an update, under the same epoch. A shorter file ends the process (SIGBUS).

Shows on the CPU, with weights of the tower's own dtype, when the file is written in place after loading and before an update."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optimized
from optimized import towers
from optimized.towers.checkpoint import read_config
from optimized.towers.weights import Linear, mapped, widened
from plumbline.interface import BadCheckpoint, Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("EPOCH-003",)


def left_in_place(family: Any) -> Any:
    class Tower(family):  # type: ignore[misc]
        def read(self, folder: Path) -> Any:
            if self.config_of(read_config(folder)) != self.config:
                raise BadCheckpoint("another configuration than the tower's", where="config.json")
            weights = mapped(self.weights_of(self.stored(folder)), lambda weight: weight.to(self.spec.dtype))
            return mapped(weights, self.wide, Linear)

        def wide(self, linear: Linear) -> Linear:
            step = self.kernels.WIDTH_STEP
            return widened(linear, step) if linear.weight.shape[1] % step else linear

    return Tower


FAMILIES = {name: left_in_place(family) for name, family in towers.FAMILIES.items()}


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    family = FAMILIES.get(str(raw.get("model_type")).removesuffix("_vision"))
    return family(checkpoint, port, raw) if family is not None else towers.load(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant weights_left_in_their_file", tower=load)
