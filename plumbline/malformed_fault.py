"""What a fault of a request is, and what all faults need to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from plumbline.interface import Layout, PlumblineError, Request, Source, TowerSpec


@dataclass(frozen=True)
class Fault:
    """apply: the broken request, or None where it does not apply."""

    requirement: str
    errors: tuple[type[PlumblineError], ...]
    apply: Callable[[Request, TowerSpec], Request | None]


FAULTS: dict[str, Fault] = {}


def fault(
    requirement: str, *errors: type[PlumblineError]
) -> Callable[[Callable[[Request, TowerSpec], Request | None]], Callable[[Request, TowerSpec], Request | None]]:
    def register(function: Callable[[Request, TowerSpec], Request | None]) -> Callable[..., Request | None]:
        FAULTS[function.__name__] = Fault(requirement, errors, function)
        return function

    return register


def with_first(request: Request, **changes: object) -> Request | None:
    """The request with its first item changed; None where it has none."""
    if not request.items:
        return None
    item = dataclasses.replace(request.items[0], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(request, items=(item, *request.items[1:]))


def plain_payload(request: Request) -> Tensor | None:
    """The first item's payload, where it is one tensor with elements."""
    payload = request.items[0].payload if request.items else None
    return payload if isinstance(payload, Tensor) and payload.numel() else None


def first_spans(request: Request) -> tuple[tuple[int, int], ...]:
    return request.items[0].spans if request.items else ()


def first_layout(request: Request, spec: TowerSpec) -> Layout | None:
    return spec.layouts[request.items[0].modality] if request.items else None


def has_features(request: Request) -> bool:
    """Whether the first item is for a tower to read."""
    return bool(request.items) and request.items[0].source is not Source.PRECOMPUTED


def first_grid(request: Request) -> Tensor | None:
    return request.items[0].grid_thw if request.items else None
