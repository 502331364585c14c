"""Ours, after numpy's strings of bytes, which end before their last zeros: one digest in 256 arrives shorter."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import PoolSubscriber
from plumbline.interface import Identity, Prepared

BUG = ""
PARENT = "optimized"
ACCEPT = ("MSG-005",)


class Mutant(PoolSubscriber):
    def receive(self, message: bytes) -> Prepared:
        prepared = super().receive(message)
        identities = tuple(Identity(identity.digest.rstrip(b"\0")) for identity in prepared.identities)
        return dataclasses.replace(prepared, identities=identities)


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(
    optimized.implementation, name="mutant msg_digest_without_last_zeros", transport=Transport
)
