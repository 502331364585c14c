"""Workers and ranks of the soak: batches of payloads that both sides make from the request's number, each on its device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from plumbline.interface import Identity, Item, Modality, PlumblineError, Prepared, Source, TensorMeta
from plumbline.transport_fields import parts_of
from plumbline.transport_remote import Rank, Worker, check

CPU = torch.device("cpu")
OPEN = 4
"""Requests that a rank has open at a time."""


@dataclass(frozen=True)
class Load:
    """One request. sizes: bytes of each payload. on_device: whether it lies on the worker's. in_place: written into
    reserved space, if there is any."""

    number: int
    sizes: tuple[int, ...]
    on_device: tuple[bool, ...]
    in_place: bool

    def payload(self, k: int, device: torch.device, out: Tensor | None = None) -> Tensor:
        """uint8 [sizes[k]], the same on all devices of one kind."""
        room = torch.empty(self.sizes[k], dtype=torch.uint8, device=device) if out is None else out
        return room.random_(0, 256, generator=torch.Generator(device).manual_seed(16 * self.number + k))

    def prepared(self, payloads: Sequence[Tensor]) -> Prepared:
        ids = torch.arange(1 + len(payloads), dtype=torch.int64)
        items = [Item(Modality.AUDIO, Source.PIXELS, p, ((k, k + 1),)) for k, p in enumerate(payloads, 1)]
        identities = [Identity((16 * self.number + k).to_bytes(16, "little")) for k in range(len(payloads))]
        return Prepared(f"load{self.number}", ids, tuple(items), tuple(identities), ids)


@dataclass
class Reading:
    """outcomes: of each request by number: right, wrong, or the name of the error. ways: payloads by where they came from.
    fallbacks: payloads that came from elsewhere than where the worker had them."""

    outcomes: dict[int, str] = field(default_factory=dict)
    ways: Counter[str] = field(default_factory=Counter)
    fallbacks: int = 0


class SoakWorker(Worker):
    def send_all(self, batch: Sequence[tuple[Load, frozenset[int]]]) -> list[tuple[Load, frozenset[int], bytes]]:
        """Publishes to the readers that are named."""
        return [(load, readers, self._send(load, readers)) for load, readers in batch]

    def _send(self, load: Load, readers: frozenset[int]) -> bytes:
        devices = [self.device if there else CPU for there in load.on_device]
        slot = None
        if load.in_place:
            metas = [TensorMeta((n,), torch.uint8, n, d) for n, d in zip(load.sizes, devices, strict=True)]
            slot = self.publisher.reserve(metas, readers)
        payloads = []
        for k, device in enumerate(devices):
            made = load.payload(k, self.device, slot.tensors[k] if slot is not None and device == self.device else None)
            if slot is not None and device != self.device:
                made = slot.tensors[k].copy_(made)
            payloads.append(made.to(device))
        return self.put(load.prepared(payloads), readers, frozenset())


class SoakRank(Rank):
    def read_all(self, batch: Sequence[tuple[Load, bytes]]) -> Reading:
        """A few at a time: all are opened, then each is compared, checked and released."""
        found = Reading()
        self.beat()
        for start in range(0, len(batch), OPEN):
            opened = [(load, *self._take(load, message, found)) for load, message in batch[start : start + OPEN]]
            for load, got, live in opened:
                if live is not None:
                    found.outcomes[load.number] = self._verdict(load, got, live)
                if got is not None:
                    self.release(got)
        return found

    def _take(self, load: Load, message: bytes, found: Reading) -> tuple[Prepared | None, list[Tensor] | None]:
        got = None
        try:
            got = self.unpack(message)
            live = self.open(got)
        except PlumblineError as error:
            found.outcomes[load.number] = type(error).__name__
            return got, None
        parts = [part for item in got.items for part in parts_of(item.payload)]
        for part, size, there in zip(parts, load.sizes, load.on_device, strict=True):
            if size:
                way = "message" if isinstance(part, Tensor) else "host" if part.meta.device == CPU else "device"
                found.ways[way] += 1
                found.fallbacks += way != ("device" if there and self.device != CPU else "host")
        return got, live

    def _verdict(self, load: Load, got: Prepared | None, live: list[Tensor]) -> str:
        assert got is not None
        try:
            self.settle()
            right = all(torch.equal(tensor, load.payload(k, self.device)) for k, tensor in enumerate(live))
            check(got)
        except PlumblineError as error:
            return type(error).__name__
        return "right" if right else "wrong"
