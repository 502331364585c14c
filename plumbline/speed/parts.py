"""What is timed of each part of an implementation: one run over a workload, and what has to be done before it.

Parts are timed apart: what one needs of the others lies ready (identities, rows, a tower that costs nothing).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import Tensor

from plumbline.interface import (
    Budgets,
    Checkpoint,
    Chunk,
    DevicePort,
    Encoded,
    Failure,
    Feature,
    Identity,
    Item,
    Packed,
    PackedItem,
    PlumblineError,
    Prepared,
    Rows,
)
from plumbline.resolve import Subject
from plumbline.speed.setting import Operation, Setting, Unmeasured, counts_of, factory_of, tower_of, zeroed
from plumbline.speed.workloads import CHUNK, SPEC, WORKLOADS, Known, Workload, table


def identify(s: Setting) -> Operation:
    factory = factory_of(s, "identify")
    identify, items = factory(s.runtime), s.workload.items
    return Operation(lambda: identify(items), result=lambda: _equals(identify(items)))


def _equals(identities: Sequence[Identity | PlumblineError]) -> list[Tensor]:
    """Which of them are the same, since digests differ from one implementation to another."""
    first: dict[Identity, int] = {}
    found = []
    for number, identity in enumerate(identities):
        assert isinstance(identity, Identity), identity
        found.append(first.setdefault(identity, number))
    return [torch.tensor(found)]


def prepare(s: Setting) -> Operation:
    prepare = factory_of(s, "prepare")(s.runtime, Known.of(s.workload.items))

    def run() -> list[Prepared | Failure]:
        return prepare(s.workload.requests)  # type: ignore[no-any-return]

    return Operation(run, result=lambda: _spans(run()))


def _spans(made: Sequence[Prepared | Failure]) -> list[Tensor]:
    found = []
    for p in made:
        assert isinstance(p, Prepared), p
        found += [p.token_ids, *(torch.tensor(item.spans) for item in p.items)]
    return found


def transport(s: Setting) -> Operation:
    """From publishing to the last release, both sides in this process, until all that was leased is free again. One byte of
    each page is read, so that nobody leaves his page faults to later."""
    if s.device.type != "cpu":
        raise Unmeasured("a device's memory is not shared within one process; benchmarks.device_transport has two")
    made, prepared = factory_of(s, "transport")(s.runtime), s.prepared()
    worker, rank = made.publisher(0), made.subscriber(0)
    rank.beat()
    sent = [0]

    def run(keep: bool = False) -> list[Tensor]:
        kept, sent[0] = [], 0
        for p in prepared:
            ticket = worker.publish(p, frozenset({0}))
            sent[0] += len(ticket.message)
            for item in rank.receive(ticket.message).items:
                assert item.payload is not None
                for part in item.payload if isinstance(item.payload, tuple) else (item.payload,):
                    opened = part if isinstance(part, Tensor) else part.open(s.device)
                    kept += [opened.clone()] if keep else []
                    opened.reshape(-1).view(torch.uint8)[::PAGE].sum()
                    if isinstance(part, Feature):
                        part.release()
        worker.collect()
        return kept

    def close() -> None:
        rank.close()
        worker.close()

    return Operation(run, lambda: None, lambda: run(True), lambda: {"message_bytes": sent[0]}, close)


def encode(s: Setting) -> Operation:
    tower = tower_of(s)
    encoder, items = factory_of(s, "encoder")(s.runtime, tower), s.workload.items

    def result() -> list[Tensor]:
        found: list[Encoded] = tower.honestly(lambda: encoder.encode(items))
        return [level for one in found for level in (one.rows, *one.side)]

    return Operation(lambda: encoder.encode(items), zeroed(s, tower), result, counts_of(s, tower))


def tower(s: Setting) -> Operation:
    """One call of a small Qwen3-VL in float32, all images in it."""
    if s.implementation.tower is None:
        raise Unmeasured("it brings no tower")
    loaded = s.implementation.tower(_checkpoint(), cast(DevicePort, s.port))
    draw = torch.Generator().manual_seed(3)
    sizes = [(1, 8, 8), (1, 10, 12), (1, 16, 16), (1, 12, 18)] * 2
    counts = [t * h * w for t, h, w in sizes]
    patches = torch.randn(sum(counts), 1536, generator=draw).to(s.device)
    ends = torch.tensor([0, *counts]).cumsum(0)
    modality = next(m for m in loaded.spec.layouts if m.value == "image")
    items = tuple(PackedItem(modality, size, (n,), {}) for size, n in zip(sizes, counts, strict=True))
    return Operation(lambda: loaded(Packed(patches, ends, items)))


@functools.cache
def _checkpoint() -> Checkpoint:
    from plumbline.small_tower import checkpoint

    folder = TemporaryDirectory(prefix="plumbline-bench-")
    _kept.append(folder)
    path = checkpoint(folder.name, depth=4, hidden_size=192, num_heads=4, intermediate_size=512)
    return Checkpoint(path, torch.float32, 1001, 1002, 1000)


_kept: list[TemporaryDirectory[str]] = []


def cache(s: Setting) -> Operation:
    """Every row put once and looked up twice, in a budget for half of them."""
    factory = s.implementation.cache
    if factory is None:
        raise Unmeasured("it keeps no rows")
    rows = _rows(s)
    total = sum(level.nbytes for one in rows.values() for level in (one.rows, *one.side))
    runtime = dataclasses.replace(s.runtime, budgets=Budgets(total // 2, 8192, 1 << 20))
    made = factory(runtime)

    def run() -> list[Encoded | None]:
        for identity, one in rows.items():
            made.put(identity, 0, one)
        return [made.get(identity, 0) for _ in range(2) for identity in rows]

    return Operation(run, made.clear)


def bare_copy(s: Setting) -> Operation:
    """What a cache is measured against: each row copied once, and put into a dictionary."""
    rows = _rows(s)

    def run() -> dict[Identity, Encoded]:
        return {key: Encoded(one.rows.clone(), tuple(side.clone() for side in one.side)) for key, one in rows.items()}

    return Operation(run)


def _rows(s: Setting) -> dict[Identity, Encoded]:
    draw = torch.Generator().manual_seed(4)
    found = {}
    for number, item in enumerate(s.workload.items):
        count = sum(hi - lo for lo, hi in item.spans)
        rows = torch.randn(count, SPEC.hidden_size, generator=draw).to(SPEC.dtype).to(s.device)
        found[Identity(number.to_bytes(32, "big"))] = Encoded(rows, (rows.clone(),))
    return found


def embed(s: Setting) -> Operation:
    """All requests admitted, prefilled in chunks side by side, and finished."""
    tower = tower_of(s)
    kept = s.implementation.cache(s.runtime) if s.implementation.cache else None
    encoder = factory_of(s, "encoder")(s.runtime, tower)
    embed, prepared = factory_of(s, "embed")(s.runtime, encoder, kept), s.prepared()
    steps = _steps(prepared)

    def run() -> list[Rows | Failure]:
        results: list[Rows | Failure] = []
        for p in prepared:
            embed.admit(p)
        for chunks in steps:
            step = embed.step(chunks)
            results += step.results
            step.settle()
        for p in prepared:
            embed.finish(p.request_id)
        return results

    zero = zeroed(s, tower)

    def ready() -> None:
        zero()
        if kept is not None and not s.workload.warm:
            kept.clear()

    return Operation(run, ready, lambda: _levels(tower.honestly(run)), counts_of(s, tower))


def _levels(results: Sequence[Rows | Failure]) -> list[Tensor]:
    found = []
    for one in results:
        assert isinstance(one, Rows), one
        found += [one.positions, one.rows, *one.side]
    return found


def merge(s: Setting) -> Operation:
    """Each step's rows into the step's input embeddings."""
    merge = factory_of(s, "merge")(s.runtime)
    prepared = s.prepared()
    embed_tokens = table(s.device)
    ids = {p.request_id: p.token_ids for p in prepared}
    steps = []
    draw = torch.Generator().manual_seed(5)
    rows = torch.randn(max(len(i) for i in ids.values()), SPEC.hidden_size, generator=draw).to(SPEC.dtype).to(s.device)
    for chunks in _steps(prepared):
        made = []
        for c in chunks:
            part = ids[c.request_id][c.lo : c.hi]
            positions = (part >= SPEC.vocab_size).nonzero().flatten() + c.lo
            mine = rows[positions.to(s.device)]
            made.append(Rows(c.request_id, c.lo, c.hi, positions, mine, (mine,)))
        steps.append((made, torch.cat([ids[c.request_id][c.lo : c.hi] for c in chunks])))

    def run() -> list[Any]:
        return [merge(made, step_ids, embed_tokens) for made, step_ids in steps]

    return Operation(run, result=lambda: [t for m in run() for t in (m.embeds, m.mask, *m.side)])


def _steps(prepared: Sequence[Prepared]) -> list[list[Chunk]]:
    longest = max(len(p.token_ids) for p in prepared)
    return [
        [Chunk(p.request_id, lo, min(lo + CHUNK, len(p.token_ids))) for p in prepared if lo < len(p.token_ids)]
        for lo in range(0, longest, CHUNK)
    ]


PAGE = 4096

PARTS: dict[str, tuple[Callable[[Setting], Operation], tuple[str, ...]]] = {
    "identify": (identify, ("chat", "documents", "video")),
    "prepare": (prepare, ("chat", "documents", "video", "text")),
    "transport": (transport, ("chat", "documents", "video")),
    "encode": (encode, ("chat", "documents", "video")),
    "tower": (tower, ("chat",)),
    "cache": (cache, ("chat", "documents")),
    "embed": (embed, ("chat", "documents", "video", "repeated", "text")),
    "merge": (merge, ("chat", "documents", "repeated", "text")),
}
"""What is timed of each part, and over which workloads."""

BENCHMARKS = [f"{part}/{workload}" for part, (_, workloads) in PARTS.items() for workload in workloads]


def is_chosen(benchmark: str, only: Collection[str]) -> bool:
    """Whether --only leaves it. only: parts and benchmarks; none for all."""
    return not only or not {benchmark, benchmark.partition("/")[0]}.isdisjoint(only)


def operation(benchmark: str, subject: Subject, device: torch.device, workload: Workload) -> Operation:
    """Raises Unmeasured, and what the implementation raises."""
    return PARTS[benchmark.partition("/")[0]][0](Setting(subject, workload, device))


def workload_of(benchmark: str, device: torch.device) -> Workload:
    made = WORKLOADS[benchmark.partition("/")[2]]()
    if device.type == "cpu":
        return made
    return dataclasses.replace(made, requests=tuple(_on(device, r) for r in made.requests))


def _on(device: torch.device, request: Any) -> Any:
    items: list[Item] = [dataclasses.replace(item, payload=item.payload.to(device)) for item in request.items]
    return dataclasses.replace(request, items=tuple(items))
