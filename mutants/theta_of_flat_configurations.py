"""SGLang #14815 (Pixtral) and transformers #43281 (Llama 4): transformers 5 writes a vision tower's ``rope_theta`` into
``rope_parameters``; loaders that looked for it beside the other fields fell back to 10,000, or failed. Here it is looked for
where transformers 4 wrote it, and its default is the one that nearly all towers have.

Shows with a configuration whose ``rope_parameters`` name another theta than 10,000 (and that has none beside them), and heads of
8 numbers or more, since smaller ones have one speed, which is 1 for any theta: the tower turns by other angles. Also, an update
from a folder that differs in that field alone is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import optimized
from optimized import towers
from optimized.towers.checkpoint import read_config
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-006",)


def flat(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration without a theta in ``rope_parameters``; what kind of rotation they say is still looked at."""
    vision = raw.get("vision_config", raw)
    rope = vision.get("rope_parameters") if isinstance(vision, Mapping) else None
    if not isinstance(rope, Mapping):
        return raw
    vision = {**vision, "rope_parameters": {name: value for name, value in rope.items() if name != "rope_theta"}}
    return {**raw, "vision_config": vision} if "vision_config" in raw else vision


def reading_flat(family: Any) -> Any:
    class Tower(family):  # type: ignore[misc]
        @staticmethod
        def config_of(raw: Mapping[str, Any]) -> Any:
            return family.config_of(flat(raw))

    return Tower


FAMILIES = {name: reading_flat(family) for name, family in towers.FAMILIES.items()}


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    family = FAMILIES.get(str(raw.get("model_type")).removesuffix("_vision"))
    return family(checkpoint, port, raw) if family is not None else towers.load(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant theta_of_flat_configurations", tower=load)
