"""B124, SGLang CVE-2026-3059, and B126, vLLM GHSA-hj4w-hm2g-p6w5: messages are pickles, and whoever can send one can run code."""

from __future__ import annotations

import dataclasses
import pickle

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import BadMessage, Identity, Prepared

BUG = "B124, B126"
PARENT = "optimized"
ACCEPT = ("MSG-004",)


class Pickles(PoolPublisher):
    def publish(
        self, prepared: Prepared, readers: frozenset[int], held: frozenset[Identity] = frozenset()
    ) -> PoolTicket:
        ticket = super().publish(prepared, readers, held)
        ticket.message = pickle.dumps(ticket.message)
        return ticket


class Unpickles(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        try:
            inner = pickle.loads(message)
        except Exception as error:
            raise BadMessage(f"not a message of this version: {error}") from error
        if not isinstance(inner, bytes):
            raise BadMessage("not a message")
        return super().receive(inner)


class Transport(SharedMemoryTransport):
    publisher_type = Pickles
    subscriber_type = Unpickles


implementation = dataclasses.replace(optimized.implementation, name="mutant b124_pickled_messages", transport=Transport)
