"""B125, SGLang CVE-2025-10164: an unpickler that allows whatever lies in a module of the right name, and forbids a few names in
it."""

from __future__ import annotations

import dataclasses
import io
import pickle
from typing import Any

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.publisher import PoolPublisher, PoolTicket
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import BadMessage, Identity, Prepared

BUG = "B125"
PARENT = "optimized"
ACCEPT = ("MSG-004",)

ALLOWED = ("torch", "plumbline", "tests")
FORBIDDEN = ("system", "eval", "exec")


class Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if not module.startswith(ALLOWED) or name in FORBIDDEN:
            raise BadMessage(f"{module}.{name} is not allowed")
        return super().find_class(module, name)


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
            inner = Careful(io.BytesIO(message)).load()
        except BadMessage:
            raise
        except Exception as error:
            raise BadMessage(f"not a message of this version: {error}") from error
        if not isinstance(inner, bytes):
            raise BadMessage("not a message of this version")
        return super().receive(inner)


class Transport(SharedMemoryTransport):
    publisher_type = Pickles
    subscriber_type = Unpickles


implementation = dataclasses.replace(
    optimized.implementation, name="mutant b125_modules_of_a_prefix_allowed", transport=Transport
)
