"""Messages and payloads that are not as they should be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from plumbline.interface import Extra, Prepared
from plumbline.transport_fields import parts_of

FAULTS = ("meta", "raises", "extra")
"""A payload without memory, one that cannot be copied, and an extra that no message can carry."""

_HARMLESS = frozenset({"__get__", "numel", "nelement", "element_size", "dim", "size", "stride", "is_contiguous",
                       "storage_offset", "__len__", "requires_grad_", "is_floating_point", "is_complex"})  # fmt: skip


class Unreadable(Tensor):
    """Says what it is like, and raises when somebody copies it: memory that goes away part way."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "") in _HARMLESS:
            return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        raise RuntimeError(f"the payload went away during {getattr(func, '__name__', func)}")


def unpublishable(prepared: Prepared, fault: str, at: int) -> Prepared:
    """The request with a fault in that item, counted around; in the last of its payloads, where that is the fault."""
    items = list(prepared.items)
    at %= len(items)
    item = items[at]
    if fault == "extra":
        items[at] = dataclasses.replace(item, extras={**item.extras, "strange": Extra(object(), True)})
    else:
        parts = parts_of(item.payload)
        last = parts[-1]
        assert isinstance(last, Tensor)
        parts[-1] = last.to("meta") if fault == "meta" else last.as_subclass(Unreadable)
        items[at] = dataclasses.replace(item, payload=tuple(parts) if isinstance(item.payload, tuple) else parts[-1])
    return dataclasses.replace(prepared, items=tuple(items))


def spoiled(message: bytes, how: int) -> bytes:
    """One of many ways to damage a message, chosen by a number."""
    at = how // 5 * 7919 % max(len(message), 1)
    return (
        message[:at],
        message[:at] + bytes([message[at] ^ (1 << how % 8)]) + message[at + 1 :] if message else b"\0",
        message + message[: 1 + at % 9],
        message[:at] + b"\xff" * 8 + message[at + 8 :],
        message[at:],
    )[how % 5]
