"""The device "sim": tensors whose values lie on the CPU and whose operations are queued on streams."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from plumbline.sim.ledger import Ledger
from plumbline.sim.memory import POISON, Access, Handle, Memory, Pinned, place
from plumbline.sim.module import DeviceModule
from plumbline.sim.schedule import LATEST, Op, Queue, Scheduler
from plumbline.sim.streams import MACHINES, Place, Stream, machine

if TYPE_CHECKING:
    from plumbline.sim.graphs import CUDAGraph

_setup_privateuseone_for_python_backend("sim", backend_module=DeviceModule())


class SimTensor(Tensor):
    """raw: the values, on the CPU, as far as they have been computed. Only queued work may look at them."""

    raw: Tensor
    handle: Handle

    @staticmethod
    def __new__(cls, raw: Tensor, handle: Handle, index: int) -> SimTensor:
        made: SimTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            layout=raw.layout,
            device=torch.device("sim", index),
        )
        made.raw, made.handle = raw, handle
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from plumbline.sim.operations import attention

        if func is torch.nn.functional.scaled_dot_product_attention:
            return attention(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        from plumbline.sim.operations import run

        return run(machine(), func, args, kwargs or {})

    @property
    def number(self) -> int:
        """Of its device."""
        return int(self.device.index)

    @property
    def home(self) -> int:
        """The device that its memory belongs to: another one's, where a port attached it."""
        assert self.handle.memory.home is not None
        return self.handle.memory.home.device

    def access(self, writes: bool) -> Access:
        lo, hi = place(self.raw)
        start = self.raw.untyped_storage().data_ptr()
        return Access(self.handle.memory, lo - start, hi - start, writes)

    def data_ptr(self) -> int:
        return self.raw.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError("can't convert a sim tensor to numpy; use Tensor.cpu() first")
        return self.cpu().numpy()

    def record_stream(self, stream: Stream) -> None:  # type: ignore[override]
        self.handle.memory.recorded.add(stream.queue)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"SimTensor({tuple(self.shape)}, {self.dtype}, {self.device})"


class Machine(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Some devices, their streams and a ledger; on inside ``with``.

    seed: the schedule. LATEST does nothing before somebody waits for it, AT_ONCE everything when it is queued, any other
    number something in between. One machine is on at a time, in one thread.
    """

    def __init__(self, seed: int = LATEST, devices: int = 2) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices, self.device = devices, 0
        self.ledger = Ledger()
        self.scheduler = Scheduler(seed)
        self.pinned = Pinned(self.ledger, self.scheduler)
        self.streams: dict[int, Stream] = {}
        self.defaults: dict[int, Stream] = {}
        self.capture: CUDAGraph | None = None
        """The graph whose capture is on; there is one at a time."""
        self.shared: weakref.WeakValueDictionary[bytes, SimTensor] = weakref.WeakValueDictionary()
        """By handle: what ports share."""

    def __enter__(self) -> Machine:
        MACHINES.append(self)
        for index in range(self.devices):
            self.defaults[index] = self.streams[index] = Stream(index)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        MACHINES.remove(self)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from plumbline.sim.operations import run

        return run(self, func, args, kwargs or {})

    # ---------------------------------------------------------------------------------------------------- for streams

    def index(self, device: Place) -> int:
        if device is None:
            return self.device
        index = device if isinstance(device, int) else torch.device(device).index
        if index is not None and not 0 <= index < self.devices:
            raise RuntimeError(f"there is no device sim:{index}")
        return self.device if index is None else index

    def current(self, index: int | None = None) -> Stream:
        return self.streams[self.device if index is None else index]

    def wait_for(self, name: str, ops: Iterable[Op | None]) -> None:
        """The host waits. Raises what a queued operation raised before, and RuntimeError in a capture."""
        self.refuse_in_capture(name)
        for op in ops:
            if op is not None:
                self.scheduler.finish(op)
        self.ledger.syncs.append(name)
        self.raise_errors()

    def capturing(self, queue: Queue) -> bool:
        return self.capture is not None and self.capture.queue is queue

    def refuse_in_capture(self, what: str, queue: Queue | None = None) -> None:
        """Raises RuntimeError while a capture is on, on ``queue`` or on any; the capture is void then."""
        if self.capture is not None and (queue is None or self.capturing(queue)):
            self.capture.void = True
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")

    def raise_errors(self) -> None:
        if self.scheduler.errors:
            raise RuntimeError("an operation on a sim device failed") from self.scheduler.errors.pop(0)

    def finish(self) -> None:
        """Does everything that is queued. Not a sync of the program: the ledger does not see it."""
        self.scheduler.drain(self.scheduler.queues)
        self.raise_errors()

    # ------------------------------------------------------------------------------------------------- memory and work

    def empty(self, size: Sequence[int], stride: Sequence[int] | None, dtype: torch.dtype, index: int) -> SimTensor:
        """Memory that nobody wrote."""
        self.ledger.contexts.add(index)
        raw = torch.empty_strided(size, stride, dtype=dtype) if stride is not None else torch.empty(size, dtype=dtype)
        memory = Memory(raw, self.current(index).queue)
        memory.poison()
        if self.capture is not None and self.capturing(self.current(index).queue):
            self.capture.allocated(memory)
        return SimTensor(raw, Handle(memory, self.scheduler), index)

    def launch(self, run: Callable[[], None], index: int, accesses: Sequence[Access]) -> Op:
        """Queues ``run`` on the device's current stream, or keeps it for replays. It may touch raw values only."""
        self.ledger.contexts.add(index)
        op = Op(self.current(index).queue, run, accesses=tuple(accesses))
        if self.capture is not None and self.capturing(op.queue):
            return self.capture.record(op)
        self.ledger.kernels += 1
        return self.scheduler.add(op)


__all__ = ["POISON", "Machine", "SimTensor"]
