"""Ranks as real processes around a real tower, driven by a test call by call: gloo on CPUs, NCCL on GPUs.

with Party(TowerRank, PartySetting(("cpu",) * 2, folder, meeting_place)) as party:
    served = party.all(TowerRank.serve, [PatchedImage(1, 4, 6), PatchedImage(2, 2, 2)])       # by rank
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Concatenate, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

from plumbline.certify import certify
from plumbline.feature import LocalFeature
from plumbline.interface import (
    Budgets,
    Checkpoint,
    Chunk,
    Failure,
    Item,
    LoadedTower,
    Modality,
    Payload,
    Prepared,
    Request,
    Rows,
    Runtime,
    Source,
)
from plumbline.ranks import join
from plumbline.remote import Remote
from plumbline.resolve import resolve
from plumbline.rig import port_of
from plumbline.small_tower import values
from plumbline.transport_fields import parts_of
from reference.towers import load

P = ParamSpec("P")
R = TypeVar("R")

BUDGETS = Budgets(cache_bytes=0, patches_per_call=1 << 16, item_patches=1 << 16)
TEXT, IMAGE, VIDEO, VOCABULARY = 1, 61, 62, 64
SILENCE = 6.0
"""Seconds after which a rank that does not answer is lost."""


@dataclass(frozen=True)
class PatchedImage:
    """An image of so many patches, from a formula."""

    seed: int
    height: int
    width: int


@dataclass(frozen=True)
class PartySetting:
    """What all ranks are told. devices: by rank. folder: the tower's. meeting_place: a file that is not there yet.

    spec, replaced: the implementation, whose own tower is used if it has one. dtype: the tower's.
    """

    devices: tuple[str, ...]
    folder: Path
    meeting_place: Path
    spec: str = "optimized"
    replaced: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float32


@dataclass
class Served:
    """What one rank has of a step. rows: of each picture, main and side rows on the host, or the error's class.

    opened: pictures whose payloads it opened.
    """

    rows: list[tuple[Tensor, ...] | str]
    opened: list[int]


class TowerRank:
    """One rank, or one alone: an implementation's parts around the tower. Each picture is a request of its own."""

    def __init__(self, setting: PartySetting, rank: int) -> None:
        torch.set_num_threads(1)
        self.device = torch.device(setting.devices[rank])
        if self.device.type != "cpu":
            torch.get_device_module(self.device).set_device(self.device)
        parts, port = resolve(setting.spec, setting.replaced).implementation, port_of(self.device)
        checkpoint = Checkpoint(setting.folder, setting.dtype, IMAGE, VIDEO, VOCABULARY)
        self.tower: LoadedTower = (parts.tower or load)(checkpoint, port)
        size = len(setting.devices)
        self.ranks = join(setting.meeting_place, rank, size, self.device, SILENCE) if size > 1 else None
        spec = self.tower.spec
        runtime = Runtime(spec, port, BUDGETS, ranks=self.ranks)
        assert parts.identify and parts.prepare and parts.encoder and parts.embed
        self.layout = spec.layouts[Modality.IMAGE]
        self.prepare = parts.prepare(runtime, parts.identify(runtime))
        self.embed = parts.embed(runtime, parts.encoder(runtime, self.tower), None)

    def certify(self, row_counts: Sequence[int]) -> int:
        """Finds the row floor that the tower needs here, and sets it."""
        assert certify(self.tower, row_counts).invariant
        return self.tower.row_floor

    def use_floor(self, row_floor: int) -> None:
        self.tower.row_floor = row_floor

    def serve(self, pictures: Sequence[PatchedImage]) -> Served:
        """All pictures in one step."""
        requests = self.admit(pictures)
        features = [part for one in requests for part in parts_of(one.items[0].payload)]
        rows: list[tuple[Tensor, ...] | str] = []
        for result in self.step(requests):
            whole = (result.rows, *result.side) if isinstance(result, Rows) else ()
            error = result.error if isinstance(result, Failure) else None
            rows.append(type(error).__name__ if error else tuple(level.cpu() for level in whole))
        opened = [k for k, one in enumerate(features) if isinstance(one, LocalFeature) and "open" in one.events]
        self.finish(requests)
        return Served(rows, opened)

    def admit(self, pictures: Sequence[PatchedImage]) -> list[Prepared]:
        """Prepares all, and admits them with the payloads that the ranks are to read."""
        admitted = []
        for one in self.prepare([self._request(picture) for picture in pictures]):
            assert isinstance(one, Prepared)
            items = tuple(replace(item, payload=self.payload(item.payload)) for item in one.items)
            admitted.append(replace(one, items=items))
            self.embed.admit(admitted[-1])
        return admitted

    def payload(self, payload: Payload) -> Payload:
        """As it arrives."""
        assert isinstance(payload, Tensor)
        return LocalFeature(payload)

    def step(self, requests: Sequence[Prepared]) -> list[Rows | Failure]:
        """All of the requests at once. What settling took back is a failure."""
        step = self.embed.step([Chunk(one.request_id, 0, len(one.token_ids)) for one in requests])
        if self.device.type != "cpu":
            torch.get_device_module(self.device).synchronize(self.device)
        lost = {failure.request_id: failure for failure in step.settle()}
        return [lost.get(result.request_id, result) for result in step.results]

    def finish(self, requests: Sequence[Prepared]) -> None:
        for one in requests:
            self.embed.finish(one.request_id)

    def _request(self, picture: PatchedImage) -> Request:
        grid = torch.tensor([[1, picture.height, picture.width]])
        patches = values((picture.height * picture.width, *self.layout.patch_shape), f"patches {picture.seed}")
        rows = len(patches) // self.layout.merge**2
        item = Item(Modality.IMAGE, Source.PIXELS, patches, ((1, 1 + rows),), grid)
        return Request(f"p{picture.seed}", torch.tensor([TEXT, *[IMAGE] * rows, TEXT]), (item,))


S = TypeVar("S", bound=TowerRank)


class Party(Generic[S]):
    """Ranks of a kind, one for each device, which live as long as the ``with`` block."""

    def __init__(self, kind: Callable[[PartySetting, int], S], setting: PartySetting) -> None:
        self.ranks = [Remote(kind, setting, rank) for rank in range(len(setting.devices))]

    def all(self, function: Callable[Concatenate[S, P], R], *arguments: P.args, **named: P.kwargs) -> list[R]:
        """The call on all ranks at the same time. By rank what it returned."""
        for rank in self.ranks:
            rank.send(function, *arguments, **named)
        return [rank.answer() for rank in self.ranks]

    def __enter__(self) -> Party[S]:
        return self

    def __exit__(self, *_: object) -> None:
        for rank in self.ranks:
            rank.discard()
