"""Reads a checkpoint with Hugging Face names: ``config.json`` and ``*.safetensors``, of a tower alone or of a whole model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from safetensors import SafetensorError, safe_open
from torch import Tensor

from plumbline.interface import BadCheckpoint

C = TypeVar("C")


def read_json(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A file of the folder as it is. Raises BadCheckpoint."""
    try:
        raw = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"cannot be read: {error}", where=name) from error
    if not isinstance(raw, dict):
        raise BadCheckpoint("is not an object", where=name)
    return raw


def vision_part(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The vision configuration, which is a part of a whole model's. Its rotation is spelled out, as ``rope_theta``.
    What is said beside it is of other parts. NUM-009."""
    vision: dict[str, Any] = raw.get("vision_config", raw)
    require({"vision_config must be an object": isinstance(vision, dict)})
    rope = vision.get("rope_parameters") or {}
    require({"rope_parameters must be an object": isinstance(rope, dict)})
    require({"rope_type must be axial": rope.get("rope_type", "axial") in ("axial", "default")})
    # As transformers: where both say it, that of the rotation holds.
    return {"rope_theta": 10_000.0} | vision | {name: rope[name] for name in ("rope_theta",) if name in rope}


def build(kind: type[C], raw: Mapping[str, Any]) -> C:
    """A configuration out of the fields of ``raw`` that it names; lists become tuples. Raises BadCheckpoint."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if absent := [name for name in names if name not in raw]:
        raise BadCheckpoint(f"no {', '.join(absent)}", where="config.json")
    hints = get_type_hints(kind)
    require({f"{name} must be {WANTED.get(hints[name], LIST)}": fits(raw[name], hints[name]) for name in names})
    return kind(**{name: tuple(raw[name]) if isinstance(raw[name], list) else raw[name] for name in names})


WANTED = {int: "a whole number of at least 1", float: "a number above 0"}
LIST = "a list of whole numbers"


def fits(value: object, kind: object) -> bool:
    """Whether a field of a configuration can have this value. kind: of the field, a key of ``WANTED`` or a tuple of int."""
    if kind in WANTED:
        return type(value) in (int, kind) and value > 0  # type: ignore[operator]
    return isinstance(value, list) and all(type(index) is int and index >= 0 for index in value)


def require(rules: Mapping[str, bool]) -> None:
    """Raises BadCheckpoint with the first rule that does not hold."""
    for rule, holds in rules.items():
        if not holds:
            raise BadCheckpoint(rule, where="config.json")


def read_weights(folder: Path, inside: str) -> dict[str, Tensor]:
    """All weights of the tower, by name, in the stored dtype and on the CPU.

    inside: a pattern of the names that a whole model gives to the tower's weights; its group is the name here. A
    checkpoint without any such name is that of the tower alone. Raises BadCheckpoint.
    """
    try:
        files: list[Any] = [safe_open(path, framework="pt") for path in weight_files(folder)]
        stored = {name: file for file in files for name in file.keys()}  # noqa: SIM118
        names = {match[1]: name for name in stored if (match := re.fullmatch(inside, name))}
        return {
            short: stored[name].get_tensor(name) for short, name in (names or {name: name for name in stored}).items()
        }
    except (OSError, SafetensorError) as error:
        raise BadCheckpoint(f"cannot be read: {error}", where=folder.name) from error


INDEX = "model.safetensors.index.json"


def weight_files(folder: Path) -> list[Path]:
    """One file of all weights, else those that the index names, else all; what lies beside may be of other weights.

    As transformers reads them. Raises BadCheckpoint. NUM-008.
    """
    if (folder / "model.safetensors").exists():
        return [folder / "model.safetensors"]
    if not (folder / INDEX).exists():
        return sorted(folder.glob("*.safetensors"))
    named = read_json(folder, INDEX).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise BadCheckpoint("weight_map must be an object of file names", where=INDEX)
    return [folder / name for name in sorted(set(named.values()))]


def check_shapes(weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], folder: Path) -> None:
    """Raises BadCheckpoint unless there are exactly the weights of ``shapes``. NUM-007."""
    for what, names in {
        "missing": shapes.keys() - weights.keys(),
        "unexpected": weights.keys() - shapes.keys(),
    }.items():
        if names:
            raise BadCheckpoint(f"{len(names)} weights {what}: {', '.join(sorted(names)[:5])}", where=folder.name)
    for name, weight in weights.items():
        if tuple(weight.shape) != shapes[name]:
            raise BadCheckpoint(f"shape {tuple(weight.shape)}, expected {shapes[name]}", where=name)
