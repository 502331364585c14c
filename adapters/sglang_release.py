"""Finds one release of SGLang, or a developer's checkout, and loads from it the modules that the adapter drives.

The package is read where it lies and never installed: of its dependencies it needs torch, numpy, msgspec and packaging.
Its modules on ``REAL`` run as published. All its others, and the packages on ``INERT``, are stand-ins while it loads; then
the packages are put back, so that the rest of the process has the real ones. A process can hold one release.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from array import array
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "PLUMBLINE_SGLANG"

REAL = {
    "sglang._version",
    "sglang.utils",
    "sglang.version",
    "sglang.srt.environ",
    "sglang.srt.managers.mm_schedule",
    "sglang.srt.managers.mm_utils",
    "sglang.srt.managers.schedule_batch",
    "sglang.srt.mem_cache.multimodal_cache",
    "sglang.srt.multimodal.cache",
    "sglang.srt.multimodal.cache.identity",
    "sglang.srt.multimodal.evs",
    "sglang.srt.multimodal.evs.evs_core",
    "sglang.srt.multimodal.evs.evs_module",
    "sglang.srt.multimodal.evs.evs_processor",
    "sglang.srt.multimodal.modality",
    "sglang.srt.multimodal.transport",
    "sglang.srt.multimodal.transport.cuda_ipc",
    "sglang.srt.multimodal.transport.memory_pool",
    "sglang.srt.utils",
    "sglang.srt.utils.async_probe",
    "sglang.srt.utils.common",
    "sglang.srt.utils.cuda_ipc_transport_utils",
    "sglang.srt.utils.stale_shm_cleanup",
}
"""Over all releases; one that a release does not have is not asked for."""

INERT = {
    *("IPython", "PIL", "aiohttp", "einops", "fastapi", "flashinfer", "orjson", "psutil", "pybase64", "pydantic"),
    *("requests", "sgl_kernel", "starlette", "torchao", "torchvision", "tqdm", "transformers", "triton", "zmq"),
}


class _Anything(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Inert

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        return Inert if cls is Inert else super().__call__(*args, **kwargs)

    def __getitem__(cls, key: object) -> type:
        return cls

    def __iter__(cls) -> Iterator[object]:
        return iter(())

    def __or__(cls, other: object) -> type:  # type: ignore[override]
        return cls

    __ror__ = __or__  # type: ignore[assignment]

    def __bool__(cls) -> bool:
        return False

    def __enter__(cls) -> type:
        return cls

    def __exit__(cls, *exception: object) -> None:
        return None


class Inert(metaclass=_Anything):
    """Stands for anything: attribute, call, base class, decorator, annotation. False in a condition."""


class _InertModule(types.ModuleType):
    __all__: Sequence[str] = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Inert


class _InertLoader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _InertModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


class Finder(importlib.abc.MetaPathFinder):
    """Finds SGLang's modules in ``folder``, for as long as the process lives: SGLang imports inside functions too.

    real: those that run as published.
    """

    def __init__(self, folder: Path, real: Set[str] = frozenset(REAL)) -> None:
        self.folder = folder
        self.real = real
        self.inert: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        top = fullname.partition(".")[0]
        if top in self.inert:
            return importlib.machinery.ModuleSpec(fullname, _InertLoader(), is_package=True)
        if top != "sglang":
            return None
        place = self.folder.joinpath(*fullname.split("."))
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if fullname in self.real:
            return importlib.util.spec_from_file_location(fullname, file) if file.is_file() else None
        return importlib.machinery.ModuleSpec(fullname, _InertLoader(), is_package=True)


@contextmanager
def _inert_packages(finder: Finder) -> Iterator[None]:
    def present() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in INERT]

    saved = {name: sys.modules.pop(name) for name in present()}
    finder.inert = INERT
    try:
        yield
    finally:
        finder.inert = set()
        for name in present():
            del sys.modules[name]
        sys.modules.update(saved)


@dataclass(frozen=True)
class Release:
    """What the adapter takes from a release. What differs between releases is asked for here, and nowhere else."""

    version: str
    utils: Any
    """managers.mm_utils"""
    batch: Any
    """managers.schedule_batch"""
    routine: Any
    """The module of the chunked embedding routine: its global ``embedding_cache`` is the cache that the routine uses."""

    @property
    def encodes_across_requests(self) -> bool:
        """Whether one encoder call takes the misses of all requests, each once; before, each request had its own."""
        return hasattr(self.routine, "_batch_encode_per_image_misses")

    def name(self, item: Any, digest: bytes) -> None:
        """Gives a MultimodalDataItem this identity, as far as the release holds one, and its pad values."""
        if not hasattr(item, "set_identity"):  # a hash of any length, of which 30 bits reach the pad value
            item.hash = int.from_bytes(digest, "big")
            item.set_pad_value()
        elif len(digest) == 8:
            item.set_hash(int.from_bytes(digest, "big"))
        else:
            item.set_identity(digest if len(digest) == 32 else hashlib.sha256(digest).digest())

    def pad(self, token_ids: list[int], inputs: Any) -> list[int]:
        """Prompt ids with each item's pad values at its placeholders."""
        if hasattr(self.utils, "pad_mm_tokens"):
            return list(self.utils.pad_mm_tokens(array("q", token_ids), inputs))
        return list(self.utils.MultiModalityDataPaddingPatternMultimodalTokens().pad_input_tokens(token_ids, inputs))


def folder() -> Path:
    """The folder that holds the package ``sglang``. Raises ImportError that says what to do."""
    given = os.environ.get(VARIABLE, "")
    place = Path(given)
    if not given or not (place / "sglang" / "srt" / "managers" / "mm_utils.py").is_file():
        found = f"{given!r} holds no package sglang with srt/managers/mm_utils.py" if given else "it is not set"
        raise ImportError(
            f"{VARIABLE} names the folder that holds the package sglang, and {found}. `nox -s sglang` fetches the "
            f"releases and sets it; or set it to an unpacked wheel, or to the folder python of a checkout of SGLang"
        )
    return place


@functools.cache
def release() -> Release:
    """The release that the environment names, loaded once. Raises ImportError that says what is missing."""
    place = folder()
    if "sglang" in sys.modules:
        raise ImportError(f"sglang is imported already, so {place} cannot be loaded: start a process of its own")
    finder = Finder(place)
    sys.meta_path.insert(0, finder)
    try:
        with _inert_packages(finder):
            utils = importlib.import_module("sglang.srt.managers.mm_utils")
            batch = importlib.import_module("sglang.srt.managers.schedule_batch")
            version = importlib.import_module("sglang.version").__version__
            routine = importlib.import_module(utils.get_embedding_and_mask.__module__)
            if hasattr(batch.MultimodalDataItem, "set_identity"):
                importlib.import_module("sglang.srt.multimodal.cache")  # set_pad_value imports it when it is called
    except ModuleNotFoundError as error:
        raise ImportError(
            f"SGLang in {place} needs the package {error.name}: install it, or add it to INERT in {__file__}"
        ) from error
    loaded = Release(version, utils, batch, routine)
    _check(loaded, place)
    return loaded


def _check(loaded: Release, place: Path) -> None:
    """Raises ImportError where something that the adapter calls has moved to a module that was not loaded."""
    needed: list[tuple[Any, str]] = [
        *((loaded.utils, name) for name in ("get_new_expanded_mm_items", "_embed_mm_inputs_with_split")),
        *((loaded.utils, name) for name in ("general_mm_embed_routine", "hash_feature")),
        *((loaded.batch, name) for name in ("Modality", "MultimodalDataItem", "MultimodalInputs")),
        *((loaded.routine, name) for name in ("MultiModalStaticCache", "EmbeddingResult", "embedding_cache")),
    ]
    for module, name in needed:
        if getattr(module, name, Inert) is Inert:
            raise ImportError(
                f"{module.__name__} in {place} has no {name} of its own: if it comes from another module now, "
                f"add that one to REAL in {__file__}"
            )
