"""Device memory and pinned host memory: who still reads it, and what a late reader of freed memory sees."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from plumbline.sim.ledger import Ledger
from plumbline.sim.schedule import Op, Queue, Scheduler

if TYPE_CHECKING:
    from plumbline.sim.graphs import Pool

POISON = 0xFF
"""Of memory that was never written and of memory that was freed: NaN in every float type, -1 in every integer."""


class Memory:
    """Real bytes. users: queued operations that touch them. home: the stream that a device's allocation belongs to.

    captured: a graph touches it in its replays. pool: of the capture that it was allocated in.
    """

    def __init__(self, data: Tensor, home: Queue | None = None) -> None:
        self.data = data
        self.home = home
        self.users: list[Op] = []
        self.recorded: set[Queue] = set()
        self.captured = False
        self.pool: Pool | None = None

    def poison(self) -> None:
        if self.data.numel():
            raw = torch.empty(0, dtype=torch.uint8)
            raw.set_(self.data.untyped_storage())
            raw.fill_(POISON)


class Access(NamedTuple):
    """Bytes [lo, hi) from the start of the storage."""

    memory: Memory
    lo: int
    hi: int
    writes: bool


class Handle:
    """What tensors on a device share: while one is alive, so is the memory. Queued work holds the bytes, not this."""

    def __init__(self, memory: Memory, scheduler: Scheduler) -> None:
        self.memory = memory
        weakref.finalize(self, scheduler.after_this, lambda: _freed(memory, scheduler))


def _freed(memory: Memory, scheduler: Scheduler) -> None:
    """The allocator may give the memory away: in order on its own stream, after the work on streams that were recorded.

    Work on other streams has no part in that order, so it is poisoned before they read; nor have replays that are still to
    come, which read what somebody else wrote. What a capture allocated stays in its pool.
    """
    home = memory.home
    assert home is not None
    if memory.pool is not None:
        memory.pool.take_back(memory)
        return
    if not memory.users and not memory.captured:
        return
    needs = tuple(op for op in memory.users if op.queue in memory.recorded)
    strangers = any(op.queue is not home and op.queue not in memory.recorded for op in memory.users)
    poison = scheduler.add(Op(home, memory.poison, needs))
    if strangers or memory.captured:
        scheduler.finish(poison)


def place(tensor: Tensor) -> tuple[int, int]:
    """Addresses [lo, hi) of a host tensor's elements."""
    lo = tensor.data_ptr()
    if not tensor.numel():
        return lo, lo
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return lo, lo + (last + 1) * tensor.element_size()


class Pinned:
    """Host memory that copies may read and write late, and mappings that were made known because words lie in them."""

    def __init__(self, ledger: Ledger, scheduler: Scheduler) -> None:
        self._ledger, self._scheduler = ledger, scheduler
        self._blocks: dict[int, Memory] = {}
        self._files: dict[tuple[str, str], Memory] = {}

    def allocate(self, nbytes: int, lasting: bool) -> Tensor:
        """uint8 [nbytes]. lasting: kept until the copies that use it are done, as torch's own pinned memory is."""
        data = torch.full((max(nbytes, 1),), POISON, dtype=torch.uint8)
        memory, address = Memory(data), data.data_ptr()
        self._blocks[address] = memory
        shared = data.numpy()
        weakref.finalize(shared, self._scheduler.after_this, lambda: self._freed(address, lasting))
        return torch.from_numpy(shared)[:nbytes]

    def _freed(self, address: int, lasting: bool) -> None:
        memory = self._blocks.pop(address)
        if memory.users and not lasting:
            self._ledger.hazard("MOVE-004", "pinned memory was freed under a copy that reads it")
            memory.poison()

    def register(self, word: Tensor) -> None:
        """Makes the shared mapping known in which a word lies, as a port must before a device may write there."""
        found = _mapping(word.data_ptr())
        if found is not None:
            self._files.setdefault(found[0], Memory(torch.empty(0)))

    def find(self, tensor: Tensor, writes: bool) -> Access | None:
        """The pinned bytes of a host tensor; None for pageable memory."""
        lo, hi = place(tensor)
        for start, memory in self._blocks.items():
            if start <= lo and hi <= start + memory.data.numel():
                return Access(memory, lo - start, hi - start, writes)
        if self._files and (found := _mapping(lo)) is not None and found[0] in self._files:
            return Access(self._files[found[0]], lo - found[1], hi - found[1], writes)
        return None

    def busy(self) -> bool:
        return any(m.users for m in self._blocks.values()) or any(m.users for m in self._files.values())

    def touched_by_host(self, tensor: Tensor, writes: bool, name: str) -> None:
        """Notes a hazard where queued work still reads what is written here, or writes what is read or written."""
        mine = self.find(tensor, writes)
        if mine is None:
            return
        for op in mine.memory.users:
            for other in op.accesses:
                meets = other.memory is mine.memory and other.lo < mine.hi and mine.lo < other.hi
                if meets and other.writes:
                    self._ledger.hazard("MOVE-005", f"{name} on the host before the copy had finished")
                elif meets and writes:
                    self._ledger.hazard("MOVE-004", f"{name} wrote what an unfinished copy reads")


def _mapping(address: int) -> tuple[tuple[str, str], int] | None:
    """(device and inode, address of the file's first byte) of the shared mapping that an address lies in."""
    with open(f"/proc/{os.getpid()}/maps") as maps:
        for line in maps:
            span, rights, offset, device, inode, *_ = line.split(maxsplit=5)
            lo, hi = (int(x, 16) for x in span.split("-"))
            if lo <= address < hi:
                return ((device, inode), lo - int(offset, 16)) if rights[3] == "s" else None
    return None
