"""The port of one GPU: words that streams write and await in host memory, and memory that other processes map.

Everything happens on the port's own device. Another process's memory is opened there too, and reached over the link between
the two, so that no context comes to be on the other: that would take some 500 MiB of it.
"""

from __future__ import annotations

import ctypes
import struct
import threading
import weakref
from bisect import bisect_right
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from cuda.bindings import driver, runtime
from torch import Tensor

GRANULE = 2 << 20
"""Bytes. Smaller allocations share one with others, and a handle opens all of it."""
CUDA_HANDLE = 64
"""Bytes. Not every release of cuda-bindings gives them otherwise than by their address."""
AT_LEAST = driver.CUstreamWaitValue_flags.CU_STREAM_WAIT_VALUE_GEQ
HERE = nullcontext()
HANDLE = struct.Struct(f"<36sQ{CUDA_HANDLE}s")
"""The GPU's UUID, size in bytes, and CUDA's own handle."""


class CudaPort:
    """Implements ``plumbline.interface.DevicePort``.

    One for each process and device; its memory is found by the other ports of the process. Raises RuntimeError, from any
    method, for errors of CUDA that no caller can mend.
    """

    def __init__(self, index: int = 0) -> None:
        self.device = torch.device("cuda", index)
        self.uuid = str(torch.cuda.get_device_properties(index).uuid)
        with torch.cuda.device(index):
            torch.cuda.current_stream().synchronize()  # a device without a context knows no streams
        self._threads = threading.local()
        self._registered = Ranges()
        self._remote = Ranges()
        self._attached: weakref.WeakValueDictionary[bytes, torch.UntypedStorage] = weakref.WeakValueDictionary()

    # ------------------------------------------------------------------------------------------------------ movement

    def move(self, tensor: Tensor) -> Tensor:
        if tensor.device != self.device:
            return tensor.to(self.device, non_blocking=True)
        return tensor.clone() if self._remote.find(tensor.data_ptr()) is not None else tensor

    def pinned(self, nbytes: int) -> Tensor:
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)

    # -------------------------------------------------------------------------------------------------------- memory

    def register(self, memory: Tensor) -> None:
        start, flags = memory.data_ptr(), runtime.cudaHostRegisterMapped | runtime.cudaHostRegisterPortable
        with torch.cuda.device(self.device):
            ask(runtime.cudaHostRegister(start, memory.nbytes, flags), "no pinned memory")
            mapped = int(done(runtime.cudaHostGetDevicePointer(start, 0)))
        self._registered.add(start, memory.nbytes, mapped - start)
        self._at_end(memory.untyped_storage(), lambda: runtime.cudaHostUnregister(start), self._registered, start)

    def share(self, nbytes: int) -> tuple[Tensor, bytes]:
        size = -(-nbytes // GRANULE) * GRANULE
        with torch.cuda.device(self.device):
            start = int(ask(runtime.cudaMalloc(size), f"no {size} bytes on {self.device}"))
            storage = self._storage(start, nbytes)
            self._at_end(storage, lambda: runtime.cudaFree(start))
            name = ask(runtime.cudaIpcGetMemHandle(start), f"the memory of {self.device} cannot be shared")
        handle = HANDLE.pack(self.uuid.encode(), nbytes, ctypes.string_at(name.getPtr(), CUDA_HANDLE))
        own[handle] = storage
        return tensor_of(storage), handle

    def attach(self, handle: bytes) -> Tensor:
        storage = own.get(handle) or self._attached.get(handle)
        if storage is None:
            storage = self._open(handle)
            self._attached[handle] = storage
        return tensor_of(storage)

    def _open(self, handle: bytes) -> torch.UntypedStorage:
        uuid, nbytes, reserved = HANDLE.unpack(handle)
        name = runtime.cudaIpcMemHandle_t()
        ctypes.memmove(name.getPtr(), reserved, CUDA_HANDLE)
        with torch.cuda.device(self.device):
            opened = runtime.cudaIpcOpenMemHandle(name, runtime.cudaIpcMemLazyEnablePeerAccess)
            start = int(ask(opened, f"the memory of GPU {uuid.decode()} cannot be mapped on {self.device}"))
        storage = self._storage(start, nbytes)
        remote = self._remote if uuid.decode() != self.uuid else None
        if remote is not None:
            remote.add(start, nbytes, 0)
        self._at_end(storage, lambda: runtime.cudaIpcCloseMemHandle(start), remote, start)
        return storage

    def _storage(self, start: int, nbytes: int) -> torch.UntypedStorage:
        made = torch._C._construct_storage_from_data_pointer(start, self.device, nbytes)
        assert isinstance(made, torch.UntypedStorage)
        return made

    def _at_end(
        self, storage: torch.UntypedStorage, undo: Callable[[], object], ranges: Ranges | None = None, start: int = 0
    ) -> None:
        """With the last tensor of ``storage``, once the device has finished what it was given. A process that ends leaves
        it to the driver."""

        def end() -> None:
            with torch.cuda.device(self.device):
                torch.cuda.synchronize()
                undo()
            if ranges is not None:
                ranges.remove(start)

        weakref.finalize(storage, end).atexit = False

    # --------------------------------------------------------------------------------------------------------- words

    def write(self, word: Tensor, value: int) -> None:
        with self._current():
            done(driver.cuStreamWriteValue64(self._stream(), self._mapped(word), value, 0))

    def wait(self, word: Tensor, value: int) -> None:
        with self._current():
            done(driver.cuStreamWaitValue64(self._stream(), self._mapped(word), value, AT_LEAST))

    def _current(self) -> AbstractContextManager[object]:
        """The default stream has the same name on all devices, and means nothing in a thread that has not used one."""
        if not hasattr(self._threads, "began"):
            with torch.cuda.device(self.device):
                done(runtime.cudaFree(0))
            self._threads.began = True
        return HERE if torch._C._cuda_getDevice() == self.device.index else torch.cuda.device(self.device)

    def _stream(self) -> int:
        return torch._C._cuda_getCurrentRawStream(self.device.index)

    def _mapped(self, word: Tensor) -> int:
        """The word's address on the device."""
        address = word.data_ptr()
        offset = self._registered.find(address)
        if offset is None:
            raise RuntimeError("the word lies in memory that was not registered")
        return address + offset


own: weakref.WeakValueDictionary[bytes, torch.UntypedStorage] = weakref.WeakValueDictionary()
"""What this process shares: CUDA does not open a handle in the process that made it, and need not."""


class Ranges:
    """Disjoint ranges of addresses, each with a number."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._of: dict[int, tuple[int, int]] = {}

    def add(self, start: int, nbytes: int, number: int) -> None:
        self._starts.insert(bisect_right(self._starts, start), start)
        self._of[start] = (start + nbytes, number)

    def remove(self, start: int) -> None:
        self._starts.remove(start)
        del self._of[start]

    def find(self, address: int) -> int | None:
        at = bisect_right(self._starts, address)
        if not at:
            return None
        stop, number = self._of[self._starts[at - 1]]
        return number if address < stop else None


def tensor_of(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def done(result: tuple[Any, ...]) -> Any:
    """What a call of CUDA returned. Raises RuntimeError."""
    if int(result[0]):
        raise RuntimeError(f"CUDA: {result[0]!r}")
    return result[1] if len(result) == 2 else result[1:]


def ask(result: tuple[Any, ...], what: str) -> Any:
    """The same, for what the machine may not have. Raises OSError."""
    if int(result[0]):
        runtime.cudaGetLastError()  # or torch takes it for its own
        raise OSError(f"{what}: {result[0]!r}")
    return done(result)
