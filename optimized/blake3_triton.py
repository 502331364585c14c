"""BLAKE3-256 of tensors that lie on a CUDA device: one launch for all of them, and 32 bytes each that come back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from optimized.blake3_kernel import COLUMNS, hashing

LANES, FAN, WARPS, WIDTH = 32, 64, 1, 4
ALIGNED = 16
"""Bytes. The kernel reads and writes so many at once."""


class Workspace:
    """What a call has beside its tensors. One call at a time: it has ended, on whatever stream, when the next one begins."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pinned = device.type == "cuda"
        self.reserve(items=64, nodes=1 << 16)

    def reserve(self, items: int, nodes: int) -> None:
        """Room for so many. table and digests: host memory that the device reads and writes. counters: zero between calls."""
        self.table = torch.empty(items, COLUMNS.value, dtype=torch.int64, pin_memory=self.pinned)
        self.digests = torch.empty(items, 32, dtype=torch.uint8, pin_memory=self.pinned)
        self.nodes = torch.empty(nodes, 8, dtype=torch.int32, device=self.device)
        self.counters = torch.zeros(nodes, dtype=torch.int32, device=self.device)
        self.rows = self.table.numpy()

    def run(self, sources: Sequence[Tensor], copies: Sequence[Tensor] | None) -> list[bytes]:
        """sources, copies: contiguous and aligned."""
        items = len(sources)
        sizes = np.array([source.nbytes for source in sources])
        chunks = np.maximum((sizes + 1023) >> 10, 1)
        programs = np.cumsum((chunks + (LANES - 1)) // LANES)
        nodes = np.cumsum(chunks + chunks // (FAN // 2) + 31)  # enough for the levels above the chunks
        if items > len(self.rows) or nodes[-1] > len(self.counters):
            self.reserve(max(2 * items, 64), max(int(nodes[-1]), 1 << 16))
        rows = self.rows[:items]
        rows[0, 0] = rows[0, 3] = 0
        rows[1:, 0] = programs[:-1]
        rows[:, 1] = [source.data_ptr() for source in sources]
        rows[:, 2] = sizes
        rows[1:, 3] = nodes[:-1]
        if copies is not None:
            rows[:, 4] = [copy.data_ptr() for copy in copies]
        hashing[(int(programs[-1]),)](
            self.table.data_ptr(),
            items,
            self.nodes.data_ptr(),
            self.counters.data_ptr(),
            self.digests.data_ptr(),
            LANES,
            FAN,
            copies is not None,
            WIDTH,
            num_warps=WARPS,
        )
        if self.pinned:
            torch.cuda.current_stream(self.device).synchronize()
        found = self.digests.numpy()[:items].tobytes()
        return [found[at : at + 32] for at in range(0, len(found), 32)]


idle: dict[torch.device, list[Workspace]] = {}


def plain(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of it whose bytes lie in row-major order from an aligned address on."""
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    return tensor.clone() if tensor.data_ptr() % ALIGNED else tensor


def at(device: torch.device) -> AbstractContextManager[object]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def digests(tensors: Sequence[Tensor], into: Sequence[Tensor] | None = None) -> list[bytes]:
    """32 bytes for each tensor's raw bytes in row-major order. All tensors are on one CUDA device (or on the CPU, where
    Triton's interpreter runs the kernel), and are read in the order of its current stream, which is waited for.

    into: contiguous tensors of as many bytes each, on the same device, which receive the same bytes on the way.
    """
    if not tensors:
        return []
    device = tensors[0].device
    with at(device):
        sources = [plain(tensor) for tensor in tensors]
        if into is not None and any(copy.data_ptr() % ALIGNED for copy in into):
            for source, copy in zip(sources, into, strict=True):
                as_bytes(copy).copy_(as_bytes(source))
            into = None
        spare = idle.setdefault(device, [])
        workspace = spare.pop() if spare else Workspace(device)
        found = workspace.run(sources, into)
        spare.append(workspace)  # not after an error: its counters may not be zero
        return found


def as_bytes(tensor: Tensor) -> Tensor:
    """A contiguous tensor's bytes. A dimension of size 1 may have any stride there, and then refuses to be viewed so."""
    return tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8)
