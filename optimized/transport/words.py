"""One worker's shared memory: a file, the control words at its front, and the payload space behind them; and, where the
worker has one, payload space on a device, which follows that of the file in one count of bytes.

All words are int64. In order: version, stamp, slots, ranks, bytes of the device's space; its handle, the length first; one
heartbeat for each rank; for each slot its generation, its ready word, and one acknowledgement for each rank. The worker
writes generations, a stream of the worker ready words, rank r the heartbeats and acknowledgements of r; nobody else writes
them, until the worker is dead. A generation of 0 means that the slot is nobody's.

A fence is a store of the generation, then stores of other payloads; its check is loads of the payload, then a load of
the generation. That order is kept by x86-64; a weaker machine needs barriers here.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import mmap
import os
import re
import secrets
import stat
import weakref
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from plumbline.interface import DevicePort, Domain

FOLDER = Path("/dev/shm")
VERSION = int.from_bytes(b"PLMBSHM\x02", "big")
HEADER = 5
HANDLE = 16
"""Words of a handle, with its length."""
ALIGNMENT = 256
NEVER = (1 << 63) - 1
"""In the ready word of a slot whose worker is dead: no stream waits for it any longer."""


def aligned(nbytes: int) -> int:
    """``nbytes`` rounded up to the alignment of payloads."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def nanoseconds(clock: Callable[[], float]) -> int:
    """The time as a word can hold it."""
    return round(clock() * 1e9)


def file_name(domain: str, worker: int, stamp: int) -> str:
    return f"{domain}-{worker}-{stamp:016x}"


def segments_of(domain: str) -> dict[tuple[int, int], Path]:
    """What exists now of this domain, by worker and stamp. Another domain's name may begin with this one's. Raises OSError."""
    pattern = re.compile(re.escape(domain) + "-([0-9]{1,9})-([0-9a-f]{16})")
    found = ((pattern.fullmatch(name), FOLDER / name) for name in os.listdir(FOLDER))
    return {(int(match[1]), int(match[2], 16)): path for match, path in found if match}


def sweep(domain: Domain, worker: int) -> None:
    """Removes what predecessors of this worker left behind, and of those that the domain has no longer. Raises OSError."""
    for (owner, _), path in segments_of(domain.name).items():
        if owner == worker or owner >= domain.workers:
            remove_orphan(path)


def remove_orphan(path: Path) -> bool:
    """Removes a segment whose owner's lock is gone with its process; whether it did."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # Shared: of two that try this at one time, neither is in the other's way.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            path.unlink()
            return True
        finally:
            os.close(descriptor)
    return False


class Lock:
    """Of a file, by its owner: for as long as this object and this process live. A fork of the process has no part in it."""

    def __init__(self, path: Path) -> None:
        # A descriptor of its own, because a mapping keeps a copy of the one that it is made from.
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locks.add(self)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    __del__ = close


locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def close_all() -> None:
    for lock in list(locks):
        lock.close()


os.register_at_fork(after_in_child=close_all)


class Segment:
    """A mapping of one segment; it lasts as long as any tensor into it.

    bytes: uint8 [size]. device: uint8 [stop - size], the space on a device; None if there is none, or no way to it from
    here, and then refusal says why. heard: int64 [ranks]. generations, ready: int64 [slots]. acknowledged: int64 [slots,
    ranks]. These four are numpy views. payload_start: first byte that is no control word.
    """

    def __init__(self, path: Path, stamp: int, mapping: mmap.mmap, slots: int, ranks: int, port: DevicePort) -> None:
        """Raises OSError: the port's device cannot use the memory."""
        self.path, self.stamp, self.slots, self.ranks = path, stamp, slots, ranks
        self.size = self.stop = len(mapping)
        self.bytes = torch.frombuffer(mapping, dtype=torch.uint8)
        port.register(self.bytes)
        self.device: Tensor | None = None
        self.lock: Lock | None = None
        self.refusal = ""
        self.words = self.bytes[: 8 * count(slots, ranks)].view(torch.int64)
        self.payload_start = payload_start(slots, ranks)
        self.handle = self.bytes[8 * HEADER : 8 * (HEADER + HANDLE)]
        self._table = self.words[HEADER + HANDLE + ranks :].view(slots, 2 + ranks)
        self._kept: dict[tuple[int, int], Tensor] = {}
        self._rooms: dict[tuple[bool, torch.dtype], Tensor] = {}
        """All of the space, by where it is and what it is taken for."""
        table = self._table.numpy()
        self.heard = self.words[HEADER + HANDLE : HEADER + HANDLE + ranks].numpy()
        self.generations, self.ready, self.acknowledged = table[:, 0], table[:, 1], table[:, 2:]

    @classmethod
    def create(
        cls, domain: str, worker: int, size: int, device_size: int, slots: int, ranks: int, port: DevicePort
    ) -> Segment:
        """A new one, all words 0 but the header's. Raises OSError: there is no shared memory, or not so much."""
        stamp = secrets.randbits(62)
        path = FOLDER / file_name(domain, worker, stamp)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            lock = Lock(path)
            # Pages that only turn out to be missing when they are touched end the process with SIGBUS.
            os.posix_fallocate(descriptor, 0, size)
            # Page faults cost more than the copies that would cause them, so they are taken here.
            mapping = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        try:
            segment = cls(path, stamp, mapping, slots, ranks, port)
            segment.lock = lock
            if device_size:
                segment.share(device_size, port)
        except BaseException:
            path.unlink()
            raise
        for index, value in ((1, stamp), (2, slots), (3, ranks), (0, VERSION)):  # the version last: now it can be read
            segment.words[index] = value
        atexit.register(unlink_in, os.getpid(), path)
        return segment

    @classmethod
    def attach(cls, path: Path, stamp: int, ranks: int, port: DevicePort) -> Segment | None:
        """An existing one; None where there is none that this side can use. Raises OSError: the port's device cannot."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size < 8 * HEADER:
                return None
            mapping = mmap.mmap(descriptor, status.st_size)
        except (OSError, ValueError):
            return None
        finally:
            os.close(descriptor)
        version, found, slots, their_ranks, _ = memoryview(mapping)[: 8 * HEADER].cast("q")
        if (version, found, their_ranks) != (VERSION, stamp, ranks) or not 0 < slots <= len(mapping):
            return None
        if payload_start(slots, ranks) > len(mapping):
            return None
        segment = cls(path, stamp, mapping, slots, ranks, port)
        segment.reach(port)
        return segment

    def share(self, nbytes: int, port: DevicePort) -> None:
        """The worker's: with space on the port's device from now on, if it has any."""
        try:
            self.device, handle = port.share(nbytes)
        except OSError as error:
            self.refusal = str(error)
        else:
            self.stop = self.size + nbytes
            self.handle[8 : 8 + len(handle)] = torch.frombuffer(bytearray(handle), dtype=torch.uint8)
            self.words[HEADER - 1], self.words[HEADER] = nbytes, len(handle)

    def reach(self, port: DevicePort) -> None:
        """A rank's: the same space, through the rank's own port."""
        nbytes, length = self.words[HEADER - 1 : HEADER + 1].tolist()
        self.stop = self.size + nbytes
        if nbytes:
            try:
                self.device = port.attach(bytes(self.handle[8 : 8 + length].tolist()))
            except OSError as error:
                self.refusal = str(error)

    def lies_on(self, device: torch.device) -> bool:
        """Whether there is space in the memory of that device."""
        return device.type == "cpu" or (self.device is not None and self.device.device == device)

    def tensor(self, start: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """The bytes from ``start`` on as a contiguous tensor."""
        room = self.bytes
        if start >= self.size and self.device is not None:
            room, start = self.device, start - self.size
        key = (room.is_cpu, dtype)
        whole = self._rooms.get(key)
        if whole is None:
            itemsize = dtype.itemsize
            whole = self._rooms[key] = room[: room.numel() // itemsize * itemsize].view(dtype)
        return whole.as_strided(shape, row_major(shape), start // dtype.itemsize)

    def offset(self, tensor: Tensor) -> int:
        """Where the tensor begins in this segment; -1 for one that lies elsewhere."""
        if tensor.is_cpu:
            start = tensor.data_ptr() - self.bytes.data_ptr()
            return start if self.payload_start <= start < self.size else -1
        if self.device is not None and tensor.device == self.device.device:
            start = tensor.data_ptr() - self.device.data_ptr()
            return self.size + start if 0 <= start < len(self.device) else -1
        return -1

    def ready_word(self, slot: int) -> Tensor:
        return self._word(slot, 1)

    def acknowledgement(self, slot: int, rank: int) -> Tensor:
        return self._word(slot, 2 + rank)

    def _word(self, row: int, column: int) -> Tensor:
        """Kept, because making a view takes longer than what is done with it."""
        word = self._kept.get((row, column))
        if word is None:
            word = self._kept[row, column] = self._table[row, column : column + 1]
        return word

    def fence(self) -> None:
        """Ends all leases, for all ranks, of a worker that is dead; then no stream waits any longer for their ready words.

        The words of payloads that are there stay: a worker that lives all the same learns from them what it can free.
        """
        late = self.ready < self.generations
        self.generations[:] = 0
        self.ready[late] = NEVER

    def orphaned(self) -> bool:
        """Whether the process that made this segment is gone, with its lock; its name is gone then too."""
        return remove_orphan(self.path) or not self.path.exists()

    def unlink(self) -> None:
        """Removes the name; mappings go on. Idempotent."""
        self.path.unlink(missing_ok=True)


def row_major(shape: tuple[int, ...]) -> list[int]:
    """The strides of a contiguous tensor."""
    strides, step = [1] * len(shape), 1
    for k in range(len(shape) - 1, -1, -1):
        strides[k] = step
        step *= max(shape[k], 1)
    return strides


def unlink_in(process: int, path: Path) -> None:
    """For a worker that ends without closing; a fork of it inherits this, and owns nothing."""
    if os.getpid() == process:
        path.unlink(missing_ok=True)


def count(slots: int, ranks: int) -> int:
    """Control words of a segment."""
    return HEADER + HANDLE + ranks + slots * (2 + ranks)


def payload_start(slots: int, ranks: int) -> int:
    return aligned(8 * count(slots, ranks))
