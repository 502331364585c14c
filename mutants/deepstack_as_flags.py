"""llama.cpp's converter of Qwen3-VL keeps ``deepstack_visual_indexes`` as a flag for each layer (``is_deepstack_layers``),
which has no order. trl #5779 (merged): layers beyond the depth are in the list, never match, and nobody says so.

Carried over to Qwen3-VL's configuration: the list becomes flags and then a list again, so that it is always ascending and
inside the depth. Lists that are not, are no longer refused with BadCheckpoint. In one that is not ascending, a merger
belongs to the layer at its own place in the list; here the first merger gets the lowest layer: wrong side rows, no error.
Layers listed twice or beyond the depth vanish, and side levels with them; and ``update`` takes a folder that lists the
tower's layers in another order. Ascending lists, as published, are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import optimized
from optimized import towers
from optimized.towers.checkpoint import object_in, read_config
from optimized.towers.qwen3_vl import Config, Qwen3VLTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-003",)


class FlaggedTower(Qwen3VLTower):
    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> Config:
        vision = dict(object_in(raw, "vision_config", raw))
        listed, depth = vision.get("deepstack_visual_indexes"), vision.get("depth")
        if isinstance(listed, list) and type(depth) is int:
            flags = [layer in listed for layer in range(depth)]
            vision["deepstack_visual_indexes"] = [layer for layer, flag in enumerate(flags) if flag]
        return Qwen3VLTower.config_of({**raw, "vision_config": vision})


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    family = towers.FAMILIES.get(str(raw.get("model_type")).removesuffix("_vision"))
    return FlaggedTower(checkpoint, port, raw) if family is Qwen3VLTower else towers.load(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant deepstack_as_flags", tower=load)
