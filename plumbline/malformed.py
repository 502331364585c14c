"""Breaks a valid request: each fault with the requirement that refuses it and the error class that it names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from plumbline import malformed_spans, malformed_values  # noqa: F401 - they register their faults
from plumbline.interface import Request, TowerSpec
from plumbline.malformed_fault import FAULTS

__all__ = ["FAULTS", "break_request", "next_applicable"]


def break_request(request: Request, name: str, spec: TowerSpec, at: int = 0) -> Request | None:
    """The request with the fault in its item ``at``, counted around; None where the fault does not apply."""
    count = len(request.items)
    shift = at % count if count else 0
    rotated = dataclasses.replace(request, items=request.items[shift:] + request.items[:shift])
    broken = FAULTS[name].apply(rotated, spec)
    if broken is None or len(broken.items) != count:
        return broken
    return dataclasses.replace(broken, items=broken.items[count - shift :] + broken.items[: count - shift])


def next_applicable(
    request: Request, name: str, spec: TowerSpec, at: int, allowed: Callable[[str], bool]
) -> tuple[str, Request] | None:
    """The first fault from ``name`` on that applies to the request, and the broken request."""
    names = list(FAULTS)
    start = names.index(name)
    for candidate in names[start:] + names[:start]:
        broken = break_request(request, candidate, spec, at) if allowed(candidate) else None
        if broken is not None:
            return candidate, broken
    return None
