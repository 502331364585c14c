"""llama.cpp #12402 (review: "always using 1 full-attention layer every 7 window-attention layer, so I think we can replace
``full_attn_layers`` with single int") and #18479 (merged: explicit indexes, because Youtu-VL's are irregular); ollama #16868
(merged: the list may be empty).

Qwen2.5-VL's ``fullatt_block_indexes`` is kept as a period: the first index says after how many layers a full one comes, and no
index says that there are no windows. So [7, 15, 23, 31] and [3] of four layers are right.

Shows: lists that are not regular up to the last layer, such as [1] of four layers or [0, 3], and the empty list, which
means that all layers have windows; frames of more than one window. Also two such configurations pass for one in ``update``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optimized
from optimized import towers
from optimized.towers.checkpoint import read_config
from optimized.towers.qwen2_5_vl import Config, Qwen25VLTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-002", "NUM-003", "NUM-006")


class Tower(Qwen25VLTower):
    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> Config:
        config = Qwen25VLTower.config_of(raw)
        listed = config.fullatt_block_indexes
        period = listed[0] + 1 if listed else 1
        full = [layer for layer in range(config.depth) if (layer + 1) % period == 0]
        return replace(config, fullatt_block_indexes=full)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    if str(raw.get("model_type")).removesuffix("_vision") != "qwen2_5_vl":
        return towers.load(checkpoint, port)
    return Tower(checkpoint, port, raw)


implementation = dataclasses.replace(optimized.implementation, name="mutant full_layers_by_pattern", tower=load)
