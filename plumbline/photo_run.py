"""One implementation, real requests, a real tower: chunk by chunk to the embeddings, and what was done for them.

    outcome = Run(implementation, open_tower(folder)).go(requests)        # everything in this process

Where a request is prepared elsewhere, the parts of ``go`` are called one by one: ``admit``, ``step``, ``outcome``.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plumbline.certify import same_bits
from plumbline.interface import (
    Budgets,
    Checkpoint,
    Chunk,
    Failure,
    Implementation,
    Merged,
    Prepared,
    Request,
    Rows,
    Tower,
)
from plumbline.rig import Rig, build_rig
from plumbline.small_tower import values
from reference.towers.qwen3_vl import Qwen3VLTower

CHUNK = 100
CHUNKS_PER_STEP = 4
BUDGETS = Budgets(cache_bytes=16 << 20, patches_per_call=2048, item_patches=2048)
"""Calls stay within the row counts that a certificate sweeps."""

VOCABULARY = 1024
IMAGE, VIDEO = 1024, 1025
"""Placeholders lie beyond the vocabulary, so that a merge that looks them up in the token embedding fails."""


def open_tower(folder: str | Path) -> Qwen3VLTower:
    """The tower of the checkpoint in that folder."""
    return Qwen3VLTower(Checkpoint(Path(folder), torch.float32, IMAGE, VIDEO, VOCABULARY), torch.device("cpu"))


class Stopwatch:
    """Time inside ``with`` blocks, in seconds."""

    seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start


@dataclass(frozen=True, eq=False)
class Outcome:
    """embedded: by request, input embeddings [N, hidden], then side rows [M, hidden] of each level.

    figures: those of the report's "runs". steps: how many there were.
    """

    embedded: dict[str, list[Tensor]]
    figures: dict[str, float]
    steps: int

    def checksums(self) -> dict[str, str]:
        """By request, of all levels: their dtypes, shapes and bits."""
        return {name: _checksum(levels) for name, levels in self.embedded.items()}


def _checksum(levels: Sequence[Tensor]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for level in levels:
        found.update(f"{level.dtype} {tuple(level.shape)} ".encode())
        found.update(level.contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


class Stopped(Exception):
    """The run of an implementation ended early: requests and reason."""


class Run:
    """One implementation, from the processor's output to the embeddings.

    Only the implementation's work is timed. The tower and the record of its calls are part of it. Everything public
    that works on requests is to be called inside ``with run.stopping():``.
    """

    def __init__(self, implementation: Implementation, tower: Tower) -> None:
        self.implementation, self.tower = implementation, tower
        self.token_table = values((VOCABULARY, tower.spec.hidden_size), "embed_tokens")
        self.watch = Stopwatch()
        self.prepare_seconds = 0.0
        self.queue: deque[tuple[str, Tensor, int]] = deque()
        """Admitted requests with their tokens, and where their next chunk begins."""
        self.chunks: dict[str, list[tuple[Tensor, ...]]] = {}
        """By request, what each of its chunks gave."""
        self.calls: list[tuple[int, int]] = []
        """Patches and items of each tower call."""
        self.steps = 0
        self.current: list[str] = []
        """The requests that the implementation is working on, to be named if it fails."""

    @cached_property
    def rig(self) -> Rig:
        """The implementation's parts. Raises whatever its factories raise."""
        return build_rig(self.implementation, self.tower, self.tower.spec, BUDGETS)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Turns whatever the implementation raises into Stopped, which names the requests."""
        try:
            yield
        except Stopped:
            raise
        except Exception as error:
            at = f"{', '.join(self.current)}: " if self.current else ""
            raise Stopped(f"{at}{type(error).__name__}: {error}") from error

    def go(self, requests: Sequence[Request]) -> Outcome:
        """All of it. Raises Stopped."""
        with self.stopping():
            for request, prepared in zip(requests, self.prepare(requests), strict=True):
                self.admit(prepared, request.token_ids)
            while self.queue:
                self.step()
            return self.outcome()

    def prepare(self, requests: Sequence[Request]) -> list[Prepared]:
        self.current = [request.request_id for request in requests]
        prepare = self.rig.prepare
        with self.watch:
            results = prepare(requests)
        self.prepare_seconds = self.watch.seconds
        for request, result in zip(requests, results, strict=True):
            self.current = [request.request_id]
            self._expect(result, Prepared)
        return results  # type: ignore[return-value]

    def admit(self, prepared: Prepared, token_ids: Tensor) -> None:
        name = prepared.request_id
        self.current = [name]
        embed = self.rig.embed
        with self.watch:
            embed.admit(prepared)
        self.chunks[name] = []
        self.queue.append((name, token_ids, 0))

    def step(self) -> list[str]:
        """One chunk of each of the first few requests of the queue. Returns those that are finished with it."""
        turn = [self.queue.popleft() for _ in range(min(CHUNKS_PER_STEP, len(self.queue)))]
        names = self.current = [name for name, _, _ in turn]
        ids = [token_ids[lo : lo + CHUNK] for _, token_ids, lo in turn]
        chunks = [Chunk(name, lo, lo + len(part)) for (name, _, lo), part in zip(turn, ids, strict=True)]
        with self.watch:
            step = self.rig.embed.step(chunks)
        rows: list[Any] = list(step.results)
        for name, result in zip(names, rows, strict=True):
            self.current = [name]
            self._expect(result, Rows)
        self.current = names
        with self.watch:
            merged = self.rig.merge(rows, torch.cat(ids), self.token_table.__getitem__)
            failures = step.settle()
        for failure in failures:
            self._expect(failure, Rows)
        self._collect(names, ids, merged)
        finished = [name for name, token_ids, lo in turn if lo + CHUNK >= len(token_ids)]
        for name in finished:
            self.current = [name]
            with self.watch:
                self.rig.embed.finish(name)
        self.queue += [(name, ids, lo + CHUNK) for name, ids, lo in turn if name not in finished]
        # The record holds each call's payload; all of them together would be the largest thing in memory.
        self.calls += [(call.patches, len(call.items)) for call in self.rig.tower.calls]
        self.rig.tower.calls.clear()
        self.steps += 1
        return finished

    def outcome(self) -> Outcome:
        """Of what was finished so far."""
        figures = {
            "seconds": self.watch.seconds,
            "prepare_seconds": self.prepare_seconds,
            "tower_calls": len(self.calls),
            "items_encoded": sum(items for _, items in self.calls),
            "patches": sum(patches for patches, _ in self.calls),
            "largest_call": max((patches for patches, _ in self.calls), default=0),
            "bytes_moved": self.rig.port.moved_bytes,
        }
        whole = {name: [torch.cat(level) for level in zip(*parts, strict=True)] for name, parts in self.chunks.items()}
        return Outcome(whole, figures, self.steps)

    def _collect(self, names: Sequence[str], ids: Sequence[Tensor], merged: Merged) -> None:
        """Copies, since rows may be overwritten in the next step."""
        if not torch.equal(merged.mask, torch.cat(list(ids)) == IMAGE):
            raise ValueError("the mask of merge is not that of the placeholders")
        if len(merged.side) != self.tower.spec.side_levels:
            raise ValueError(f"merge gave {len(merged.side)} side levels")
        tokens = [len(part) for part in ids]
        images = [int((part == IMAGE).sum()) for part in ids]
        levels = [torch.split(merged.embeds.clone(), tokens)]
        levels += [torch.split(level.clone(), images) for level in merged.side]
        for name, *parts in zip(names, *levels, strict=True):
            self.chunks[name].append(tuple(parts))

    @staticmethod
    def _expect(result: object, kind: type) -> None:
        if isinstance(result, Failure):
            raise Stopped(f"{result.request_id}: {type(result.error).__name__}: {result.error}")
        if not isinstance(result, kind):
            raise TypeError(f"got {type(result).__name__} instead of {kind.__name__}")


def difference(yardstick: Outcome, other: Outcome, requests: Sequence[dict[str, Any]]) -> str | None:
    """The first request whose embeddings have other bits, where, and by how much. None: all bits are the same."""
    for request in requests:
        name = request["id"]
        places = [place for lo, hi in request["spans"] for place in range(lo, hi)]
        for level, (want, got) in enumerate(zip(yardstick.embedded[name], other.embedded[name], strict=True)):
            kind = f"{name}: rows of side level {level - 1}" if level else f"{name}: input embeddings"
            if (want.shape, want.dtype) != (got.shape, got.dtype):
                return f"{kind} are {got.dtype} {tuple(got.shape)}, not {want.dtype} {tuple(want.shape)}"
            if rows := [row for row in range(len(want)) if not same_bits(want[row], got[row])]:
                most = (want.double() - got.double()).abs().max().item()
                at = places[rows[0]] if level else rows[0]
                return f"{kind} differ in {len(rows)} of {len(want)}, first at position {at}, by up to {most:.3g}"
    return None
