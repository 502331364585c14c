"""What the driver counts: bytes in use on a GPU and who uses it, bytes over its links, and what it copied and ran.

What a machine does not count or does not tell is text that begins with "not available".
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

Found = TypeVar("Found")

ALL_LINKS = (1 << 32) - 1
SETTLED = 1.0
"""Seconds after which the counters of links have caught up with the links."""


def tried(find: Callable[[Any, Any], Found], gpu: int) -> Found | str:
    """What ``find`` finds with pynvml and its handle of the GPU."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return find(pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(gpu).uuid}"))
    except Exception as error:  # a library that may be missing, old, or not allowed to say
        return f"not available: {type(error).__name__}: {error}"


def used(gpu: int) -> dict[str, Any]:
    """bytes: in use on the GPU, by anybody. processes: how many there are with a context on it."""
    free, total = torch.cuda.mem_get_info(gpu)
    return {"bytes": total - free, "processes": tried(processes, gpu)}


def processes(nvml: Any, handle: Any) -> int:
    return len(nvml.nvmlDeviceGetComputeRunningProcesses(handle))


def linked(gpus: Sequence[int]) -> list[dict[str, int] | str]:
    """Of each GPU the bytes of data that it has sent and received over all its NVLinks since the driver was loaded."""
    time.sleep(SETTLED)
    return [tried(link_bytes, gpu) for gpu in gpus]


def link_bytes(nvml: Any, handle: Any) -> dict[str, int]:
    fields = {
        "sent": nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX,
        "received": nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX,
    }
    values = nvml.nvmlDeviceGetFieldValues(handle, [(field, ALL_LINKS) for field in fields.values()])
    for value in values:
        if value.nvmlReturn:
            raise nvml.NVMLError(value.nvmlReturn)
    return {name: 1024 * int(value.value.ullVal) for name, value in zip(fields, values, strict=True)}


class Tracer:
    """Records what this process has the GPUs do, from now until ``stop``."""

    def __init__(self) -> None:
        self.profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
        self.profile.start()

    def stop(self) -> list[dict[str, Any]]:
        """Copies by name and bytes of each, and kernels by name, as CUPTI has them. count: how many."""
        torch.cuda.synchronize()
        self.profile.stop()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            self.profile.export_chrome_trace(str(path))
            events = json.loads(path.read_text())["traceEvents"]
        kinds = ("gpu_memcpy", "gpu_memset", "kernel")
        found = Counter(
            (event["cat"], event["name"], event.get("args", {}).get("bytes", 0))
            for event in events
            if event.get("cat") in kinds
        )
        return [
            {"what": what, "name": name, "bytes": nbytes, "count": count}
            for (what, name, nbytes), count in found.items()
        ]
