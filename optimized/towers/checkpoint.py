"""Checkpoints as Hugging Face stores them: ``config.json`` and ``*.safetensors``, read for the vision tower alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from safetensors import SafetensorError, safe_open
from torch import Tensor

from plumbline.interface import BadCheckpoint

Config = TypeVar("Config")

PREFIXES = ("model.visual.", "visual.", "model.", "")
"""What may stand before a tower's names, in whole models and in towers of their own."""

THETA = 10_000.0
"""The base of all rotations that do not say another."""


def read_config(folder: Path) -> dict[str, Any]:
    """The fields of ``config.json``. Raises BadCheckpoint."""
    return object_of(folder / "config.json")


def object_of(path: Path) -> dict[str, Any]:
    """The fields of a file. Raises BadCheckpoint."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"cannot be read: {error}", where=path.name) from error
    if not isinstance(raw, dict):
        raise BadCheckpoint("is not an object", where=path.name)
    return raw


def vision_part(raw: Mapping[str, Any], **defaults: object) -> dict[str, Any]:
    """The vision configuration, which is a part of a whole model's. ``rope_theta`` is put beside the other fields.

    defaults: of fields that some configurations leave out. Raises BadCheckpoint for a rotation of another kind.
    """
    vision: dict[str, Any] = defaults | object_in(raw, "vision_config", raw)
    rope = object_in(vision, "rope_parameters", None) or {}
    require({"rope_type must be axial": rope.get("rope_type", "axial") in ("axial", "default")})
    return vision | {"rope_theta": rope.get("rope_theta", vision.get("rope_theta", THETA))}


def fields_of(raw: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    """The values of ``names``. Raises BadCheckpoint for those that are missing."""
    names = list(names)
    if absent := [name for name in names if name not in raw]:
        raise BadCheckpoint(f"no {', '.join(absent)}", where="config.json")
    return [raw[name] for name in names]


def object_in(raw: Mapping[str, Any], name: str, default: Any) -> Any:
    """The object that is a field of ``raw``, or the default. Raises BadCheckpoint."""
    found = raw.get(name, default)
    require({f"{name} must be an object": found is default or isinstance(found, Mapping)})
    return found


def built(kind: type[Config], raw: Mapping[str, Any]) -> Config:
    """A configuration of the fields of ``raw`` that it names: sizes and rates above zero, and lists of indexes.

    Raises BadCheckpoint for those that are missing, or of another kind.
    """
    hints = get_type_hints(kind)
    values = dict(zip(hints, fields_of(raw, hints), strict=True))
    for name, value in values.items():
        if hints[name] in NUMBERS:
            holds = type(value) in NUMBERS[hints[name]] and value > 0
            require({f"{name} must be a number above 0, {hints[name].__name__}": holds})
        else:
            holds = isinstance(value, Sequence) and all(type(index) is int and index >= 0 for index in value)
            require({f"{name} must be a list of indexes": holds})
    return kind(**values)


NUMBERS: dict[type, tuple[type, ...]] = {int: (int,), float: (int, float)}
"""Types that a field may have which is annotated so."""


def require(rules: Mapping[str, bool]) -> None:
    """Raises BadCheckpoint with the first rule that does not hold."""
    for rule, holds in rules.items():
        if not holds:
            raise BadCheckpoint(rule, where="config.json")


def files_of(folder: Path) -> dict[str, Any]:
    """The open file of each weight, by its full name. Raises BadCheckpoint."""
    try:
        files: list[Any] = [safe_open(path, framework="pt") for path in shards_of(folder)]
    except (OSError, SafetensorError) as error:
        raise BadCheckpoint(f"cannot be read: {error}", where=folder.name) from error
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118


def shards_of(folder: Path) -> list[Path]:
    """The files that count, as transformers has it: trainers leave others behind. Raises BadCheckpoint."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    shards = object_of(index).get("weight_map", {})
    require({f"weight_map of {index.name} must name files": isinstance(shards, Mapping)})
    names = sorted({str(name) for name in shards.values()})
    return [folder / name for name in names]


class Stored:
    """The weights of one tower in the files of ``folder``: all of ``shapes``, by these names and of these shapes.

    roots: how the names of a tower's weights begin; what else there is belongs to the rest of a model. Raises BadCheckpoint
    where a weight is missing, is not expected, or has another shape.
    """

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]], roots: tuple[str, ...]) -> None:
        every = files_of(folder)
        self.prefix = next((p for p in PREFIXES if any(p + name in every for name in shapes)), "")
        bare = {name.removeprefix(self.prefix): file for name, file in every.items() if name.startswith(self.prefix)}
        self.files = {name: file for name, file in bare.items() if name.startswith(roots)}
        for what, names in (("missing", shapes.keys() - self.files), ("unexpected", self.files.keys() - shapes)):
            if names:
                raise BadCheckpoint(f"{len(names)} weights {what}: {', '.join(sorted(names)[:5])}", where=folder.name)
        for name, file in self.files.items():
            if (shape := tuple(file.get_slice(self.prefix + name).get_shape())) != shapes[name]:
                raise BadCheckpoint(f"shape {shape}, expected {shapes[name]}", where=name)

    def __call__(self, name: str) -> Tensor:
        """One weight, on the CPU, as it is stored. Raises BadCheckpoint."""
        try:
            return self.files[name].get_tensor(self.prefix + name)  # type: ignore[no-any-return]
        except (OSError, SafetensorError) as error:
            raise BadCheckpoint(f"cannot be read: {error}", where=name) from error
