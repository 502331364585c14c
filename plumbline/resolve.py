"""Spec strings: how an implementation is named, so that every process can find it again.

``package.module:attribute`` or ``path/to/file.py:attribute``; the attribute defaults to ``implementation``. A part is
replaced by ``part=spec``, where the spec names a factory, or an implementation whose part is taken.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from plumbline.interface import Implementation

PARTS = ("tower", "collect", "identify", "prepare", "transport", "encoder", "cache", "embed", "merge")
_FILLED = ("collect", "identify", "prepare", "encoder", "embed", "merge")
"""Parts that no run can do without. tower, transport or cache None: the implementation brings none."""


class SpecError(Exception):
    """A spec string that names nothing usable: says which, and what was expected."""


@dataclass(frozen=True)
class Subject:
    """An implementation under test. spec, replaced: how to find it again. filled: parts that are the reference's."""

    implementation: Implementation
    spec: str
    replaced: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()

    @property
    def arguments(self) -> str:
        """Command-line arguments that name this subject."""
        named = [f"--impl {shlex.quote(self.spec)}", *(f"--replace {shlex.quote(r)}" for r in self.replaced)]
        return " ".join(named)


def load(spec: str, attribute: str = "implementation") -> Any:
    """The object that a spec string names; ``attribute`` where it names none. Raises SpecError."""
    place = spec
    if ":" in spec:
        place, _, attribute = spec.rpartition(":")
    try:
        module = _module_of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except SpecError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not place.startswith(error.name):
            raise SpecError(f"{spec!r} could not be imported: {error}") from error
        raise SpecError(
            f"{spec!r}: {error}. Name a module:attribute or a file.py:attribute, from the current folder"
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a file may do anything when it is imported, sys.exit included
        raise SpecError(f"{spec!r} could not be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        names = ", ".join(n for n in vars(module) if not n.startswith("_")) or "nothing"
        raise SpecError(f"{spec!r}: {place} has no {attribute!r}; it has {names}")
    return getattr(module, attribute)


def folder_of(spec: str) -> Path:
    """Where the code lies that a spec string names, once it is loaded."""
    place = spec.rpartition(":")[0] or spec
    return Path(place if place.endswith(".py") else str(sys.modules[place].__file__)).resolve().parent


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SpecError(f"there is no file {path}")
    name = f"plumbline_subject_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def resolve(spec: str, replace: Sequence[str] = ()) -> Subject:
    """The implementation that ``spec`` names, parts replaced, and what is missing filled in from the reference."""
    implementation = load(spec)
    if not isinstance(implementation, Implementation):
        raise SpecError(f"{spec!r} is a {type(implementation).__name__}, not a plumbline.interface.Implementation")
    for replacement in replace:
        part, _, part_spec = replacement.partition("=")
        if part not in PARTS or not part_spec:
            raise SpecError(f"--replace {replacement!r}: expected one of {', '.join(PARTS)}, '=', and a spec string")
        implementation = _replaced(implementation, part, part_spec)
    reference: Implementation = load("reference")
    filled = tuple(p for p in _FILLED if getattr(implementation, p) is None)
    implementation = dataclasses.replace(implementation, **{p: getattr(reference, p) for p in filled})
    return Subject(implementation, spec, tuple(replace), filled)


def _replaced(implementation: Implementation, part: str, spec: str) -> Implementation:
    found = load(spec)
    factory = getattr(found, part) if isinstance(found, Implementation) else found
    if not callable(factory):
        raise SpecError(
            f"--replace {part}={spec}: {type(found).__name__} is neither a factory nor an implementation with that part"
        )
    name = f"{implementation.name} with {part} of {spec}"
    return dataclasses.replace(implementation, **{"name": name, part: factory})
