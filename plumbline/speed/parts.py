"""What is timed of each part of an implementation: one run over a workload, and what has to be done before it.

Parts are timed apart: what one needs of the others lies ready (identities, rows, a tower that costs nothing).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import Tensor

from plumbline.interface import (
    Budgets,
    Checkpoint,
    Chunk,
    DevicePort,
    Domain,
    Encoded,
    Failure,
    Feature,
    Identity,
    Implementation,
    Item,
    Packed,
    PackedItem,
    Prepared,
    Rows,
    Runtime,
)
from plumbline.resolve import Subject, load
from plumbline.rig import port_of
from plumbline.speed.workloads import CHUNK, HIDDEN, MERGE, PATCH, SPEC, WORKLOADS, FreeTower, Known, Workload, table
from plumbline.timing import Contestant


class Unmeasured(Exception):
    """There is nothing to time: the implementation brings no such part."""


@dataclass
class Operation:
    """run: what is timed. ready: before each run. result: runs it once, and gives what must be equal bit for bit whoever runs it.
    counts: beside those that are seen from outside, of the last run. close: at the end."""

    run: Callable[[], Any]
    ready: Callable[[], object] = lambda: None
    result: Callable[[], list[Tensor]] = list
    counts: Callable[[], dict[str, int]] = dict
    close: Callable[[], object] = lambda: None

    @property
    def contestant(self) -> Contestant:
        return Contestant(self.run, self.ready)


@dataclass
class Setting:
    """Who runs what, and where. workload: payloads on ``device``."""

    subject: Subject
    workload: Workload
    device: torch.device
    port: CountingPort = field(init=False)

    def __post_init__(self) -> None:
        self.port = CountingPort(port_of(self.device))

    @property
    def implementation(self) -> Implementation:
        return self.subject.implementation

    @property
    def runtime(self) -> Runtime:
        most = self.workload.payload_bytes
        budgets = Budgets(cache_bytes=1 << 30, patches_per_call=8192, item_patches=1 << 20)
        on_device = self.device.type != "cpu"
        domain = Domain(
            f"plumbline-bench-{id(self)}",
            pool_bytes=3 * most + (1 << 22),
            device_bytes=3 * most + (1 << 22) if on_device else 0,
        )
        return Runtime(SPEC, cast(DevicePort, self.port), budgets, domain)

    def prepared(self) -> list[Prepared]:
        """By the reference, so that all start from the same."""
        reference: Implementation = load("reference")
        assert reference.prepare
        made = reference.prepare(self.runtime, Known.of(self.workload.items))(self.workload.requests)
        assert all(isinstance(p, Prepared) for p in made), made
        return made  # type: ignore[return-value]


class CountingPort:
    """A port, and the bytes that were moved by it."""

    device: torch.device

    def __init__(self, port: DevicePort) -> None:
        self._port, self.moved = port, 0
        self.device = port.device

    def move(self, tensor: Tensor) -> Tensor:
        self.moved += tensor.nbytes
        return self._port.move(tensor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class CountingTower(FreeTower):
    """calls, patches: of all calls. honest: rows are of the patches, so that wrong ones can be seen."""

    calls = patches = 0
    honest = False

    def __call__(self, packed: Packed) -> Encoded:
        self.calls += 1
        self.patches += len(packed.patches)
        if not self.honest:
            return super().__call__(packed)
        rows = packed.patches.reshape(-1, MERGE**2 * PATCH)[:, :HIDDEN].to(self.spec.dtype)
        return Encoded(rows, (-rows,))

    def honestly(self, run: Callable[[], Any]) -> Any:
        self.honest = True
        try:
            return run()
        finally:
            self.honest = False


def identify(s: Setting) -> Operation:
    factory = _part(s, "identify")
    identify, items = factory(s.runtime), s.workload.items
    return Operation(lambda: identify(items))


def prepare(s: Setting) -> Operation:
    prepare = _part(s, "prepare")(s.runtime, Known.of(s.workload.items))

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
    """From publishing to the last release, both sides in this process, until all that was leased is free again."""
    if s.device.type != "cpu":
        raise Unmeasured("a device's memory is not shared within one process; benchmarks.device_transport has two")
    made, prepared = _part(s, "transport")(s.runtime), s.prepared()
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
                    if isinstance(part, Feature):
                        part.release()
        worker.collect()
        return kept

    def close() -> None:
        rank.close()
        worker.close()

    return Operation(run, lambda: None, lambda: run(True), lambda: {"message_bytes": sent[0]}, close)


def encode(s: Setting) -> Operation:
    tower = _tower(s)
    encoder, items = _part(s, "encoder")(s.runtime, tower), s.workload.items

    def result() -> list[Tensor]:
        found: list[Encoded] = tower.honestly(lambda: encoder.encode(items))
        return [level for one in found for level in (one.rows, *one.side)]

    return Operation(lambda: encoder.encode(items), _zeroed(s, tower), result, _counts(s, tower))


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
    tower = _tower(s)
    kept = s.implementation.cache(s.runtime) if s.implementation.cache else None
    encoder = _part(s, "encoder")(s.runtime, tower)
    embed, prepared = _part(s, "embed")(s.runtime, encoder, kept), s.prepared()
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

    zeroed = _zeroed(s, tower)

    def ready() -> None:
        zeroed()
        if kept is not None and not s.workload.warm:
            kept.clear()

    return Operation(run, ready, lambda: _levels(tower.honestly(run)), _counts(s, tower))


def _levels(results: Sequence[Rows | Failure]) -> list[Tensor]:
    found = []
    for one in results:
        assert isinstance(one, Rows), one
        found += [one.positions, one.rows, *one.side]
    return found


def merge(s: Setting) -> Operation:
    """Each step's rows into the step's input embeddings."""
    merge = _part(s, "merge")(s.runtime)
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


def _part(s: Setting, name: str) -> Callable[..., Any]:
    factory: Callable[..., Any] | None = getattr(s.implementation, name)
    if factory is None or name in s.subject.filled:
        raise Unmeasured(f"it brings no {name}")
    return factory


def _tower(s: Setting) -> CountingTower:
    most = max(8192, *(1, *(len(i.payload) for i in s.workload.items if isinstance(i.payload, Tensor))))
    return CountingTower(s.device, most // MERGE**2)


def _zeroed(s: Setting, tower: CountingTower) -> Callable[[], None]:
    def ready() -> None:
        tower.calls = tower.patches = s.port.moved = 0

    return ready


def _counts(s: Setting, tower: CountingTower) -> Callable[[], dict[str, int]]:
    return lambda: {
        "moved_bytes": s.port.moved,
        "tower_calls": tower.calls,
        "tower_patches": tower.patches,
    }


PARTS: dict[str, tuple[Callable[[Setting], Operation], tuple[str, ...]]] = {
    "identify": (identify, ("chat", "documents", "video")),
    "prepare": (prepare, ("chat", "documents", "video", "text")),
    "transport": (transport, ("chat", "documents", "video")),
    "encode": (encode, ("chat", "documents", "video")),
    "tower": (tower, ("chat",)),
    "cache": (cache, ("documents",)),
    "embed": (embed, ("chat", "documents", "video", "repeated", "text")),
    "merge": (merge, ("chat", "documents", "repeated", "text")),
}
"""What is timed of each part, and over which workloads."""

BENCHMARKS = [f"{part}/{workload}" for part, (_, workloads) in PARTS.items() for workload in workloads]


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
