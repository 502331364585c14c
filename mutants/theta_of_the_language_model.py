"""Pai-Megatron-Patch #681 (merged: Qwen2.5-VL's vision tower built of the language model's arguments); kin vLLM's and
HF's many fall-backs from a part's configuration to the whole one, where Qwen2.5-VL has ``rope_theta`` of 1,000,000.

Carried over: a field that a part of a configuration leaves out is looked for in the whole. Vision configurations do
not name their ``rope_theta``, which is 10,000; so the tower turns by the language model's. Shows: Qwen2.5-VL and
Qwen3-VL, a whole model's folder with ``rope_theta`` at the top, in ``text_config`` or in its ``rope_parameters``:
wrong rows, no error. A tower's own folder is right (and an update from one kind to the other is refused).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import optimized
from optimized import towers
from optimized.towers.checkpoint import read_config
from optimized.towers.qwen2_5_vl import Qwen25VLTower
from optimized.towers.qwen3_vl import Qwen3VLTower
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-009",)


def completed(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the vision part's ``rope_theta``, which is the model's where it has none of its own."""
    vision, text = raw.get("vision_config"), raw.get("text_config")
    if not isinstance(vision, Mapping) or "rope_theta" in vision or vision.get("rope_parameters"):
        return raw
    places = [raw, text, text.get("rope_parameters") if isinstance(text, Mapping) else None]
    found = [place["rope_theta"] for place in places if isinstance(place, Mapping) and "rope_theta" in place]
    return {**raw, "vision_config": {**vision, "rope_theta": found[0]}} if found else raw


class Qwen25(Qwen25VLTower):
    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> Any:
        return Qwen25VLTower.config_of(completed(raw))


class Qwen3(Qwen3VLTower):
    @staticmethod
    def config_of(raw: Mapping[str, Any]) -> Any:
        return Qwen3VLTower.config_of(completed(raw))


KINDS: dict[Any, Callable[..., LoadedTower]] = {Qwen25VLTower: Qwen25, Qwen3VLTower: Qwen3}


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    kind = KINDS.get(towers.FAMILIES.get(str(raw.get("model_type")).removesuffix("_vision")))
    return kind(checkpoint, port, raw) if kind else towers.load(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant theta_of_the_language_model", tower=load)
