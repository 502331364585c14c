"""Ways to bring payloads from a GPU to another process: each has a half for the publisher and one for the reader.

SGLang's pools come from unpacked releases, in the folders that the environment names; none of their code is here. Its
tokenizer worker puts a tensor into the pool and pickles a proxy, its scheduler makes a tensor of the proxy: so do these.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor

import optimized
from adapters.sglang_release import Finder
from plumbline.cuda.port import CudaPort
from plumbline.interface import Budgets, Domain, Item, Prepared, Runtime, TensorMeta
from plumbline.transport_scenario import SPEC

GIB = 1 << 30
POOL = GIB
"""Bytes on the publisher's GPU, of every pool: SGLang's default."""
PATIENCE = 10.0
"""Seconds until a wait for the other side is a failure."""
STAGED, IN_PLACE, THROUGH_HOST = "optimized, staged", "optimized, in place", "optimized, through host memory"
ALONE, TORCH = "message alone", "torch.multiprocessing"
SGLANG_23, SGLANG_23_BORROWED = "SGLang 0.5.23", "SGLang 0.5.23, borrowed"
SGLANG_12, SGLANG_12_CACHED = "SGLang 0.5.12.post1", "SGLang 0.5.12.post1, handle cached"


@dataclasses.dataclass(frozen=True)
class Side:
    """gpu: of this process. rank: of a reader; None is the publisher."""

    gpu: int
    rank: int | None
    domain: Domain


class Way:
    """The publisher calls give, publish and settle; the reader receive, open and release. Only give and settle may wait."""

    def give(self, prepared: Prepared, readers: frozenset[int]) -> Any:
        """Not timed: what ``publish`` takes, once."""
        return payloads_of(prepared)

    def publish(self, given: Any, readers: frozenset[int]) -> bytes | memoryview:
        raise NotImplementedError

    def settle(self) -> None:
        """Not timed: what the readers let go of can be used again."""

    def receive(self, message: bytes) -> Any:
        return pickle.loads(message)

    def open(self, received: Any) -> list[Tensor]:
        """On the reader's GPU, usable in order on the current stream."""
        raise NotImplementedError

    def release(self, received: Any) -> None: ...


class Ends:
    """This repository's transport, as much of it as one process has."""

    def __init__(self, side: Side) -> None:
        assert optimized.implementation.transport
        port = CudaPort(side.gpu)
        transport = optimized.implementation.transport(Runtime(SPEC, port, Budgets(0, 1 << 20, 1 << 20), side.domain))
        self.device = port.device
        self.publisher = transport.publisher(0) if side.rank is None else None
        self.subscriber = transport.subscriber(side.rank) if side.rank is not None else None


class Staged(Way):
    """A whole request, whose payloads lie in tensors of their own and are copied into the pool."""

    pool = "cuda"
    """Where the payloads have to be found."""

    def __init__(self, ends: Ends) -> None:
        self.device = ends.device
        self.publisher: Any = ends.publisher
        self.subscriber: Any = ends.subscriber

    def give(self, prepared: Prepared, readers: frozenset[int]) -> Prepared:
        return prepared

    def publish(self, given: Prepared, readers: frozenset[int]) -> bytes:
        message: bytes = self.publisher.publish(given, readers).message
        return message

    def settle(self) -> None:
        self.publisher.collect()

    def receive(self, message: bytes) -> list[Any]:
        return [item.payload for item in self.subscriber.receive(message).items]

    def open(self, received: Any) -> list[Tensor]:
        return [part.open(self.device) for part in received]  # one that came in the message would be a tensor

    def release(self, received: Any) -> None:
        assert all(part.meta.device.type == self.pool for part in received), "a payload went elsewhere"
        for part in received:
            part.release()


class InPlace(Staged):
    """The same, in a slot that was reserved and filled before."""

    def give(self, prepared: Prepared, readers: frozenset[int]) -> Prepared:
        payloads = payloads_of(prepared)
        slot = self.publisher.reserve(
            [TensorMeta(tuple(p.shape), p.dtype, p.nbytes, p.device) for p in payloads], readers
        )
        assert slot is not None, "the pool is full"
        for place, payload in zip(slot.tensors, payloads, strict=True):
            place.copy_(payload)
        return with_payloads(prepared, slot.tensors)


class ThroughHost(Staged):
    """The same transport with ``.cpu()`` before it: the payloads lie in shared memory of the host."""

    pool = "cpu"

    def publish(self, given: Prepared, readers: frozenset[int]) -> bytes:
        return super().publish(with_payloads(given, [payload.cpu() for payload in payloads_of(given)]), readers)


class Alone(Way):
    """A message that brings nothing, of 16 bytes for each token."""

    def give(self, prepared: Prepared, readers: frozenset[int]) -> bytes:
        return bytes(16 * len(prepared.token_ids))

    def publish(self, given: bytes, readers: frozenset[int]) -> bytes:
        return given

    def receive(self, message: bytes) -> None: ...

    def open(self, received: None) -> list[Tensor]:
        return []


class Shared(Way):
    """torch.multiprocessing: tensors that are sent once each, pickled as its queues do it, but without their thread.

    What comes is a view of the publisher's memory on the publisher's GPU, so a reader on another copies it.
    """

    def __init__(self, side: Side) -> None:
        self.device = torch.device("cuda", side.gpu)
        self.sent: list[list[Tensor]] = []

    def give(self, prepared: Prepared, readers: frozenset[int]) -> list[Tensor]:
        self.sent.append([payload.clone() for payload in payloads_of(prepared)])
        return self.sent[-1]

    def publish(self, given: list[Tensor], readers: frozenset[int]) -> memoryview:
        message: memoryview = ForkingPickler.dumps(given)
        return message

    def settle(self) -> None:
        self.sent.clear()
        torch.cuda.ipc_collect()  # type: ignore[no-untyped-call]

    def open(self, received: list[Tensor]) -> list[Tensor]:
        return [tensor.to(self.device, non_blocking=True) for tensor in received]

    def release(self, received: list[Tensor]) -> None:
        received.clear()


class SGLang23(Way):
    """0.5.23 with the handle cache on, its default. consumers: 1, so that either reader may acknowledge."""

    def __init__(self, side: Side, module: Any, pool: Any) -> None:
        self.gpu, self.module, self.pool = side.gpu, module, pool

    def publish(self, given: list[Tensor], readers: frozenset[int]) -> bytes:
        return pickle.dumps([self.wrap(tensor) for tensor in given], pickle.HIGHEST_PROTOCOL)

    def wrap(self, tensor: Tensor) -> Any:
        proxy = self.pool.wrap_tensor(tensor, use_pool_handle_cache=True)
        assert proxy is not None, "the pool is full"
        return proxy

    def settle(self) -> None:
        wait_until(lambda: not self.pool.active_lease_count)

    def open(self, received: Any) -> list[Tensor]:
        return [proxy.reconstruct_on_target_device(self.gpu) for proxy in received]


class SGLang23Borrowed(SGLang23):
    """What its Qwen3-VL does without tensor parallelism: a view of the pool, released once it was packed."""

    def open(self, received: Any) -> list[Tensor]:
        return [proxy.borrow_on_target_device(self.gpu) for proxy in received]

    def release(self, received: Any) -> None:
        for proxy in received:
            proxy.release_borrowed_on_current_stream()


class SGLang12(SGLang23):
    """0.5.12.post1. cached: not its default. Nothing orders the reader's copy behind the publisher's."""

    def __init__(self, side: Side, module: Any, pool: Any, cached: bool) -> None:
        super().__init__(side, module, pool)
        self.cached = cached

    def wrap(self, tensor: Tensor) -> Any:
        flag, room, offset = self.pool.return_a_slice_tensor_with_flag(tensor)
        assert room is not None, "the pool is full"
        room.copy_(tensor.view(torch.int8).view(-1), non_blocking=True)
        handle = self.pool._pool_ipc_handle if self.cached else None
        proxy = self.module.CudaIpcTensorTransportProxy(
            room, tensor, flag, handle, pool_byte_offset=offset, pool_device_index=self.pool._pool_device_index
        )
        assert proxy.proxy_state["ipc_extra"] is not None, "the tensor itself would be pickled"
        return proxy

    def settle(self) -> None:
        wait_until(lambda: not self.pool.occupied_chunks)


def optimized_ways(side: Side) -> dict[str, Way]:
    ends = Ends(side)
    return {ALONE: Alone(), STAGED: Staged(ends), IN_PLACE: InPlace(ends), THROUGH_HOST: ThroughHost(ends)}


def torch_ways(side: Side) -> dict[str, Way]:
    return {TORCH: Shared(side)}


def sglang_23_ways(side: Side) -> dict[str, Way]:
    path = "sglang.srt.multimodal.transport"
    real = {f"{path}.{name}" for name in ("cuda_ipc", "memory_pool")} | {path, "sglang.srt.utils.cuda_vmm_utils"}
    module = released("0.5.23", f"{path}.cuda_ipc", real)
    interval, pool = module.MM_ITEM_MEMORY_POOL_RECYCLE_INTERVAL, None
    if side.rank is None:
        pool = module.MmItemMemoryPool(POOL, interval, side.gpu, 1)
    return {SGLANG_23: SGLang23(side, module, pool), SGLANG_23_BORROWED: SGLang23Borrowed(side, module, pool)}


def sglang_12_ways(side: Side) -> dict[str, Way]:
    path = "sglang.srt.utils.cuda_ipc_transport_utils"
    module = released("0.5.12.post1", path, {path})
    module.get_global_server_args = lambda: SimpleNamespace(tp_size=1)
    pool = None
    if side.rank is None:
        pool = module.MmItemMemoryPool(POOL, module.MM_ITEM_MEMORY_POOL_RECYCLE_INTERVAL)
    return {
        SGLANG_12: SGLang12(side, module, pool, cached=False),
        SGLANG_12_CACHED: SGLang12(side, module, pool, cached=True),
    }


TEAMS: Mapping[str, tuple[Callable[[Side], dict[str, Way]], Sequence[str]]] = {
    "optimized": (optimized_ways, (ALONE, STAGED, IN_PLACE, THROUGH_HOST)),
    "torch": (torch_ways, (TORCH,)),
    "0.5.23": (sglang_23_ways, (SGLANG_23, SGLANG_23_BORROWED)),
    "0.5.12.post1": (sglang_12_ways, (SGLANG_12_CACHED, SGLANG_12)),
}
"""Ways that share their processes, and what makes them there."""


def variable(version: str) -> str:
    """The environment's name of the folder that holds this release's package ``sglang``."""
    return "PLUMBLINE_SGLANG_" + version.upper().replace(".", "_")


def released(version: str, name: str, real: set[str]) -> Any:
    """A module of SGLang, with those of ``real`` and stand-ins for all others. A process can hold one release."""
    folder = Path(os.environ[variable(version)])
    sys.meta_path.insert(0, Finder(folder, real | {"sglang.srt.environ", "sglang.version", "sglang._version"}))
    found = importlib.import_module("sglang.version").__version__
    assert found == version, f"{folder} holds SGLang {found}"
    return importlib.import_module(name)


def wait_until(met: Callable[[], bool]) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the pool was not free after {PATIENCE} s")
        time.sleep(0.001)


def payloads_of(prepared: Prepared) -> list[Tensor]:
    return [item.payload for item in prepared.items if isinstance(item.payload, Tensor)]


def with_payloads(prepared: Prepared, payloads: Sequence[Tensor]) -> Prepared:
    def placed(item: Item, payload: Tensor) -> Item:
        return dataclasses.replace(item, payload=payload)

    return dataclasses.replace(prepared, items=tuple(map(placed, prepared.items, payloads)))
