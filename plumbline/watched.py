"""An implementation's embed and cache as the engine drives them, watched from outside, step by step."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from plumbline.interface import (
    Cache,
    Chunk,
    Embed,
    Encoded,
    Failure,
    Feature,
    Identity,
    Implementation,
    Payload,
    Prepared,
    RequestId,
    Rows,
    Step,
    TensorMeta,
    Tower,
)
from plumbline.rig import Place, RecordingTower

Key = tuple[bytes, int]
"""Digest and epoch."""


class Watcher(Protocol):
    """Who wants to know. admitted: may change what is admitted. A step may be settled after the next one has begun."""

    def admitted(self, prepared: Prepared) -> Prepared: ...

    def step_begins(self) -> None: ...

    def step_ends(self) -> None: ...


class WatchedEmbed:
    """An implementation's embed, cut into steps."""

    def __init__(self, embed: Embed, watcher: Watcher) -> None:
        self._embed, self._watcher = embed, watcher

    def admit(self, prepared: Prepared) -> None:
        self._embed.admit(self._watcher.admitted(prepared))

    def step(self, chunks: Sequence[Chunk]) -> Step:
        self._watcher.step_begins()
        return WatchedStep(self._embed.step(chunks), self._watcher)

    def retract(self, request_id: RequestId) -> None:
        self._embed.retract(request_id)

    def finish(self, request_id: RequestId) -> None:
        self._embed.finish(request_id)

    def set_epoch(self, epoch: int) -> None:
        self._embed.set_epoch(epoch)


class WatchedStep:
    def __init__(self, step: Step, watcher: Watcher) -> None:
        self._step, self._watcher = step, watcher
        self.results: Sequence[Rows | Failure] = step.results

    def settle(self) -> list[Failure]:
        lost = self._step.settle()
        self._watcher.step_ends()
        return lost


@dataclass(frozen=True)
class Look:
    """One call of a cache. kind: hit, miss, kept, refused or cleared. calls: of the tower until then, in the same step.
    evicted: bytes that went for it. Or of a lazy payload of ``request``: opened or released."""

    kind: str
    calls: int
    digest: bytes = b""
    epoch: int = 0
    evicted: int = 0
    request: str = ""


@dataclass
class CacheStep:
    """looks: calls until the next step began. held: what was there after settling; None: nobody knows."""

    looks: list[Look] = field(default_factory=list)
    held: list[Key] | None = None


class WatchedCache:
    """An implementation's cache, with a record of its calls. Whatever else it has is there too."""

    def __init__(self, cache: Cache, note: Callable[..., None]) -> None:
        self._cache, self._note = cache, note

    @property
    def nbytes(self) -> int:
        return self._cache.nbytes

    def get(self, identity: Identity, epoch: int) -> Encoded | None:
        found = self._cache.get(identity, epoch)
        self._note("miss" if found is None else "hit", identity.digest, epoch)
        return found

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        before = self._cache.nbytes
        kept = self._cache.put(identity, epoch, encoded)
        size = sum(level.numel() * level.element_size() for level in (encoded.rows, *encoded.side))
        gone = max(before + size - self._cache.nbytes, 0) if kept else 0
        self._note("kept" if kept else "refused", identity.digest, epoch, gone)
        return kept

    def clear(self) -> None:
        self._cache.clear()
        self._note("cleared")

    def __getattr__(self, name: str) -> object:
        return getattr(self._cache, name)

    def holds(self, keys: Sequence[Key]) -> list[Key] | None:
        """Which of ``keys`` are there: asked of a copy, since to be asked changes what goes next."""
        try:
            asked = copy.deepcopy(self._cache)
            return [(digest, epoch) for digest, epoch in keys if asked.get(Identity(digest), epoch) is not None]
        except Exception:  # a cache owes nobody a copy
            return None


class WatchedPart:
    """A lazy payload, and a record of when it was opened and released."""

    def __init__(self, part: Feature, note: Callable[[str], None]) -> None:
        self.meta: TensorMeta = part.meta
        self._part, self._note = part, note
        self._released = False

    def ready(self) -> bool:
        return self._part.ready()

    def open(self, device: torch.device) -> Tensor:
        self._note("opened, after its release" if self._released else "opened")
        return self._part.open(device)

    def release(self) -> None:
        if not self._released:
            self._note("released")
        self._released = True
        self._part.release()

    def check(self) -> None:
        self._part.check()


class CacheWatch(Place):
    """A place to run at where one sees what the cache, and who reads lazy payloads, does in each step."""

    def __init__(self) -> None:
        self.steps: list[CacheStep] = []
        self._cache: WatchedCache | None = None
        self._tower: RecordingTower | None = None
        self._calls = 0
        """Of the tower, before this step."""

    def of(self, implementation: Implementation) -> Implementation:
        """The implementation with its cache watched."""
        made = implementation.cache
        return dataclasses.replace(
            implementation, cache=None if made is None else lambda runtime: self._watch(made(runtime))
        )

    def _watch(self, cache: Cache) -> Cache:
        self._cache = WatchedCache(cache, self._note)
        return self._cache

    def _note(self, kind: str, digest: bytes = b"", epoch: int = 0, evicted: int = 0) -> None:
        self._look(Look(kind, self._called() - self._calls, digest, epoch, evicted))

    def _called(self) -> int:
        return len(self._tower.calls) if self._tower is not None else 0

    def tower(self, tower: RecordingTower) -> Tower:
        self._tower = tower
        return tower

    def embed(self, embed: Embed) -> Embed:
        return WatchedEmbed(embed, self)

    def admitted(self, prepared: Prepared) -> Prepared:
        """The same request, its lazy payloads watched."""
        items = []
        for item, identity in zip(prepared.items, prepared.identities, strict=True):
            payload: Payload = item.payload
            note = partial(self._read, identity.digest, prepared.request_id)
            if isinstance(payload, tuple):
                payload = tuple(part if isinstance(part, Tensor) else WatchedPart(part, note) for part in payload)
            elif payload is not None and not isinstance(payload, Tensor):
                payload = WatchedPart(payload, note)
            items.append(dataclasses.replace(item, payload=payload))
        return dataclasses.replace(prepared, items=tuple(items))

    def _read(self, digest: bytes, request: str, kind: str) -> None:
        self._look(Look(kind, self._called() - self._calls, digest, request=request))

    def _look(self, look: Look) -> None:
        if self.steps:
            self.steps[-1].looks.append(look)

    def step_begins(self) -> None:
        self.steps.append(CacheStep())
        self._calls = self._called()

    def step_ends(self) -> None:
        known = dict.fromkeys(
            (look.digest, look.epoch) for step in self.steps for look in step.looks if look.kind == "kept"
        )
        self.steps[-1].held = self._cache.holds(list(known)) if self._cache is not None else None
