"""Several ways to bring a request's payload to another process, in turns: one-way latency, and bytes per second in bursts.

    python -m benchmarks.transport --out FILE             # with SGLang's way, if PLUMBLINE_SGLANG names a release

A payload starts in a tensor of the publisher, or in place: where its producer wrote it, outside the time. It has arrived
when the reader has the tensor and has read one byte of each of its pages, so that no way can leave its page faults to later.
Both processes read CLOCK_MONOTONIC. Messages, whatever is in them, go through one pipe; torch's queue has its own. The
ways of this repository carry a whole request, the others the tensor alone. Nothing is lost or damaged on the way: that is
checked before anything is timed. Two more rows show what nobody can beat: a copy inside the publisher, of as many bytes, and
a message without payload, of as many bytes as this repository's.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import hashlib
import json
import os
import pickle
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing
from rich.console import Console
from torch import Tensor

import optimized
import reference
from plumbline.interface import Domain, Feature, Identity, Implementation, Item, Modality, Prepared, Source, TensorMeta
from plumbline.results import commit, environment
from plumbline.timing import Contestant, in_turns, ratio
from plumbline.transport_host import fresh_name, transport_of

MIB = 1 << 20
PATCH = 1536
"""Elements of float32 in a patch: 16 pixels square, 2 frames, 3 colours."""
SIDES = {1.5: (16, 16), 15.0: (40, 64), 36.0: (64, 96), 112.0: (104, 184)}
"""MiB, and the patches of an image of about so many: of 112.1 for the largest."""
ROUNDS = {1.5: 60, 15.0: 30, 36.0: 15, 112.0: 6}
BURST = 4
PAGE = 4096
CPU = torch.device("cpu")
COPY, ALONE, STAGED, IN_PLACE = "memory copy", "message alone", "optimized, staged", "optimized, in place"


@dataclasses.dataclass(frozen=True)
class Link:
    """What both processes have. pipe: this side's end of it."""

    pipe: Connection
    queue: Any
    domain: Domain
    sglang: bool


class Way:
    """One way to bring a payload to another process. It is made in both, and each calls its half."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def ready(self, prepared: Prepared, count: int) -> None:
        """Publisher, not timed: what is at hand before that many are sent."""
        self.payload = payload_of(prepared)

    def send(self, number: int) -> None:
        """Publisher, timed."""
        raise NotImplementedError

    def receive(self) -> Tensor:
        """Reader, timed."""
        raise NotImplementedError

    def release(self) -> None:
        """Reader, not timed: after it has dropped the tensors."""

    def close(self) -> None:
        """Either side."""


class Published(Way):
    """Through an implementation's transport."""

    def __init__(self, link: Link, implementation: Implementation, in_place: bool = False) -> None:
        super().__init__(link)
        self.transport = transport_of(implementation, link.domain)
        self.in_place = in_place
        """A worker of its own, so that neither has the other's pool."""
        self.features: list[Feature] = []

    @cached_property
    def publisher(self) -> Any:
        return self.transport.publisher(int(self.in_place))

    @cached_property
    def subscriber(self) -> Any:
        return self.transport.subscriber(0)

    def ready(self, prepared: Prepared, count: int) -> None:
        self.given = [self.placed(prepared) if self.in_place else prepared for _ in range(count)]

    def placed(self, prepared: Prepared) -> Prepared:
        payload = payload_of(prepared)
        meta = TensorMeta(tuple(payload.shape), payload.dtype, payload.nbytes, CPU)
        slot = self.publisher.reserve([meta], frozenset({0}))
        assert slot is not None, "the pool is too small"
        slot.tensors[0].copy_(payload)
        return dataclasses.replace(prepared, items=(dataclasses.replace(prepared.items[0], payload=slot.tensors[0]),))

    def send(self, number: int) -> None:
        self.link.pipe.send_bytes(self.publisher.publish(self.given[number], frozenset({0})).message)

    def receive(self) -> Tensor:
        part = self.subscriber.receive(self.link.pipe.recv_bytes()).items[0].payload
        if isinstance(part, Tensor):
            return part
        self.features.append(part)
        opened: Tensor = part.open(CPU)
        return opened

    def release(self) -> None:
        for feature in self.features:
            feature.check()
            feature.release()
        self.features.clear()

    def close(self) -> None:
        for side in {"publisher", "subscriber"} & vars(self).keys():
            getattr(self, side).close()


class Pickled(Way):
    """The tensor's own pickle, bytes and all."""

    def send(self, number: int) -> None:
        self.link.pipe.send_bytes(pickle.dumps(self.payload, pickle.HIGHEST_PROTOCOL))

    def receive(self) -> Tensor:
        tensor: Tensor = pickle.loads(self.link.pipe.recv_bytes())
        return tensor


class Queued(Way):
    """torch's queue, which moves a tensor's storage into shared memory; so each tensor is sent once."""

    def ready(self, prepared: Prepared, count: int) -> None:
        self.fresh = [payload_of(prepared).clone() for _ in range(count)]

    def send(self, number: int) -> None:
        self.link.queue.put(self.fresh[number])

    def receive(self) -> Tensor:
        tensor: Tensor = self.link.queue.get()
        return tensor


class SGLang(Way):
    """SGLang's ``ShmPointerMMData``: a shared memory segment for each tensor, whose name is pickled."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        from adapters import sglang_release

        self.pointer = sglang_release.release().utils.ShmPointerMMData

    def send(self, number: int) -> None:
        self.link.pipe.send_bytes(pickle.dumps(self.pointer(self.payload), pickle.HIGHEST_PROTOCOL))

    def receive(self) -> Tensor:
        tensor: Tensor = pickle.loads(self.link.pipe.recv_bytes()).materialize()
        return tensor


class Alone(Way):
    """A message that brings nothing, of 16 bytes for each token."""

    def ready(self, prepared: Prepared, count: int) -> None:
        self.message = bytes(16 * len(prepared.token_ids))

    def send(self, number: int) -> None:
        self.link.pipe.send_bytes(self.message)

    def receive(self) -> Tensor:
        self.link.pipe.recv_bytes()
        return torch.empty(0)


def ways(link: Link) -> dict[str, Way]:
    return {
        ALONE: Alone(link),
        STAGED: Published(link, optimized.implementation),
        IN_PLACE: Published(link, optimized.implementation, in_place=True),
        "reference": Published(link, reference.implementation),
        "pickle": Pickled(link),
        "torch queue": Queued(link),
        **({"SGLang": SGLang(link)} if link.sglang else {}),
    }


def touch(tensor: Tensor) -> int:
    """Reads one byte of each page."""
    return int(tensor.view(-1).view(torch.uint8)[::PAGE].sum())


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().view(-1).view(torch.uint8).numpy().data).hexdigest()


def read(link: Link) -> None:
    """The reader's process. An order is a way's name, how many come, and whether their digests are asked for."""
    torch.set_num_threads(1)
    gc.disable()
    known = ways(link)
    while (order := link.pipe.recv()) is not None:
        name, count, asked = order
        way = known[name]
        if asked:  # elsewhere it would do no more than empty the caches
            gc.collect()
        link.pipe.send("ready")
        tensors, had, touched = [], [], []
        for _ in range(count):
            tensors.append(way.receive())
            had.append(time.monotonic_ns())
            touch(tensors[-1])
            touched.append(time.monotonic_ns())
        digests = [digest(tensor) for tensor in tensors] if asked else []
        tensors.clear()
        way.release()
        link.pipe.send((had, touched, digests))
    for way in known.values():
        way.close()


class Sender:
    """Sends bursts one way and keeps, of each, the seconds until the last payload was had, and until it was touched."""

    def __init__(self, link: Link, name: str, way: Way, prepared: Prepared, count: int) -> None:
        self.link, self.name, self.way, self.prepared, self.count = link, name, way, prepared, count
        self.had: list[float] = []
        self.touched: list[float] = []

    def ready(self, asked: bool = False) -> None:
        self.way.ready(self.prepared, self.count)
        self.link.pipe.send((self.name, self.count, asked))
        assert self.link.pipe.recv() == "ready"

    def run(self) -> list[str]:
        began = time.monotonic_ns()
        for number in range(self.count):
            self.way.send(number)
        had, touched, digests = self.link.pipe.recv()
        self.had.append((had[-1] - began) / 1e9)
        self.touched.append((touched[-1] - began) / 1e9)
        return list(digests)

    def check(self) -> None:
        self.ready(asked=True)
        assert self.run() == [digest(payload_of(self.prepared))] * self.count, f"{self.name} damages what it brings"


class Copier:
    """As many copies inside this process, between buffers whose pages were touched before."""

    def __init__(self, prepared: Prepared, count: int) -> None:
        self.payload = payload_of(prepared)
        self.places = [torch.zeros_like(self.payload) for _ in range(count)]
        self.had: list[float] = []
        self.touched: list[float] = []

    def ready(self) -> None: ...

    def run(self) -> None:
        began = time.monotonic_ns()
        for place in self.places:
            place.copy_(self.payload)
            had = time.monotonic_ns()
            touch(place)
        self.had.append((had - began) / 1e9)
        self.touched.append((time.monotonic_ns() - began) / 1e9)


def payload_of(prepared: Prepared) -> Tensor:
    payload = prepared.items[0].payload
    assert isinstance(payload, Tensor)
    return payload


def request_of(sides: tuple[int, int]) -> Prepared:
    """One image, four patches to a row, as a processor would leave it."""
    patches = sides[0] * sides[1]
    tokens = patches // 4 + 2
    item = Item(
        Modality.IMAGE, Source.PIXELS, torch.randn(patches, PATCH), ((1, tokens - 1),), torch.tensor([[1, *sides]])
    )
    ids = torch.arange(tokens)
    return Prepared("request", ids, (item,), (Identity(bytes(32)),), ids)


@contextmanager
def reading(sglang: bool) -> Iterator[Link]:
    """A reader in a process of its own."""
    most = max(4 * PATCH * a * b for a, b in SIDES.values())
    domain = Domain(fresh_name(), workers=2, ranks=1, pool_bytes=2 * (BURST * most + 16 * MIB))
    spawn = torch.multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    queue = spawn.Queue()
    process = spawn.Process(target=read, args=(Link(theirs, queue, domain, sglang),), daemon=True)
    process.start()
    theirs.close()
    link = Link(ours, queue, domain, sglang)
    yield link
    link.pipe.send(None)
    process.join(30)
    assert process.exitcode == 0


def measure(link: Link, known: Mapping[str, Way], size: float, count: int, rounds: int) -> dict[str, Any]:
    """Seconds of bursts of ``count``, of each way and of the copy, two for each round."""
    prepared = request_of(SIDES[size])
    senders = {name: Sender(link, name, way, prepared, count) for name, way in known.items()}
    copier = Copier(prepared, count)
    for name, sender in senders.items():
        if name != ALONE:
            sender.check()
    contestants = {COPY: Contestant(copier.run, copier.ready)}
    contestants |= {name: Contestant(sender.run, sender.ready) for name, sender in senders.items()}
    before = os.getloadavg()
    in_turns(contestants, rounds)
    kept: dict[str, Sender | Copier] = {COPY: copier, **senders}
    found = {name: {"had": k.had[-2 * rounds :], "touched": k.touched[-2 * rounds :]} for name, k in kept.items()}
    nbytes = payload_of(prepared).nbytes
    return {"bytes": nbytes, "in_flight": count, "load": [before[0], os.getloadavg()[0]], "seconds": found}


def ratios(seconds: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Of the two ways of ``optimized`` over each other one, with its 95 % interval."""
    return {
        ours: {name: ratio(seconds[ours]["touched"], kept["touched"]) for name, kept in seconds.items() if name != ours}
        for ours in (STAGED, IN_PLACE)
    }


def show(say: Callable[[str], object], row: dict[str, Any]) -> None:
    mib, count = row["bytes"] / MIB, row["in_flight"]
    load = " to ".join(f"{value:.1f}" for value in row["load"])
    say(
        f"\n{mib:.1f} MiB, {count} in flight; load {load}     ms had, touched   GB/s   staged over it, 95 %    in place over it"
    )
    for name, kept in row["seconds"].items():
        had, touched = (statistics.median(kept[key]) for key in ("had", "touched"))
        over = (row["ratios"][ours].get(name) for ours in (STAGED, IN_PLACE))
        shown = (f"{r[0]:7.3f} [{r[1]:.3f}, {r[2]:.3f}]" if r else " " * 22 for r in over)
        say(
            f"{name:24s} {1e3 * had:10.3f} {1e3 * touched:10.3f} {count * row['bytes'] / touched / 1e9:8.2f} "
            + " ".join(shown)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("report/transport.json"))
    parser.add_argument("--sizes", type=float, nargs="+", default=list(SIDES), choices=list(SIDES), help="MiB")
    parser.add_argument("--rounds", type=float, default=1.0, help="times as many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(highlight=False, width=140, soft_wrap=True)
    rows, began = [], time.time()
    with reading(sglang=bool(os.environ.get("PLUMBLINE_SGLANG"))) as link:
        known = ways(link)
        for size in options.sizes:
            for count in (1, BURST):
                rounds = max(2, round(options.rounds * ROUNDS[size] / (1 if count == 1 else 2)))
                row = measure(link, known, size, count, rounds)
                row["ratios"] = ratios(row["seconds"])
                show(console.print, row)
                rows.append(row)
        for way in known.values():
            way.close()
    release = os.path.basename(os.environ.get("PLUMBLINE_SGLANG", "")) or None
    result: dict[str, Any] = {"commit": commit(), "environment": environment() | {"threads": 1}, "sglang": release}
    result |= {"took": round(time.time() - began, 1), "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result) + "\n")
    console.print(f"{options.out} written")


if __name__ == "__main__":
    main()
