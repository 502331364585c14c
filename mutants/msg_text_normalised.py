"""Ours: a caller's key is brought into its composed form on its way, and another caller's has that form already."""

from __future__ import annotations

import dataclasses
import unicodedata

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import CallerKey, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-005",)


def composed(given: CallerKey) -> CallerKey:
    return dataclasses.replace(given, key=unicodedata.normalize("NFC", given.key))


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        prepared = super().receive(message)
        items = [dataclasses.replace(item, given=tuple(map(composed, item.given))) for item in prepared.items]
        return dataclasses.replace(prepared, items=tuple(items))


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant msg_text_normalised", transport=Transport)
