"""BLAKE3-256 of tensors that lie on a CUDA device: one launch for all of them, and 32 bytes each that come back.

A machine's first call compiles the kernel, which takes seconds; Triton keeps it on disk for later processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optimized.blake3_kernel import COLUMNS, hashing

CHUNK = 1024
LANES, FAN, WARPS = 128, 256, 4
"""Chunks of a program; nodes that one program folds into one; warps of a program."""
ALIGNED = 16
"""Bytes. The kernel reads so many at once."""
KEPT = 1 << 20
"""Nodes, of 36 bytes each, of the largest workspace that outlives its call: enough for almost 1 GiB of payloads."""


class Workspace:
    """What a call has beside its tensors. One call at a time: it has ended, on whatever stream, when the next one begins."""

    def __init__(self, device: torch.device, items: int, nodes: int) -> None:
        pinned = device.type == "cuda"
        self.device = device
        self.staged = torch.empty(items, COLUMNS.value, dtype=torch.int64, pin_memory=pinned)
        self.table = torch.empty_like(self.staged, device=device)
        self.nodes = torch.empty(nodes, 8, dtype=torch.int32, device=device)
        self.counters = torch.zeros(nodes, dtype=torch.int32, device=device)  # and zero again after each call
        self.digests = torch.empty(items, 32, dtype=torch.uint8, pin_memory=pinned)  # which the device writes itself
        self.rows, self.found = self.staged.numpy(), self.digests.numpy()

    def run(self, rows: NDArray[np.int64], programs: int) -> bytes:
        """The digests of a table's items, one after the other."""
        items = len(rows)
        self.rows[:items] = rows
        self.table.copy_(self.staged, non_blocking=True)
        own = (self.nodes.data_ptr(), self.counters.data_ptr(), self.digests.data_ptr())
        hashing[(programs,)](self.table.data_ptr(), items, *own, LANES, FAN, num_warps=WARPS)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        return self.found[:items].tobytes()


idle: dict[torch.device, list[Workspace]] = {}


def digests(tensors: Sequence[Tensor]) -> list[bytes]:
    """32 bytes for each tensor's raw bytes in row-major order.

    All tensors are on one CUDA device (or on the CPU, where Triton's interpreter runs the kernel). They are read in the
    order of its current stream, which is waited for.
    """
    if not tensors:
        return []
    device = tensors[0].device
    with current(device):
        sources = [tensor if as_it_lies(tensor) else copied(tensor) for tensor in tensors]
        rows, programs, nodes = table_of(sources)
        workspace = taken(device, len(rows), nodes)
        found = workspace.run(rows, programs)
    if nodes <= KEPT:
        idle[device].append(workspace)  # not after an error: its counters may not be zero
    return [found[at : at + 32] for at in range(0, len(found), 32)]


def as_it_lies(tensor: Tensor) -> bool:
    """Whether the kernel can read the tensor where it is."""
    as_stored = not (tensor.is_conj() or tensor.is_neg())
    return as_stored and tensor.is_contiguous() and tensor.data_ptr() % ALIGNED == 0


def copied(tensor: Tensor) -> Tensor:
    plain = tensor.resolve_conj().resolve_neg().contiguous()
    return plain.clone() if plain.data_ptr() % ALIGNED else plain


def table_of(sources: Sequence[Tensor]) -> tuple[NDArray[np.int64], int, int]:
    """The kernel's table of items, int64 [items, COLUMNS], and how many programs and nodes it takes."""
    sizes = np.array([source.nbytes for source in sources])
    chunks = np.maximum((sizes + (CHUNK - 1)) // CHUNK, 1)
    programs = np.cumsum((chunks + (LANES - 1)) // LANES)
    nodes = np.cumsum(chunks + chunks // (FAN // 2) + 31)  # enough for the levels above the chunks
    rows = np.zeros((len(sources), COLUMNS.value), dtype=np.int64)
    rows[1:, 0] = programs[:-1]
    rows[:, 1] = [source.data_ptr() for source in sources]
    rows[:, 2] = sizes
    rows[1:, 3] = nodes[:-1]
    return rows, int(programs[-1]), int(nodes[-1])


def taken(device: torch.device, items: int, nodes: int) -> Workspace:
    """A workspace with room for so much, which nobody else has."""
    try:
        spare = idle.setdefault(device, []).pop()
    except IndexError:  # all are in use, in other threads, or there are none yet
        spare = None
    if spare and len(spare.rows) >= items and len(spare.counters) >= nodes:
        return spare
    return Workspace(device, max(64, 1 << (items - 1).bit_length()), max(1 << 16, 1 << (nodes - 1).bit_length()))


def current(device: torch.device) -> AbstractContextManager[object]:
    """Within it, the device is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
