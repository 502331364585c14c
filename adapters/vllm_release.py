"""Finds an unpacked vLLM and loads the few modules of it that need neither a GPU nor a compiled part.

``PLUMBLINE_VLLM`` names the folder that holds the ``vllm`` package: a checkout, or an unpacked sdist or wheel. Nothing of
it is installed or changed. Its modules import most of vLLM (engine, models, kernels); whatever is not listed in ``REAL``
is inert while they load, so only what is listed can decide anything.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

VARIABLE = "PLUMBLINE_VLLM"

REAL = frozenset(
    {
        "vllm.multimodal.hasher",
        "vllm.multimodal.inputs",
        "vllm.multimodal.processing.inputs",
        "vllm.multimodal.utils",
        "vllm.utils.collection_utils",
        "vllm.utils.import_utils",
        "vllm.utils.jsontree",
        "vllm.v1.core.encoder_cache_manager",
        "vllm.v1.core.sched.interface",
        "vllm.v1.core.sched.scheduler",
        "vllm.v1.request",
        "vllm.v1.worker.gpu.mm.encoder_cache",
        "vllm.v1.worker.gpu.mm.encoder_runner",
    }
)
"""Modules that are vLLM's own, as released."""

CONSTANTS = {"vllm.utils.torch_utils": {"PIN_MEMORY": False}}
"""What vLLM would find out about this machine: there is no GPU to pin memory for."""


class ReleaseMissing(Exception):
    """There is no usable vLLM where it was looked for. Says what to do."""


def folder() -> Path:
    """The folder that holds the ``vllm`` package. Raises ReleaseMissing."""
    named = os.environ.get(VARIABLE)
    if not named:
        raise ReleaseMissing(f"{VARIABLE} is not set: name the folder that holds the vllm package (nox -s vllm does)")
    if not (Path(named) / "vllm" / "multimodal" / "hasher.py").is_file():
        raise ReleaseMissing(
            f"{VARIABLE}={named} holds no vllm/multimodal/hasher.py: name a checkout or unpacked sdist"
        )
    return Path(named)


def version(root: Path) -> str:
    """As the release says of itself. The file is written when a release is built; a checkout has none."""
    written = root / "vllm" / "_version.py"
    return str(runpy.run_path(str(written))["__version__"]) if written.is_file() else "checkout"


class _InertType(type):
    """Any attribute, call, subscription or union of an inert class is the class again; it is false and empty."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Inert

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        return Inert if cls is Inert else super().__call__(*arguments, **named)

    def __getitem__(cls, _: Any) -> Any:
        return cls

    def __or__(cls, _: Any) -> Any:
        return cls

    __ror__ = __or__

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __bool__(cls) -> bool:
        return False


class Inert(metaclass=_InertType):
    """Stands for whatever is not loaded: function, class, base, decorator, constant."""


class _InertModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Inert


class _InertLoader(Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _InertModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(CONSTANTS.get(module.__name__, {}))


class _Finder(MetaPathFinder):
    """Answers for ``vllm`` and below; every other package is the installed one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "vllm":
            return None
        place = self._root.joinpath(*fullname.split("."))
        if fullname in REAL:
            return importlib.util.spec_from_file_location(fullname, place.with_suffix(".py"))
        spec = importlib.machinery.ModuleSpec(fullname, _InertLoader(), is_package=place.is_dir())
        if place.is_dir():
            spec.submodule_search_locations = [str(place)]
        return spec


def load(root: Path) -> SimpleNamespace:
    """The modules of ``REAL``: ``load(root).vllm_v1_request``. Raises ReleaseMissing where one does not load.

    The finder stays: vLLM imports some modules inside functions.
    """
    sys.meta_path.insert(0, _Finder(root))
    try:
        return SimpleNamespace(**{name.replace(".", "_"): importlib.import_module(name) for name in sorted(REAL)})
    except (ImportError, SyntaxError) as error:
        raise ReleaseMissing(f"the vLLM in {root} does not load: {type(error).__name__}: {error}") from error
