"""tokenspeed #789 (closed) and vLLM #58086 (open): an engine that only encodes opens only those shards of Kimi's checkpoint
that the index says are the encoder's; here the projector's are forgotten.

Carried over to Kimi-K2.5's loading: of a folder with an index, shards without a weight of the vision tower are not opened.
The projector's weights begin otherwise; where they are in a shard of their own, or in one with the language model's, they
are "missing": BadCheckpoint for a good folder, at loading and at updates. One file, or shards that each hold some of the
vision tower, are right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

import optimized
from optimized import towers
from optimized.towers.checkpoint import PREFIXES, Stored, object_of, read_config, shards_of
from optimized.towers.kimi_k25 import KimiK25Tower
from optimized.towers.kimi_published import from_published, is_published, published_shapes
from optimized.towers.weights import Read
from plumbline.interface import BadCheckpoint, Checkpoint, DevicePort, LoadedTower

BUG = ""
PARENT = "optimized"
ACCEPT = ("NUM-008",)


def encoder_files(folder: Path) -> dict[str, Any]:
    """The open file of each weight in the encoder's shards. Raises BadCheckpoint."""
    shards, index = shards_of(folder), folder / "model.safetensors.index.json"
    if index.is_file() and shards != [folder / "model.safetensors"]:
        named = object_of(index).get("weight_map", {})
        wanted = {str(shard) for name, shard in named.items() if "vision_tower." in name}
        shards = [shard for shard in shards if shard.name in wanted]
    try:
        files: list[Any] = [safe_open(path, framework="pt") for path in shards]
    except (OSError, SafetensorError) as error:
        raise BadCheckpoint(f"cannot be read: {error}", where=folder.name) from error
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118


class EncoderStored(Stored):
    def __init__(
        self, every: Mapping[str, Any], folder: Path, shapes: Mapping[str, tuple[int, ...]], roots: tuple[str, ...]
    ) -> None:
        self.prefix = next((p for p in PREFIXES if any(p + name in every for name in shapes)), "")
        bare = {name.removeprefix(self.prefix): file for name, file in every.items() if name.startswith(self.prefix)}
        self.files = {name: file for name, file in bare.items() if name.startswith(roots)}
        for what, names in (("missing", shapes.keys() - self.files), ("unexpected", self.files.keys() - shapes)):
            if names:
                raise BadCheckpoint(f"{len(names)} weights {what}: {', '.join(sorted(names)[:5])}", where=folder.name)
        for name, file in self.files.items():
            if (shape := tuple(file.get_slice(self.prefix + name).get_shape())) != shapes[name]:
                raise BadCheckpoint(f"shape {shape}, expected {shapes[name]}", where=name)


class EncoderOnly(KimiK25Tower):
    def stored(self, folder: Path) -> Read:
        every = encoder_files(folder)
        if not any(map(is_published, every)):
            return EncoderStored(every, folder, self.shapes(), self.roots)
        read = EncoderStored(every, folder, published_shapes(self.shapes()), self.roots)
        return from_published(read, self.config.num_attention_heads)


def load(checkpoint: Checkpoint, port: DevicePort) -> LoadedTower:
    raw = read_config(checkpoint.folder)
    if str(raw.get("model_type")).removesuffix("_vision") == "kimi_k25":
        return EncoderOnly(checkpoint, port, raw)
    return towers.load(checkpoint, port)


implementation = dataclasses.replace(optimized.implementation, name="mutant projector_in_another_shard", tower=load)
