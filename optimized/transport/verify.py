"""Verification on arrival, for whoever wants to pay for it: a received payload is hashed again, where it is opened.

It costs one pass over the payload, and the wait for its digest. See ``benchmarks/device_hash.py`` for figures.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from plumbline.interface import Identify, Item, Part, PayloadMissing, PlumblineError, Prepared


def verify(prepared: Prepared, identify: Identify, device: torch.device) -> list[PlumblineError | None]:
    """For each item: what is wrong with its payload, or None. Features are opened on ``device`` and stay unreleased.

    An item without a payload has nothing wrong with it; of one with a trusted caller key, only the metadata are verified.
    """
    errors: list[PlumblineError | None] = [None] * len(prepared.items)
    there: list[int] = []
    items: list[Item] = []
    for k, item in enumerate(prepared.items):
        if item.payload is not None:
            try:
                items.append(opened(item, device))
                there.append(k)
            except PlumblineError as error:
                errors[k] = error
    for k, found in zip(there, identify(items), strict=True):
        if isinstance(found, PlumblineError):
            errors[k] = found
        elif found != prepared.identities[k]:
            where = f"request {prepared.request_id}, item {k}"
            errors[k] = PayloadMissing("the payload that arrived is not the one that was identified", where=where)
    return errors


def opened(item: Item, device: torch.device) -> Item:
    """The item with tensors for features."""

    def tensor(part: Part) -> Tensor:
        return part if isinstance(part, Tensor) else part.open(device)

    payload = item.payload
    if isinstance(payload, tuple):
        return replace(item, payload=tuple([tensor(part) for part in payload]))
    return item if payload is None else replace(item, payload=tensor(payload))
