"""Sides whose streams a test holds up, and which say how long their calls took and what they asked the device."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import PlumblineError, Prepared
from plumbline.transport_fields import same_bits
from plumbline.transport_remote import Rank, Sent, Worker, check, features, held_of, release
from plumbline.transport_scenario import WireRequest, prepared_of
from plumbline.transport_scenario import parts_of as wire_parts


class HeldWorker(Worker):
    """``hold`` stops its stream until ``let_go``; what is published meanwhile is ready only afterwards."""

    def make(self, requests: Sequence[WireRequest]) -> None:
        """Payloads, done before the stream is held up."""
        self.made = [
            (request, prepared_of(f"made{k}", request, device=self.device)) for k, request in enumerate(requests)
        ]
        self.settle()

    def hold(self) -> None:
        page = torch.zeros(4096, dtype=torch.uint8)
        self.port.register(page)
        self.gate = page[:8].view(torch.int64)
        self.port.wait(self.gate, 1)

    def let_go(self) -> None:
        self.gate.fill_(1)

    def send(self, number: int, readers: frozenset[int]) -> Sent:
        """Publishes what was made. Raises RuntimeError if torch sees the host wait."""
        request, prepared = self.made[number]
        with never_waiting():
            began = time.perf_counter()
            message = self.publisher.publish(prepared, readers, held_of(request)).message
            seconds = time.perf_counter() - began
        return Sent(prepared.request_id, request, message, self.publisher.leased, in_place=False, seconds=seconds)


class PatientRank(Rank):
    """Opens what is not ready yet, and says later what it read."""

    def get(self, message: bytes) -> None:
        """Receives, and opens nothing."""
        self.got: Prepared = self.subscriber.receive(message)

    def take(self, message: bytes) -> tuple[bool, float]:
        """Receives and opens. Whether all was ready before, and the seconds of both calls."""
        with never_waiting():
            began = time.perf_counter()
            self.get(message)
            ready = all(feature.ready() for feature in features(self.got))
            self.live: list[Tensor] = self.open(self.got)
            return ready, time.perf_counter() - began

    def again(self, message: bytes, request: WireRequest, seconds: float) -> Counter[str]:
        """Receives, opens and compares again and again, without releasing. Counts what ``verdict`` would say."""
        wanted = [bits_of(p) for item in request.items for p in wire_parts(item)]
        said = Counter[str]()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                got = self.subscriber.receive(message)
                live = self.open(got)
                right = same_bits([[bits_of(t.cpu()) for t in live]], [wanted])
                check(got)
                said["right" if right else "wrong"] += 1
            except PlumblineError as error:
                said[type(error).__name__] += 1
        return said

    def synchronised(self) -> float:
        """Waits for the device. Returns the time.monotonic() at which it was done."""
        self.settle()
        return time.monotonic()

    def verdict(self, request: WireRequest) -> str:
        """After ``synchronised``: "right", "wrong", or the name of the error that check() raised. Releases."""
        try:
            wanted = [bits_of(p) for item in request.items for p in wire_parts(item)]
            right = same_bits([[bits_of(t.cpu()) for t in self.live]], [wanted])
            check(self.got)
            return "right" if right else "wrong"
        except PlumblineError as error:
            return type(error).__name__
        finally:
            self.live.clear()
            with never_waiting():
                release(self.got)


class never_waiting:
    """torch raises RuntimeError where a call inside would make the host wait for the device."""

    def __enter__(self) -> None:
        torch.cuda.set_sync_debug_mode("error")

    def __exit__(self, *_: object) -> None:
        torch.cuda.set_sync_debug_mode("default")
