"""Builds an implementation's parts for one run, around the harness's own tower, port and identify counter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from plumbline.exact import Contradiction
from plumbline.interface import (
    Budgets,
    Cache,
    DevicePort,
    Embed,
    Encoded,
    Encoder,
    Identify,
    Identity,
    Implementation,
    Item,
    Merge,
    Packed,
    PayloadMissing,
    PlumblineError,
    Prepare,
    Ranks,
    Runtime,
    Tower,
    TowerSpec,
)

Fingerprint = tuple[str, tuple[int, int, int] | None, tuple[int, ...], str, tuple[tuple[str, str], ...], bytes]
"""What a tower sees of an item: modality, grid, parts, dtype, extras as text, and a hash of its patches."""
T = TypeVar("T")


def content(data: bytes) -> bytes:
    """A short stand-in for a payload's bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()


@dataclass(frozen=True)
class Call:
    """One tower call: patches in it, a fingerprint of each item's content, its attention segments, and whether it raised.

    contradiction: why it could be nothing else than refused, whatever is in it.
    """

    patches: int
    items: tuple[Fingerprint, ...]
    epoch: int
    segments: int
    failed: bool
    contradiction: str


class RecordingTower:
    """Any tower, with a record of its calls."""

    def __init__(self, tower: Tower) -> None:
        self.tower, self.spec = tower, tower.spec
        self.calls: list[Call] = []

    @property
    def epoch(self) -> int:
        return self.tower.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.tower.epoch = epoch

    def __call__(self, packed: Packed) -> Encoded:
        failed, contradiction = True, ""
        try:
            encoded = self.tower(packed)
            failed = False
        except Contradiction as error:
            contradiction = str(error)
            raise
        finally:
            segments = len(packed.cu_seqlens) - 1
            prints = self._fingerprints(packed)
            self.calls.append(Call(len(packed.patches), prints, self.epoch, segments, failed, contradiction))
        return encoded

    @staticmethod
    def _fingerprints(packed: Packed) -> tuple[Fingerprint, ...]:
        fingerprints, at = [], 0
        for item in packed.items:
            count = sum(item.parts)
            patches = packed.patches[at : at + count]
            at += count
            extras = tuple(
                (k, str(v.tolist()) if isinstance(v, Tensor) else repr(v)) for k, v in sorted(item.extras.items())
            )
            data = patches.contiguous().view(torch.uint8).numpy().tobytes() if patches.numel() else b""
            fingerprints.append(
                (item.modality.value, item.grid_thw, item.parts, str(patches.dtype), extras, content(data))
            )
        return tuple(fingerprints)


class HostPort:
    """A port of the CPU, where everything lies already."""

    device = torch.device("cpu", 0)
    """With a number, so that nothing can believe that its payload is there already."""

    def move(self, tensor: Tensor) -> Tensor:
        return tensor

    def pinned(self, nbytes: int) -> Tensor:
        return torch.empty(nbytes, dtype=torch.uint8)

    def register(self, memory: Tensor) -> None:
        """To the CPU all memory is the same."""

    def share(self, nbytes: int) -> tuple[Tensor, bytes]:
        raise OSError("the CPU has no memory but the host's")

    def attach(self, handle: bytes) -> Tensor:
        raise OSError("the CPU does not map a device's memory")

    def write(self, word: Tensor, value: int) -> None:
        with torch.inference_mode():  # which may write into what was made outside of it, too
            word.fill_(value)

    def wait(self, word: Tensor, value: int) -> None:
        if int(word) < value:
            raise PayloadMissing("the word was not written yet")


class RecordingPort(HostPort):
    """Counts what is moved."""

    def __init__(self, spec: TowerSpec) -> None:
        self._payloads = spec.payload_dtypes
        self.moved_bytes = 0
        """Of payloads: of at least two dimensions and a dtype of the tower's. Indices and lengths are neither."""

    def move(self, tensor: Tensor) -> Tensor:
        if tensor.dim() > 1 and tensor.dtype in self._payloads:
            self.moved_bytes += tensor.numel() * tensor.element_size()
        return tensor


def port_of(device: torch.device) -> DevicePort:
    """Of the CPU, of a GPU, or of a simulated device."""
    if device.type == "sim":
        from plumbline.sim import SimPort  # registers a device with torch, once and for all

        return SimPort(device.index)
    if device.type == "cuda":
        from plumbline.cuda.port import CudaPort  # needs packages that a machine without a GPU does without

        return CudaPort(device.index or 0)
    return HostPort()


class CountingPort(DevicePort, Protocol):
    @property
    def moved_bytes(self) -> int: ...


class Place:
    """Where a run happens: on the CPU, at once. Another place overrides what is different there."""

    def port(self, spec: TowerSpec) -> CountingPort:
        return RecordingPort(spec)

    def tower(self, tower: RecordingTower) -> Tower:
        """The tower as the implementation sees it."""
        return tower

    def embed(self, embed: Embed) -> Embed:
        """The implementation's embed as the engine drives it."""
        return embed

    def placed(self, item: Item) -> Item:
        """The item with its payload on the run's device, as a processor there leaves it."""
        return item

    def read(self, value: T, then: Callable[[T], None]) -> None:
        """``then(value)`` with tensors on the CPU, as the work that is queued by now leaves them. Calls keep their order."""
        then(value)

    def finish(self) -> None:
        """After this every ``read`` has happened."""


class CountingIdentify:
    """The implementation's identify, with a count of the items that it was given."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self.items = 0

    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        self.items += len(items)
        return self._identify(items)


@dataclass
class Rig:
    """Everything that one run drives."""

    runtime: Runtime
    place: Place
    tower: RecordingTower
    port: CountingPort
    identify: CountingIdentify
    prepare: Prepare
    encoder: Encoder
    cache: Cache | None
    embed: Embed
    merge: Merge


def build_rig(
    implementation: Implementation,
    tower: Tower,
    spec: TowerSpec,
    budgets: Budgets,
    place: Place | None = None,
    ranks: Ranks | None = None,
) -> Rig:
    """All parts of a complete implementation. Whatever a factory raises passes through."""
    place = place or Place()
    port = place.port(spec)
    runtime = Runtime(spec, port, budgets, ranks=ranks)
    recording = RecordingTower(tower)
    assert implementation.identify and implementation.prepare and implementation.encoder
    assert implementation.embed and implementation.merge
    identify = CountingIdentify(implementation.identify(runtime))
    encoder = implementation.encoder(runtime, place.tower(recording))
    cache = implementation.cache(runtime) if implementation.cache else None
    return Rig(
        runtime=runtime,
        place=place,
        tower=recording,
        port=port,
        identify=identify,
        prepare=implementation.prepare(runtime, identify),
        encoder=encoder,
        cache=cache,
        embed=place.embed(implementation.embed(runtime, encoder, cache)),
        merge=implementation.merge(runtime),
    )
