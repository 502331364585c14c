"""What a GPU copied and ran for this process, from the driver's own records: CUPTI's, by way of torch.profiler."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from plumbline.interface import Identity, Prepared
from plumbline.transport_remote import Rank, Worker

MEMCPY = re.compile(r"Memcpy (\w+)")
END = "the end of what is recorded"


@dataclass
class Ledger:
    """copies: kind and bytes of each, in order of time. kind: HtoD, DtoH, DtoD or PtoP; which of the last two a copy from
    another GPU's memory is, is the driver's to say. kernels: their names. waits: calls that held the host up until a device
    had finished something, and copies that do so because the host's memory is not pinned."""

    copies: list[tuple[str, int]] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def sizes(self, *kinds: str) -> list[int]:
        """Bytes of the copies of some kinds, in ascending order."""
        return sorted(nbytes for kind, nbytes in self.copies if kind in kinds)

    def read(self, events: Sequence[dict[str, Any]]) -> None:
        """From a trace as torch.profiler exports it."""
        end = next(event["ts"] for event in events if event.get("name") == END)
        for event in sorted(events, key=lambda event: event.get("ts", 0)):
            category, name = event.get("cat"), str(event.get("name"))
            if (category == "cuda_runtime" and "Synchronize" in name and event["ts"] < end) or "Pageable" in name:
                self.waits.append(name)
            if category == "kernel":
                self.kernels.append(name)
            elif category == "gpu_memcpy" and (found := MEMCPY.match(name)):
                self.copies.append((found[1], int(event["args"]["bytes"])))


@contextmanager
def recording(device: torch.device) -> Iterator[Ledger]:
    """Fills its ledger at the end, when the device has done what was queued inside. Takes milliseconds, the first time
    seconds."""
    ledger = Ledger()
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        yield ledger
        with record_function(END):
            torch.cuda.synchronize(device)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        ledger.read(json.loads(trace.read_text())["traceEvents"])


class RecordedWorker(Worker):
    """Keeps what its last publication did."""

    ledger: Ledger

    def put(self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity]) -> bytes:
        with recording(self.device) as self.ledger:
            return super().put(prepared, readers, held)

    def recorded(self) -> Ledger:
        return self.ledger


class RecordedRank(Rank):
    """Keeps what opening its last request did."""

    ledger: Ledger

    def open(self, prepared: Prepared) -> list[Tensor]:
        with recording(self.device) as self.ledger:
            return super().open(prepared)

    def recorded(self) -> Ledger:
        return self.ledger

    def one_of_each(self, nbytes: int) -> Ledger:
        """Of one copy up, one on the device, one kernel, and one copy down that the host waits for."""
        above = torch.zeros(nbytes, dtype=torch.uint8).pin_memory()
        here = torch.zeros(nbytes, dtype=torch.uint8, device=self.device)
        with recording(self.device) as ledger:
            here.copy_(above, non_blocking=True)
            here.clone().add_(1).cpu()
        return ledger
