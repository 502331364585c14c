"""The engine's scenarios on a simulated device: the exact tower as one kernel, and reads that make nobody wait.

The engine looks at device tensors through ``read``, which is queued like a kernel. So nothing that the engine does brings
work forward, and an implementation is alone with its own ordering until the end of the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor

from plumbline.device_identities import moved
from plumbline.exact import shared_frames
from plumbline.interface import (
    Chunk,
    Embed,
    Encoded,
    Failure,
    Item,
    Merged,
    Packed,
    PackedItem,
    Rows,
    Step,
    Tower,
    TowerSpec,
)
from plumbline.rig import CountingPort, Place, RecordingTower
from plumbline.sim.device import Machine, SimTensor
from plumbline.sim.memory import Access
from plumbline.sim.port import SimPort
from plumbline.sim.streams import Stream

T = TypeVar("T")


class LedgerPort(SimPort):
    """moved_bytes: of payloads, as the machine saw them go from the host to a device in a step, by whatever way."""

    moved_bytes = 0


class QueuedTower:
    """A tower as one kernel on the current stream, with the epoch that it was launched under."""

    def __init__(self, tower: RecordingTower, machine: Machine, index: int) -> None:
        self._tower, self._machine, self._index = tower, machine, index
        self.spec = tower.spec

    @property
    def epoch(self) -> int:
        return self._tower.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._tower.epoch = epoch

    def __call__(self, packed: Packed) -> Encoded:
        count = sum(self._rows(item) for item in packed.items)
        shape = (count, self.spec.hidden_size)
        made = [
            self._machine.empty(shape, None, self.spec.dtype, self._index) for _ in range(1 + self.spec.side_levels)
        ]
        patches, accesses = packed.patches, [level.access(writes=True) for level in made]
        if isinstance(patches, SimTensor):
            accesses.append(patches.access(writes=False))
            patches = patches.raw
        else:
            patches = patches.clone()  # moved by the tower itself
        inside = dataclasses.replace(packed, patches=patches)
        raw, epoch = [level.raw for level in made], self.epoch

        def kernel() -> None:
            now, self.epoch = self.epoch, epoch
            try:
                encoded = self._tower(inside)
            finally:
                self.epoch = now
            for level, values in zip(raw, (encoded.rows, *encoded.side), strict=True):
                level.copy_(values)

        self._machine.launch(kernel, self._index, accesses)
        return Encoded(made[0], tuple(made[1:]))

    def _rows(self, item: PackedItem) -> int:
        layout = self.spec.layouts[item.modality]
        if layout.has_grid:
            return sum(item.parts) // (layout.merge**2 * shared_frames(item, layout))
        return sum(item.parts) * layout.rows_per_tile


class WatchedEmbed:
    """An ``Embed`` whose steps are looked at: host waits, and bytes that go to the device."""

    def __init__(self, embed: Embed, machine: Machine, port: LedgerPort) -> None:
        self._embed, self._machine, self._port = embed, machine, port
        self.admit, self.retract = embed.admit, embed.retract
        self.finish, self.set_epoch = embed.finish, embed.set_epoch
        self.waits: list[str] = []

    def step(self, chunks: Sequence[Chunk]) -> Step:
        return _WatchedStep(self, self.watch(lambda: self._embed.step(chunks)))

    def watch(self, call: Callable[[], T]) -> T:
        ledger = self._machine.ledger
        syncs, moved = len(ledger.syncs), ledger.payload_bytes()
        try:
            return call()
        finally:
            self.waits += ledger.syncs[syncs:]
            self._port.moved_bytes += ledger.payload_bytes() - moved


class _WatchedStep:
    def __init__(self, watched: WatchedEmbed, step: Step) -> None:
        self._watched, self._step = watched, step
        self.results = step.results

    def settle(self) -> list[Failure]:
        return self._watched.watch(self._step.settle)


class SimPlace(Place):
    """One run on device ``index`` of a machine that is on.

    beside: everything is built on the default stream, as at an engine's start, and then runs on another.
    """

    def __init__(self, machine: Machine, index: int = 0, beside: bool = False) -> None:
        self.machine, self.index, self.beside = machine, index, beside
        self._port = LedgerPort(index)
        self.embeds: list[WatchedEmbed] = []

    @property
    def waits(self) -> list[str]:
        """What made the host wait for the device inside a step."""
        return [wait for embed in self.embeds for wait in embed.waits]

    def port(self, spec: TowerSpec) -> CountingPort:
        return self._port

    def tower(self, tower: RecordingTower) -> Tower:
        return QueuedTower(tower, self.machine, self.index)

    def embed(self, embed: Embed) -> Embed:
        if self.beside:
            stream = Stream(self.index)
            stream.wait_stream(self.machine.current(self.index))
            stream.__enter__()  # for as long as the machine is on
        self.embeds.append(WatchedEmbed(embed, self.machine, self._port))
        return self.embeds[-1]

    def placed(self, item: Item) -> Item:
        return moved(item, self._port.device)

    def read(self, value: T, then: Callable[[T], None]) -> None:
        read: list[Access] = []

        def take(tensor: Tensor) -> Tensor:
            if not isinstance(tensor, SimTensor):
                return tensor
            read.append(tensor.access(writes=False))
            return tensor.raw

        seen = _mapped(value, take)
        self.machine.launch(lambda: then(seen), self.index, read)

    def finish(self) -> None:
        self.machine.finish()


def _mapped(value: Any, take: Callable[[Tensor], Tensor]) -> Any:
    """``value`` with its tensors replaced, where it is or holds results."""
    if isinstance(value, Tensor):
        return take(value)
    if isinstance(value, Rows):
        return dataclasses.replace(value, rows=take(value.rows), side=_mapped(value.side, take))
    if isinstance(value, Merged):
        return dataclasses.replace(value, embeds=take(value.embeds), side=_mapped(value.side, take))
    return type(value)(_mapped(one, take) for one in value) if isinstance(value, list | tuple) else value
