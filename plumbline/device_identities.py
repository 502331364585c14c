"""Identities of payloads on a device, beside those of the same payloads on the host."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from plumbline.bench import Verdicts
from plumbline.build import build_item
from plumbline.exact import exact_spec
from plumbline.interface import Budgets, DevicePort, Identity, Implementation, Item, Part, PlumblineError, Runtime
from plumbline.scenario import ITEM_PATCHES, Scenario


def judge_identities(scenario: Scenario, implementation: Implementation, port: DevicePort) -> Verdicts:
    """Of all the scenario's items in one call, with their payloads on the port's device."""
    assert implementation.identify
    verdicts = Verdicts()
    items = [build_item(scenario.tower, item, ()) for request in scenario.requests for item in request.items]
    identify = implementation.identify(Runtime(exact_spec(scenario.tower), port, Budgets(0, 0, ITEM_PATCHES)))
    host = identify(items)
    try:
        device = identify([moved(item, port.device) for item in items])
    except Exception as error:  # whatever a part may raise
        verdicts.check("IDENT-014", False, f"identify raised {type(error).__name__}: {error}")
        return verdicts
    for item, wanted, found in zip(items, host, device, strict=True):
        if isinstance(wanted, Identity):
            verdicts.check(
                "IDENT-014",
                found == wanted,
                f"{described(item)}: on a device {name(found)}, on the host {name(wanted)}",
            )
    return verdicts


def moved(item: Item, device: torch.device) -> Item:
    def part(part: Part) -> Part:
        return on(device, part) if isinstance(part, Tensor) else part

    payload = item.payload
    if isinstance(payload, tuple):
        return dataclasses.replace(item, payload=tuple(part(one) for one in payload))
    return item if payload is None else dataclasses.replace(item, payload=part(payload))


def on(device: torch.device, tensor: Tensor) -> Tensor:
    """The tensor on a device, with its strides and its offset there."""
    length = tensor.untyped_storage().nbytes() // tensor.element_size()
    storage = tensor.as_strided((length,), (1,), 0).to(device, non_blocking=True)
    return storage.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def described(item: Item) -> str:
    parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
    return ", ".join(f"{p.dtype} {tuple(p.shape)} {p.stride()}" for p in parts if isinstance(p, Tensor))


def name(found: Identity | PlumblineError) -> str:
    return found.digest.hex() if isinstance(found, Identity) else f"{type(found).__name__}: {found}"
