"""Ranks over torch.distributed: what is agreed goes between hosts, by gloo; rows between devices, by NCCL where they are GPUs.

    ranks = join(meeting_place, rank, size, device)         # or GroupRanks(host_group, data_group) of an engine's own groups

A rank that dies, or does not come, is lost to all others: gloo says so at once or after the group's timeout, every later
collective fails at once, and the engine has to start its ranks again. A rank that dies between the agreement and the end of
the gathering leaves a stream that waits; NCCL's own watchdog ends such a process after the same timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from plumbline.interface import RanksLost

T = TypeVar("T")

BEGIN = timedelta(seconds=120)
"""Within which all ranks come to their meeting place."""

# The first is its name from torch 2.13 on, which deprecates the other.
all_gather_single = dist.all_gather_single if hasattr(dist, "all_gather_single") else dist.all_gather_into_tensor


def join(meeting_place: Path, rank: int, size: int, device: torch.device, seconds: float = 30.0) -> GroupRanks:
    """This process's part in ranks of one host. meeting_place: a file that is not there yet, the same on all ranks.

    seconds: after which a rank that did not answer is lost. The first gathering on GPUs sets up NCCL, and waits for it.
    """
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, init_method=f"file://{meeting_place}", rank=rank, world_size=size, timeout=BEGIN)
    group: Any = dist.new_group(backend=backend, timeout=timedelta(seconds=seconds))
    return GroupRanks(group, group)


class GroupRanks:
    """Implements ``plumbline.interface.Ranks``. host: a group that takes CPU tensors. data: one of the same processes, in
    the same order, that takes the port's tensors. Used from one thread, and each group for nothing else meanwhile."""

    def __init__(self, host: dist.ProcessGroup, data: dist.ProcessGroup) -> None:
        self.rank, self.size = dist.get_rank(host), dist.get_world_size(host)
        self._host, self._data = host, data
        self._lost: RanksLost | None = None

    def agree(self, words: Tensor) -> Tensor:
        said = torch.empty((self.size, len(words)), dtype=words.dtype)
        self._together(lambda: dist.all_gather(list(said), words, group=self._host))
        return said

    def gather(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """All blocks are as long as the longest while they travel, so that one call moves them; what pads them is not read.

        As bytes, since a group need not know the rows' dtype.
        """
        padded = self._together(lambda: self._gathered(rows, counts))
        return [block[:count] for block, count in zip(padded, counts, strict=True)]

    def _gathered(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        padded = rows.new_empty((self.size, max(counts), rows.shape[1]))
        padded[self.rank, : counts[self.rank]] = rows
        travelling = padded.view(torch.uint8).flatten()
        own = travelling.chunk(self.size)[self.rank]
        all_gather_single(travelling, own, group=self._data)
        return padded

    def _together(self, collective: Callable[[], T]) -> T:
        """Once a rank did not get through one, memory for the rows included, it is out of step with those who did."""
        if self._lost is not None:
            raise self._lost
        try:
            return collective()
        except Exception as error:
            self._lost = RanksLost(
                f"{type(error).__name__}: {error}".partition("\n")[0], where=f"rank {self.rank} of {self.size}"
            )
            raise self._lost from error.with_traceback(None)  # its frames would keep the rows
