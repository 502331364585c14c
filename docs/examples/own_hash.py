"""Two digests of an item: of its bytes alone, as several engines had it, and of everything that makes it what it is."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from plumbline.interface import (
    CapabilityMissing,
    Identify,
    Identity,
    Implementation,
    Item,
    PlumblineError,
    Runtime,
    Source,
)


def parts_of(item: Item) -> list[Tensor]:
    """The payload's tensors. A request has tensors only: lazy payloads come of transport, after identities."""
    parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
    return [part for part in parts if isinstance(part, Tensor)]


def raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


# region bytes alone
def identify_bytes(runtime: Runtime) -> Identify:
    def digest(item: Item) -> Identity | PlumblineError:
        return Identity(hashlib.sha256(b"".join(raw(part) for part in parts_of(item))).digest())

    return lambda items: [digest(item) for item in items]


bytes_alone = Implementation(name="bytes alone", version="1", identify=identify_bytes)
# endregion


# region everything
def identify(runtime: Runtime) -> Identify:
    def digest(item: Item) -> Identity | PlumblineError:
        if item.extras or item.given:
            return CapabilityMissing("extras and caller keys")  # unclaimed: refused, not ignored
        grid = None if item.grid_thw is None else item.grid_thw.tolist()
        found = hashlib.sha256(repr((item.source is Source.PRECOMPUTED, item.modality.value, grid)).encode())
        for part in parts_of(item):
            found.update(repr((str(part.dtype), tuple(part.shape))).encode())  # says how many bytes follow
            found.update(raw(part))
        return Identity(found.digest())

    return lambda items: [digest(item) for item in items]


implementation = Implementation(name="own hash", version="1", identify=identify)
# endregion
