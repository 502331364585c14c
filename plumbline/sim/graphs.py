"""Graphs, with the names and meanings of ``torch.cuda``'s.

A capture keeps the operations of one stream and does none of them; a replay queues them again, on the current stream, with
the memory and the numbers that they had. So what was a number of Python at the capture is that number for ever, and memory
from outside that was freed since holds poison. What a capture allocates comes from its pool: each replay finds it poisoned
where it was allocated, so that what nobody writes is no number; and poisons what other graphs had given back to the pool
before the capture, which is what it may have been given. So graphs with one pool harm each other where one reads, on another
stream or later, what it had given back.

Refused in a capture, which is void then: whatever makes the host wait or ask, copies from and to pageable memory, and on
the capturing stream events and words. Not modelled: captures that span several streams, graphs inside graphs, memory that
lies where other memory lay (each allocation has bytes of its own), what torch keeps for each stream (cuBLAS's workspace),
random numbers, changing a graph after its capture, and what becomes of replays that are on their way when their graph is
dropped: they go on, as on CUDA.
"""

from __future__ import annotations

from types import TracebackType

from plumbline.sim.memory import Access, Memory
from plumbline.sim.schedule import Op, Queue
from plumbline.sim.streams import Stream, machine


class Pool:
    """Memory of one graph, or of several that were told to share it. free: given back, and given out again by anybody."""

    def __init__(self) -> None:
        self.free: list[Memory] = []

    def take_back(self, memory: Memory) -> None:
        self.free.append(memory)


class CUDAGraph:
    """queue: the stream that is captured. void: a forbidden operation ended the capture."""

    def __init__(self, keep_graph: bool = False) -> None:
        self.queue: Queue | None = None
        self.void = False
        self._pool = Pool()
        self._ops: list[Op] = []

    def capture_begin(self, pool: Pool | None = None, capture_error_mode: str = "global") -> None:
        """Raises RuntimeError: another capture is on, or the current stream is the default one."""
        here = machine()
        here.refuse_in_capture("another capture")
        stream = here.current()
        if stream is here.defaults[stream.device_index]:
            raise RuntimeError("graphs must be captured on a non-default stream")
        if self._ops:
            raise RuntimeError("this graph was captured before; reset it first")
        self.queue, self.void = stream.queue, False
        self._pool = pool or self._pool
        taken = tuple(self._pool.free)
        here.capture = self
        if taken:
            self.record(Op(self.queue, lambda: _poison(taken), accesses=tuple(_whole(memory) for memory in taken)))

    def capture_end(self) -> None:
        """Raises RuntimeError: the capture is void."""
        machine().capture = None
        if self.void:
            self.reset()
            raise RuntimeError("operation failed due to a previous error during capture")

    def replay(self) -> None:
        here = machine()
        here.refuse_in_capture("a replay")
        if self.queue is None:
            raise RuntimeError("called replay without a preceding successful capture")
        current = here.current(self.queue.device)
        here.ledger.kernels += 1
        for op in self._ops:
            here.scheduler.add(Op(current.queue, op.run, accesses=op.accesses))

    def reset(self) -> None:
        self._ops, self.queue = [], None

    def pool(self) -> Pool:
        return self._pool

    # ------------------------------------------------------------------------------------------------ for the machine

    def record(self, op: Op) -> Op:
        for access in op.accesses:
            access.memory.captured = True
        self._ops.append(op)
        return op

    def allocated(self, memory: Memory) -> None:
        assert self.queue is not None
        memory.pool = self._pool
        self.record(Op(self.queue, memory.poison, accesses=(_whole(memory),)))


class graph:
    """``with graph(captured): ...`` captures what is queued inside."""

    def __init__(
        self,
        cuda_graph: CUDAGraph,
        pool: Pool | None = None,
        stream: Stream | None = None,
        capture_error_mode: str = "global",
    ) -> None:
        self.cuda_graph, self.pool = cuda_graph, pool
        self.stream = stream or Stream()
        self.capture_error_mode = capture_error_mode

    def __enter__(self) -> None:
        here = machine()
        queues = (queue for queue in here.scheduler.queues if queue.device == self.stream.device_index)
        here.wait_for("graph", [queue.last for queue in queues])
        self.stream.__enter__()
        self.cuda_graph.capture_begin(self.pool, self.capture_error_mode)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cuda_graph.capture_end()
        self.stream.__exit__(kind, error, trace)


def _whole(memory: Memory) -> Access:
    return Access(memory, 0, memory.data.untyped_storage().nbytes(), writes=True)


def _poison(memories: tuple[Memory, ...]) -> None:
    for memory in memories:
        memory.poison()
