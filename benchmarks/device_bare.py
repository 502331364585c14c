"""Copies from GPU to GPU inside one process: what no way to bring payloads to another process can beat."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from cuda.bindings import runtime
from torch import Tensor

from benchmarks.device_halves import KEPT
from benchmarks.device_requests import Load, bytes_of, requests_of
from benchmarks.device_ways import POOL, payloads_of
from plumbline.cuda.port import done


class Copier:
    """One payload into a place that is there already, waited for. samples: microseconds."""

    def __init__(self, load: Load, gpu: int) -> None:
        device = torch.device("cuda", gpu)
        (self.payload,) = payloads_of(requests_of(load, 0, torch.device("cuda", 0))[0])
        self.place = torch.empty_like(self.payload, device=device)
        self.streams = [torch.cuda.current_stream(one) for one in {self.payload.device, device}]
        self.samples: list[float] = []

    def turn(self, count: int) -> None:
        for _ in range(count):
            self.wait()
            began = time.monotonic_ns()
            self.place.copy_(self.payload, non_blocking=True)
            self.wait()
            self.samples.append((time.monotonic_ns() - began) / 1e3)

    def wait(self) -> None:
        for stream in self.streams:
            stream.synchronize()


class Streams:
    """The copies over links that a stream of messages needs: one to each reader that is not on GPU 0, in order, on a CUDA
    stream for each reader. All are queued at once, out of as much memory as the pool has in use, and waited for at the end.

    gpus: of each rank. pulled: by the readers' GPUs, as readers do it; else pushed by GPU 0. nbytes: of all copies
    together. samples: seconds.
    """

    def __init__(
        self, load: Load, groups: Sequence[frozenset[int]], gpus: Sequence[int], count: int, pulled: bool
    ) -> None:
        room, here = max(map(bytes_of, load)), torch.device("cuda", 0)
        self.source = torch.empty(POOL // 2, dtype=torch.uint8, device=here)
        self.places: dict[int, Tensor] = {}
        self.streams: dict[int, torch.cuda.Stream] = {}
        self.copies: list[tuple[int, int, int, int]] = []
        """Destination, source, bytes, CUDA stream."""
        for rank in frozenset().union(*groups):
            if gpus[rank]:
                there = torch.device("cuda", gpus[rank])
                befriend(here, there)
                self.places[rank] = torch.empty(KEPT * room, dtype=torch.uint8, device=there)
                self.streams[rank] = torch.cuda.Stream(there if pulled else here)  # type: ignore[no-untyped-call]
        start = 0
        for number in range(count):
            size = bytes_of(load[number % len(load)])
            start = start if start + size <= len(self.source) else 0
            for rank in groups[number % len(groups)] & self.places.keys():
                place = self.places[rank].data_ptr() + number // len(groups) % KEPT * room
                self.copies.append((place, self.source.data_ptr() + start, size, self.streams[rank].cuda_stream))
            start += size
        self.nbytes = sum(copy[2] for copy in self.copies)
        self.samples: list[float] = []

    def turn(self) -> None:
        began = time.monotonic_ns()
        for place, source, size, stream in self.copies:
            done(runtime.cudaMemcpyAsync(place, source, size, runtime.cudaMemcpyKind.cudaMemcpyDefault, stream))
        for waited in self.streams.values():
            waited.synchronize()
        self.samples.append((time.monotonic_ns() - began) / 1e9)


def befriend(one: torch.device, other: torch.device) -> None:
    """torch lets a GPU reach another's memory once it copies from the first to the second."""
    for near, far in ((one, other), (other, one)):
        torch.empty(1, device=near).copy_(torch.empty(1, device=far))
        torch.cuda.synchronize(near)
