"""Fast vision towers, from Hugging Face checkpoints: Qwen3-VL, Qwen2.5-VL and Kimi-K2.5, on the CPU and on CUDA."""

from __future__ import annotations

from optimized.towers.checkpoint import read_config
from optimized.towers.qwen3_vl import Qwen3VLTower
from plumbline.interface import BadCheckpoint, Checkpoint, DevicePort, LoadedTower

QWEN3 = ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe")
"""Families whose towers are one."""


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    """The tower in ``checkpoint.folder``, on the port's device. Raises BadCheckpoint."""
    raw = read_config(checkpoint.folder)
    vision = raw.get("vision_config", raw)
    model = str(raw.get("model_type", "")).removesuffix("_vision")
    if model in QWEN3:
        return Qwen3VLTower(checkpoint, port, vision)
    raise BadCheckpoint(f"no tower of the family {model!r}", where="config.json")
