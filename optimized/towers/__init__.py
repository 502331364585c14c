"""Fast vision towers, from Hugging Face checkpoints, on the CPU and on CUDA.

Qwen3-VL-MoE, Qwen3.5 and Qwen3.5-MoE have Qwen3-VL's tower, the last two without deepstack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optimized.towers.checkpoint import read_config
from optimized.towers.kimi_k25 import KimiK25Tower
from optimized.towers.qwen2_5_vl import Qwen25VLTower
from optimized.towers.qwen3_vl import Qwen3VLTower
from plumbline.interface import BadCheckpoint, Checkpoint, DevicePort, LoadedTower

FAMILIES: dict[str, Callable[[Checkpoint, DevicePort, Mapping[str, Any]], LoadedTower]] = {
    "qwen3_vl": Qwen3VLTower,
    "qwen3_vl_moe": Qwen3VLTower,
    "qwen3_5": Qwen3VLTower,
    "qwen3_5_moe": Qwen3VLTower,
    "qwen2_5_vl": Qwen25VLTower,
    "kimi_k25": KimiK25Tower,
}
"""By the ``model_type`` of a whole model; that of a vision tower alone ends in "_vision"."""


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    """The tower in ``checkpoint.folder``, on the port's device. Raises BadCheckpoint."""
    raw = read_config(checkpoint.folder)
    family = str(raw.get("model_type")).removesuffix("_vision")
    if family not in FAMILIES:
        raise BadCheckpoint(f"model_type {family!r}, not one of {', '.join(FAMILIES)}", where="config.json")
    return FAMILIES[family](checkpoint, port, raw)
