"""What a process asks of the driver, and what of a GPU's memory and contexts is whose."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from cuda.bindings import driver, runtime

from plumbline.cuda.port import CudaPort
from plumbline.transport_remote import Rank, Worker, check, release

QUESTION = re.compile(r"[gG]et[A-Z]|[qQ]uery|[sS]ync")
"""In the name of a call that asks the device for something."""


def questions(calls: Counter[str]) -> Counter[str]:
    return Counter({name: count for name, count in calls.items() if QUESTION.search(name)})


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Counts, by name, calls of torch's own entry points to CUDA and of cuda-bindings'.

    Not seen: what torch does inside an operation on tensors, which knows its device without asking.
    """
    calls: Counter[str] = Counter()
    places = [(torch._C, r"_cuda_\w+"), (runtime, r"cuda[A-Z]\w+"), (driver, r"cu[A-Z]\w+")]
    found = [
        (module, name, getattr(module, name))
        for module, pattern in places
        for name in dir(module)
        if re.fullmatch(pattern, name) and not isinstance(getattr(module, name), type)
    ]
    for module, name, function in found:
        if callable(function):
            setattr(module, name, _counted(calls, name, function))
    try:
        yield calls
    finally:
        for module, name, function in found:
            setattr(module, name, function)


def _counted(calls: Counter[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        calls[name] += 1
        return function(*arguments, **named)

    return counted


def processes_on(uuid: str) -> set[int]:
    """Those with a context on a GPU, as NVML names them, which sees no process outside its own container's."""
    import pynvml

    pynvml.nvmlInit()
    try:
        gpu = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        return {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)}
    finally:
        pynvml.nvmlShutdown()


class CountedRank(Rank):
    """Counts what receiving and opening asks of CUDA."""

    def receive_counted(self, message: bytes) -> Counter[str]:
        with counting() as calls:
            self.got = self.subscriber.receive(message)
        return calls

    def open_counted(self) -> Counter[str]:
        """Of what was received last, on the port's device."""
        with counting() as calls:
            self.live = self.open(self.got)
        return calls

    def end_counted(self) -> Counter[str]:
        self.settle()
        check(self.got)
        self.live.clear()
        with counting() as calls:
            release(self.got)
        return calls

    def trespass(self, handle: bytes) -> None:
        """Maps memory on the first GPU, as a reader does that has not heard of its own device."""
        self.kept = CudaPort(0).attach(handle)


class OpenWorker(Worker):
    """Gives away its own memory."""

    def share(self, nbytes: int) -> bytes:
        self.kept, handle = self.port.share(nbytes)
        return handle

    def uuid(self) -> str:
        return str(torch.cuda.get_device_properties(self.device).uuid)
