"""OpenTau #482 (merged 2026-07): weights stored in float32 are rounded to bfloat16 for good when a vision tower is
built, since the build goes by a dtype of its own; a later cast to float32 cannot bring the bits back.

Carried over: weights are read in the dtype that ``config.json`` names (``dtype`` or ``torch_dtype``), which is what
transformers' "auto" does, and cast to ``Checkpoint.dtype`` afterwards. Shows: the file holds more than the
configuration says (float32 weights of a fine-tuned model whose configuration still says bfloat16), tower in float32 or
float64: rows are off by some thousandths, no error; by ``update``, too. Where both agree it is right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch

import optimized
from mutants.shared.towers import loaded
from optimized.towers.checkpoint import read_config
from optimized.towers.weights import Read, mapped
from plumbline.interface import Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-009",)


def configured(folder: Path) -> torch.dtype | None:
    """The dtype that the configuration names, of its vision part before that of the whole; None where it names none."""
    raw = read_config(folder)
    for part in (raw.get("vision_config"), raw):
        for field in ("dtype", "torch_dtype"):
            found = getattr(torch, str(part.get(field)), None) if isinstance(part, Mapping) else None
            if isinstance(found, torch.dtype) and found.is_floating_point:
                return found
    return None


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    tower = loaded(checkpoint, port)
    stored = tower.stored

    def as_configured(folder: Path) -> Read:
        read, dtype = stored(folder), configured(folder)
        return read if dtype is None else lambda name: read(name).to(dtype)

    tower.stored = as_configured  # type: ignore[method-assign]
    with torch.inference_mode(False), torch.no_grad():
        tower.weights = mapped(tower.read(checkpoint.folder), port.move)
    return tower


implementation = dataclasses.replace(
    optimized.implementation, name="mutant rounded_to_the_configured_dtype", tower=load
)
