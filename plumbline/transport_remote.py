"""Workers and ranks in processes of their own, each on a device of its own, which a test drives call by call."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plumbline.bench import Verdicts
from plumbline.build import bits_of
from plumbline.interface import (
    Domain,
    Feature,
    Identity,
    PlumblineError,
    Prepared,
    Publisher,
    Subscriber,
    Transport,
)
from plumbline.remote import Local, Remote
from plumbline.resolve import resolve
from plumbline.rig import port_of
from plumbline.transport_fields import difference, metadata_tensors, parts_of, same_bits
from plumbline.transport_host import listening, transport_of
from plumbline.transport_scenario import Delivery, WireRequest, identity_of, metas_of, prepared_of
from plumbline.transport_scenario import parts_of as wire_parts

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Sent:
    """A publication. taken: bytes that it put under a lease. in_place: written there first. seconds: of the call."""

    name: str
    request: WireRequest
    message: bytes
    taken: int
    in_place: bool
    seconds: float


class Side:
    """What both have: a device, its port, and what was logged. device: "cpu" or "cuda:1". Nothing makes it current."""

    def __init__(self, device: str, spec: str = "optimized", replaced: Sequence[str] = ()) -> None:
        torch.set_num_threads(1)
        self.device = torch.device(device)
        self.port = port_of(self.device)
        self.implementation = resolve(spec, replaced).implementation
        self._log = contextlib.ExitStack()
        self._said = self._log.enter_context(listening())

    def transport(self, domain: Domain) -> Transport:
        return transport_of(self.implementation, domain, port=self.port)

    def said(self) -> list[str]:
        """Warnings since the last call."""
        said = list(self._said)
        self._said.clear()
        return said

    def settle(self) -> None:
        """Until the device has done everything that is queued."""
        if self.device.type != "cpu":
            torch.get_device_module(self.device).synchronize(self.device)

    def free_memory(self) -> int:
        """Bytes of the device that no process uses; what this one keeps for later is given back first."""
        gc.collect()
        self.settle()
        with torch.cuda.device(self.device):
            torch.cuda.empty_cache()
            return int(torch.cuda.mem_get_info()[0])


class Worker(Side):
    publisher: Publisher

    def join(self, domain: Domain, number: int) -> None:
        self.publisher = self.transport(domain).publisher(number)

    def publish(self, name: str, request: WireRequest, readers: frozenset[int]) -> Sent:
        """In place if the request says so and there is room."""
        publisher, before = self.publisher, self.leased()
        slot = publisher.reserve(metas_of(request, self.device), readers) if request.in_place else None
        prepared = prepared_of(name, request, device=self.device)
        if slot is not None:
            for space, part in zip(slot.tensors, payload_tensors(prepared), strict=True):
                space.copy_(part)
            prepared = prepared_of(name, request, slot.tensors)
        began = time.perf_counter()
        message = self.put(prepared, readers, held_of(request))
        seconds = time.perf_counter() - began
        return Sent(name, request, message, publisher.leased - before, slot is not None, seconds)

    def put(self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity]) -> bytes:
        return self.publisher.publish(prepared, readers, held).message

    def leased(self) -> int:
        self.publisher.collect()
        return self.publisher.leased

    def lost(self, rank: int) -> None:
        self.publisher.lost(rank)

    def leave(self) -> None:
        self.publisher.close()
        del self.publisher


class Rank(Side):
    subscriber: Subscriber

    def join(self, domain: Domain, number: int) -> None:
        self.subscriber = self.transport(domain).subscriber(number)

    def read(self, batch: Sequence[Sent]) -> Verdicts:
        """Receives all, then opens all, the last one first; then compares, checks and releases each."""
        verdicts = Verdicts()
        received = [(sent, self.receive(sent, verdicts)) for sent in batch]
        opened = [(sent, got, self.open(got)) for sent, got in reversed(received)]
        for sent, got, live in opened:
            away = [
                t for t in live if (t.device.type, t.device.index or 0) != (self.device.type, self.device.index or 0)
            ]
            verdicts.check("POOL-009", not away, f"{sent.name} is on {[str(t.device) for t in away]}")
            travelled = [item for item in sent.request.items if identity_of(item) not in held_of(sent.request)]
            wanted = [bits_of(p) for item in travelled for p in wire_parts(item)]
            right = same_bits([[bits_of(t.cpu()) for t in live]], [wanted])
            check(got)
            verdicts.check("POOL-001", right, f"{sent.name} reads other bytes, and check() is silent")
            self.release(got)
        self.settle()
        return verdicts

    def receive(self, sent: Sent, verdicts: Verdicts) -> Prepared:
        got = self.unpack(sent.message)
        field = difference(prepared_of(sent.name, sent.request), got, held_of(sent.request))
        verdicts.check("MSG-005", not field, f"{field} of {sent.name} did not survive")
        there = [str(t.device) for t in metadata_tensors(got) if t.device != CPU]
        verdicts.check("MSG-006", not there, f"metadata of {sent.name} on {there}")
        return got

    def unpack(self, message: bytes) -> Prepared:
        return self.subscriber.receive(message)

    def open(self, prepared: Prepared) -> list[Tensor]:
        """Every payload on the port's device, as an encoder has it."""
        parts = [part for item in prepared.items for part in parts_of(item.payload)]
        return [self.port.move(p) if isinstance(p, Tensor) else p.open(self.port.device) for p in parts]

    def release(self, prepared: Prepared) -> None:
        release(prepared)

    def beat(self) -> None:
        self.subscriber.beat()

    def lost(self, worker: int) -> None:
        self.subscriber.lost(worker)

    def leave(self) -> None:
        self.subscriber.close()
        del self.subscriber


def held_of(request: WireRequest) -> frozenset[Identity]:
    return frozenset(identity_of(item) for item in request.items if item.held)


def payload_tensors(prepared: Prepared) -> list[Tensor]:
    return [p for item in prepared.items for p in parts_of(item.payload) if isinstance(p, Tensor)]


def features(prepared: Prepared) -> Iterator[Feature]:
    for item in prepared.items:
        yield from (part for part in parts_of(item.payload) if not isinstance(part, Tensor))


def check(prepared: Prepared) -> None:
    for feature in features(prepared):
        feature.check()


def release(prepared: Prepared) -> None:
    for feature in features(prepared):
        feature.release()


# ---------------------------------------------------------------------------------------------------- the test's side


class Fleet:
    """One engine: a device for each worker and each rank. Processes are killed at the end, whatever happened.

    process: Remote, or Local for all of them in this one.
    """

    worker_type: type[Worker] = Worker
    rank_type: type[Rank] = Rank

    def __init__(
        self,
        workers: Sequence[str],
        ranks: Sequence[str],
        process: Callable[..., Remote[Any] | Local[Any]] = Remote,
    ) -> None:
        self.workers: list[Remote[Worker] | Local[Worker]] = [process(self.worker_type, device) for device in workers]
        self.ranks: list[Remote[Rank] | Local[Rank]] = [process(self.rank_type, device) for device in ranks]
        self._published = 0

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.discard()
        for rank in self.ranks:
            rank.discard()

    def join(self, domain: Domain) -> None:
        for number, worker in enumerate(self.workers):
            worker.call(self.worker_type.join, domain, number)
        for number, rank in enumerate(self.ranks):
            rank.call(self.rank_type.join, domain, number)

    def leave(self) -> None:
        for rank in self.ranks:
            rank.call(self.rank_type.leave)
        for worker in self.workers:
            worker.call(self.worker_type.leave)

    def deliver(self, case: Delivery) -> tuple[Verdicts, set[str]]:
        """Verdicts on one case, and the situations that it reached."""
        verdicts, reach = Verdicts(), set[str]()
        everybody = frozenset(range(len(self.ranks)))
        batches: dict[int, list[Sent]] = {rank: [] for rank in everybody}
        for number, request in enumerate(case.requests):
            readers = request.to(len(self.ranks))
            worker = self.workers[case.workers[number % len(case.workers)] % len(self.workers)]
            self._published += 1
            plain = dataclasses.replace(request, fault="", in_place=request.in_place and not held_of(request))
            sent = worker.call(self.worker_type.publish, f"q{self._published}", plain, readers)
            reach |= {"pooled"} if sent.taken else {"message"}
            reach |= {"in place"} if sent.in_place else set()
            for rank in readers:
                batches[rank].append(sent)
        for turn in everybody:
            rank = (turn + self._published) % len(self.ranks)  # the first one to read finds nothing settled
            try:
                found = self.ranks[rank].call(self.rank_type.read, batches[rank])
            except PlumblineError as error:
                verdicts.check("POOL-006", False, f"rank {rank} was refused: {type(error).__name__}: {error}")
            else:
                verdicts.judged += found.judged
                verdicts.violations += found.violations
        for number, process in enumerate(self.workers):
            leased = process.call(self.worker_type.leased)
            verdicts.check("POOL-003", leased == 0, f"worker {number} keeps {leased} bytes after all were released")
        return verdicts, reach
