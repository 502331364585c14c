"""sglang #29656 (merged 2026-06): multimodal inputs go through msgpack without pickle, so what it cannot encode has to be made
plain first ("regression tests define the supported leaves, including NumPy scalar normalization").

Carried over: values of extras that are of a subclass, such as numpy's float64, are made plain before they travel, by the first
plain kind that takes them. int takes a float.

Shows when an extra's value is of a subclass of float, str or bytes and goes through transport: float64(29.97) arrives as 29,
str_("12") as 12, bytes_(b"ab") as text. Plain values, and subclasses of int, arrive as they are. The identity was made before
that, so the rank encodes with another frame rate and keeps the rows under the true one's name.
"""

from __future__ import annotations

import contextlib
import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from plumbline.interface import Identity, Item, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-005",)

PLAIN: tuple[type, ...] = (bool, int, float, str, bytes)


def plain(value: object) -> object:
    if type(value) in PLAIN or not isinstance(value, PLAIN):
        return value
    for kind in PLAIN[1:]:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return kind(value)
    return value


def plainly(item: Item) -> Item:
    if not item.extras:
        return item
    extras = {name: dataclasses.replace(extra, value=plain(extra.value)) for name, extra in item.extras.items()}
    return dataclasses.replace(item, extras=extras)


class PlainPublisher(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        items = tuple([plainly(item) for item in prepared.items])
        return super().publish(dataclasses.replace(prepared, items=items), readers, held)


class PlainTransport(SharedMemoryTransport):
    publisher_type = PlainPublisher


implementation = dataclasses.replace(
    optimized.implementation, name="mutant scalars_tried_in_turn", transport=PlainTransport
)
