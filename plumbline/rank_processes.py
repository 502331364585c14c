"""Ranks as real processes around a real tower, driven by a test call by call: gloo on CPUs, NCCL on GPUs.

with Party(["cpu"] * 2, folder, meeting_place) as party:
    served = party.all(TowerRank.serve, [Picture(1, 4, 6), Picture(2, 2, 2)])       # by rank
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from plumbline.certify import ROW_COUNTS, certify
from plumbline.feature import LocalFeature
from plumbline.interface import (
    Budgets,
    Checkpoint,
    Chunk,
    Item,
    Modality,
    Prepared,
    Request,
    Rows,
    Runtime,
    Source,
)
from plumbline.ranks import join
from plumbline.remote import Remote
from plumbline.resolve import resolve
from plumbline.small_tower import values
from plumbline.transport_remote import port_of
from reference.towers import load

P = ParamSpec("P")
R = TypeVar("R")

BUDGETS = Budgets(cache_bytes=0, patches_per_call=1 << 16, item_patches=1 << 16)
TEXT, IMAGE, VIDEO, VOCABULARY = 1, 61, 62, 64
SMALL_CALLS = (*range(1, 40), 64, 200, 1200)
"""Rows of calls of the pictures of a test; on a CPU a full sweep takes seconds."""
SILENCE = 8.0
"""Seconds after which a rank that does not answer is lost."""


@dataclass(frozen=True)
class Picture:
    """An image of so many patches, from a formula."""

    seed: int
    height: int
    width: int


@dataclass
class Served:
    """What one rank has of a step. rows: of each picture, main and side rows on the host, or the error's class.

    opened: pictures whose payloads it opened. seconds: of the step and its settling.
    """

    rows: list[tuple[Tensor, ...] | str]
    opened: list[int]
    seconds: float


class TowerRank:
    """One rank, or one alone: an implementation's parts around the tower. Each picture is a request of its own."""

    def __init__(
        self, rank: int, devices: Sequence[str], folder: Path, meeting_place: Path, spec: str, replaced: Sequence[str]
    ) -> None:
        torch.set_num_threads(1)
        self.device = torch.device(devices[rank])
        if self.device.type != "cpu":
            torch.get_device_module(self.device).set_device(self.device)
        parts, port = resolve(spec, replaced).implementation, port_of(self.device)
        dtype, row_counts = (torch.float32, SMALL_CALLS) if self.device.type == "cpu" else (torch.bfloat16, ROW_COUNTS)
        tower = (parts.tower or load)(Checkpoint(folder, dtype, IMAGE, VIDEO, VOCABULARY), port)
        assert certify(tower, row_counts).invariant
        size = len(devices)
        self.ranks = join(meeting_place, rank, size, self.device, SILENCE) if size > 1 else None
        runtime = Runtime(tower.spec, port, BUDGETS, ranks=self.ranks)
        assert parts.identify and parts.prepare and parts.encoder and parts.embed
        self.layout = tower.spec.layouts[Modality.IMAGE]
        self.prepare = parts.prepare(runtime, parts.identify(runtime))
        self.embed = parts.embed(runtime, parts.encoder(runtime, tower), None)

    def serve(self, pictures: Sequence[Picture]) -> Served:
        """Prepares, admits and runs all pictures in one step, and finishes them."""
        prepared = [one for one in self.prepare([self._request(p) for p in pictures]) if isinstance(one, Prepared)]
        features = []
        for one in prepared:
            (item,) = one.items
            assert isinstance(item.payload, Tensor)
            features.append(LocalFeature(item.payload))
            self.embed.admit(replace(one, items=(replace(item, payload=features[-1]),)))
        began = time.perf_counter()
        step = self.embed.step([Chunk(one.request_id, 0, len(one.token_ids)) for one in prepared])
        errors = {failure.request_id: failure.error for failure in step.settle()}
        seconds = time.perf_counter() - began
        rows: list[tuple[Tensor, ...] | str] = []
        for result in step.results:
            error = errors.get(result.request_id) if isinstance(result, Rows) else result.error
            whole = (result.rows, *result.side) if isinstance(result, Rows) else ()
            rows.append(type(error).__name__ if error else tuple(level.cpu() for level in whole))
        for one in prepared:
            self.embed.finish(one.request_id)
        return Served(rows, [k for k, feature in enumerate(features) if "open" in feature.events], seconds)

    def _request(self, picture: Picture) -> Request:
        grid = torch.tensor([[1, picture.height, picture.width]])
        patches = values((picture.height * picture.width, *self.layout.patch_shape), f"patches {picture.seed}")
        rows = len(patches) // self.layout.merge**2
        item = Item(Modality.IMAGE, Source.PIXELS, patches, ((1, 1 + rows),), grid)
        return Request(f"p{picture.seed}", torch.tensor([TEXT, *[IMAGE] * rows, TEXT]), (item,))


class Party:
    """Ranks, one for each device, which live as long as the ``with`` block."""

    def __init__(
        self,
        devices: Sequence[str],
        folder: Path,
        meeting_place: Path,
        spec: str = "optimized",
        replaced: Sequence[str] = (),
    ) -> None:
        self.ranks = [
            Remote(TowerRank, rank, devices, folder, meeting_place, spec, replaced) for rank in range(len(devices))
        ]

    def all(self, function: Callable[Concatenate[TowerRank, P], R], *arguments: P.args, **named: P.kwargs) -> list[R]:
        """The call on all ranks at the same time. By rank what it returned."""
        for rank in self.ranks:
            rank.send(function, *arguments, **named)
        return [rank.answer() for rank in self.ranks]

    def __enter__(self) -> Party:
        return self

    def __exit__(self, *_: object) -> None:
        for rank in self.ranks:
            rank.discard()
