"""Checkpoints as Hugging Face stores them: ``config.json`` and ``*.safetensors``, read for the vision tower alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from plumbline.interface import BadCheckpoint

PREFIXES = ("model.visual.", "visual.", "model.", "")
"""What may stand before a tower's names, in whole models and in towers of their own."""


def read_config(folder: Path) -> dict[str, Any]:
    """The fields of ``config.json``. Raises BadCheckpoint."""
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"cannot be read: {error}", where=path.name) from error
    if not isinstance(raw, dict):
        raise BadCheckpoint("holds no object", where=path.name)
    return raw


def fields_of(raw: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    """The values of ``names``. Raises BadCheckpoint for those that are missing."""
    names = list(names)
    if absent := [name for name in names if name not in raw]:
        raise BadCheckpoint(f"no {', '.join(absent)}", where="config.json")
    return [raw[name] for name in names]


def require(rules: Mapping[str, bool]) -> None:
    """Raises BadCheckpoint with the first rule that does not hold."""
    for rule, holds in rules.items():
        if not holds:
            raise BadCheckpoint(rule, where="config.json")


class Stored:
    """The weights of one tower in the files of ``folder``: all of ``shapes``, by these names and of these shapes.

    Raises BadCheckpoint where one is missing, has another shape, or stands beside them under one of their own first names.
    """

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.folder = folder
        try:
            files: list[Any] = [safe_open(path, framework="pt") for path in sorted(folder.glob("*.safetensors"))]
        except (OSError, SafetensorError) as error:
            raise BadCheckpoint(f"cannot be read: {error}", where=folder.name) from error
        every = {name: file for file in files for name in file.keys()}  # noqa: SIM118
        self.prefix = next((p for p in PREFIXES if any(p + name in every for name in shapes)), "")
        firsts = {name.partition(".")[0] for name in shapes}
        bare = {name.removeprefix(self.prefix): file for name, file in every.items() if name.startswith(self.prefix)}
        self.files = {name: file for name, file in bare.items() if name.partition(".")[0] in firsts}
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
