"""Ours, after the caller's hashes of SGLang #25300: a key of 64 hex digits is taken for the digest itself. It is nobody's but
the caller's word, and it can name another tenant's image."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item, Trust

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-008", "IDENT-010", "ISO-005")


class TakesDigests(Identifier):
    def digest(self, item: Item) -> bytes:
        digest = super().digest(item)
        given = self.given(item)
        if given is None or given.trust is Trust.VERIFIED or len(given.key) != 2 * len(digest):
            return digest
        try:
            return bytes.fromhex(given.key)
        except ValueError:
            return digest


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant caller digest taken over",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=TakesDigests,
)
