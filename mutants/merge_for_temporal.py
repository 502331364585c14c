"""vLLM #37439, transformers #43659 (both merged): ``merge_size`` stands where ``temporal_patch_size`` is meant; both are 2.

Here: the shape of a patch, (channels, frames, height, width), takes its frames from ``spatial_merge_size``.
Shows: a Qwen2.5-VL or Qwen3-VL checkpoint whose two sizes differ (``temporal_patch_size`` 1 or 4 with 2, say) is refused with
BadCheckpoint, as if its patch embedding had a wrong shape. All published ones load and are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import optimized
from optimized import towers
from optimized.towers import qwen2_5_vl, qwen3_vl
from optimized.towers.checkpoint import read_config
from optimized.towers.qwen import QwenConfig
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006",)


def patch(config: QwenConfig) -> tuple[int, int, int, int]:
    return config.in_channels, config.spatial_merge_size, config.patch_size, config.patch_size


class Config25(qwen2_5_vl.Config):
    patch = property(patch)


class Config3(qwen3_vl.Config):
    patch = property(patch)


class Tower25(qwen2_5_vl.Qwen25VLTower):
    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> qwen2_5_vl.Config:
        return Config25(**vars(qwen2_5_vl.Qwen25VLTower.config_of(raw)))


class Tower3(qwen3_vl.Qwen3VLTower):
    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> qwen3_vl.Config:
        return Config3(**vars(qwen3_vl.Qwen3VLTower.config_of(raw)))


FAMILIES: dict[str, Any] = {"qwen2_5_vl": Tower25} | dict.fromkeys(
    ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"), Tower3
)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    family = FAMILIES.get(str(raw.get("model_type")).removesuffix("_vision"))
    return towers.load(checkpoint, port) if family is None else family(checkpoint, port, raw)


implementation = dataclasses.replace(optimized.implementation, name="mutant merge_for_temporal", tower=load)
