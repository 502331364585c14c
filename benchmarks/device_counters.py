"""What the driver counts: bytes in use on a GPU, and which processes use it."""

from __future__ import annotations

from typing import Any

import torch


def used(gpu: int) -> dict[str, Any]:
    """bytes: in use on the GPU, by anybody. processes: how many there are with a context on it; text where NVML says nothing."""
    free, total = torch.cuda.mem_get_info(gpu)
    return {"bytes": total - free, "processes": processes(gpu)}


def processes(gpu: int) -> int | str:
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(gpu).uuid}")
        return len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except Exception as error:  # a library that may be missing, old, or not allowed to say
        return f"not available: {type(error).__name__}: {error}"
