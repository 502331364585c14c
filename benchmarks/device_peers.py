"""What others bring payloads from a GPU to another process with: SGLang's pools, and torch.multiprocessing.

SGLang's pools come from unpacked releases, in the folders that the environment names; none of their code is here. Its
tokenizer worker puts a tensor into the pool and pickles a proxy, its scheduler makes a tensor of the proxy: so do these.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import time
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor

from adapters.sglang_release import Finder
from benchmarks.device_channel import PATIENCE
from benchmarks.device_ways import POOL, Side, Way, payloads_of
from plumbline.interface import Prepared

TORCH = "torch.multiprocessing"
SGLANG_23, SGLANG_23_BORROWED = "SGLang 0.5.23", "SGLang 0.5.23, borrowed"
SGLANG_12, SGLANG_12_CACHED = "SGLang 0.5.12.post1", "SGLang 0.5.12.post1, handle cached"


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
