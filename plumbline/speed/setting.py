"""What a benchmark of a part starts from: an implementation, a workload, a port and a tower that count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from plumbline.interface import Budgets, DevicePort, Domain, Encoded, Implementation, Packed, Prepared, Runtime
from plumbline.resolve import Subject, load
from plumbline.rig import port_of
from plumbline.speed.workloads import HIDDEN, MERGE, PATCH, SPEC, FreeTower, Known, Workload
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


def factory_of(s: Setting, name: str) -> Callable[..., Any]:
    factory: Callable[..., Any] | None = getattr(s.implementation, name)
    if factory is None or name in s.subject.filled:
        raise Unmeasured(f"it brings no {name}")
    return factory


def tower_of(s: Setting) -> CountingTower:
    most = max(8192, *(1, *(len(i.payload) for i in s.workload.items if isinstance(i.payload, Tensor))))
    return CountingTower(s.device, most // MERGE**2)


def zeroed(s: Setting, tower: CountingTower) -> Callable[[], None]:
    def ready() -> None:
        tower.calls = tower.patches = s.port.moved = 0

    return ready


def counts_of(s: Setting, tower: CountingTower) -> Callable[[], dict[str, int]]:
    return lambda: {
        "moved_bytes": s.port.moved,
        "tower_calls": tower.calls,
        "tower_patches": tower.patches,
    }
