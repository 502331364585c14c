"""Optimized with a part that is 10 % slower, or that copies once more than it needs: what a comparison has to find.

nox -s bench -- --impl benchmarks/planted.py:slow_merge --compare BASE
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

import optimized
from plumbline.interface import Implementation, Item

SLOWER = 0.10
SLOW = ("identify", "prepare", "encoder", "cache", "embed", "merge")
"""Parts that are slowed."""


def slowed(run: Callable[..., Any]) -> Callable[..., Any]:
    """The same, and afterwards a tenth of its time for nothing."""

    def slow(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = run(*args, **kwargs)
        ended = time.perf_counter()
        while time.perf_counter() - ended < SLOWER * (ended - began):
            pass
        return result

    return slow


class Slow:
    """A part whose every call is slowed. Methods are wrapped once: to wrap a call of a microsecond takes several."""

    def __init__(self, part: Any) -> None:
        self._part, self._call = part, slowed(part)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if callable(found):
            found = self.__dict__[name] = slowed(found)
        return found


def copied(item: Item) -> Item:
    assert isinstance(item.payload, Tensor)
    return dataclasses.replace(item, payload=item.payload.clone())


def _slow(part: str) -> Implementation:
    factory = getattr(optimized.implementation, part)
    replaced: Any = {part: lambda *given: Slow(factory(*given))}
    return dataclasses.replace(optimized.implementation, **replaced)


def _copying_identify(runtime: Any) -> Callable[..., Any]:
    made: Any = optimized.implementation.identify
    identify = made(runtime)
    return lambda items: identify([copied(item) for item in items])


def _copying_merge(runtime: Any) -> Callable[..., Any]:
    made: Any = optimized.implementation.merge
    merge = made(runtime)

    def copying(*args: Any, **kwargs: Any) -> Any:
        merged = merge(*args, **kwargs)
        return dataclasses.replace(merged, embeds=merged.embeds.clone())

    return copying


class CopyingEncoder:
    def __init__(self, runtime: Any, tower: Any) -> None:
        made: Any = optimized.implementation.encoder
        self._encoder = made(runtime, tower)

    def encode(self, items: Any) -> Any:
        return self._encoder.encode([copied(item) for item in items])


slow_identify, slow_prepare, slow_encoder, slow_cache, slow_embed, slow_merge = map(_slow, SLOW)
copying_identify = dataclasses.replace(optimized.implementation, identify=_copying_identify)
copying_merge = dataclasses.replace(optimized.implementation, merge=_copying_merge)
copying_encoder = dataclasses.replace(optimized.implementation, encoder=CopyingEncoder)
