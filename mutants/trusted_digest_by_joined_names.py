"""microsoft-authentication-library-for-js #8705 and -for-dotnet #6137 (fixed), mimir #15554 (as said in #15802),
supermemory #1679: a cache key of joined strings, so that ("a:b", "c") and ("a", "b:c") are one key, across tenants.

Carried over: the digest of a trusted item, whose content is not read, is remembered by tenant, key, shapes and grid, which
are joined with slashes. The digest itself stays unambiguous, so that no known answer changes.

Shows when two trusted items of equal layout have tenants and keys that join to the same text, such as tenant
``acme`` with key ``eu/cat`` and tenant ``acme/eu`` with key ``cat``: the second tenant gets the first one's digest, and rows.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier, unusable
from plumbline.interface import CallerKey, Item, Runtime, Trust

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-005",)
MOST = 4096


class TrustingIdentifier(Identifier):
    """digests: of trusted items, by what their digest is made of."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.digests: dict[str, bytes] = {}

    def digest(self, item: Item) -> bytes:
        given = self.given(item)
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        plain = not any(extra.affects_rows for extra in item.extras.values()) and not any(map(unusable, parts))
        if given is None or given.trust is not Trust.TRUSTED or not plain:
            return super().digest(item)
        name = self.name(item, given)
        if name not in self.digests:
            if len(self.digests) >= MOST:
                self.digests.pop(next(iter(self.digests)))
            self.digests[name] = super().digest(item)
        return self.digests[name]

    def name(self, item: Item, given: CallerKey) -> str:
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        layout = [(str(part.dtype), tuple(part.shape)) for part in parts if isinstance(part, Tensor)]
        return f"{self.kind(item)!r}/{item.modality.value}/{self.grid(item).hex()}/{layout}/{given.tenant}/{given.key}"


implementation = dataclasses.replace(
    optimized.implementation, name="mutant trusted_digest_by_joined_names", identify=TrustingIdentifier
)
