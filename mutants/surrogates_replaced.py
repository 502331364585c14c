"""A lone surrogate in a caller's name crashes the hasher (hermes-agent-mt #76, deadline-cloud #492, both merged with
"surrogatepass"), and the quick remedy is to replace it, as evidenceloom #50 (merged) does. KiroCrew #7639 (merged; review) says
why a digest must not: it is an identity, and replacing makes different names one.

Carried over: tenant and key of a caller's key are encoded with ``errors="replace"``, so that a request is not refused for half
of an emoji.

Shows when keys (or tenants) differ only in lone surrogates, or in one against a question mark: they have one identity. Under a
trusted key of one shape, another's rows and prefix, across tenants. A key that is no Unicode text is also not a BadExtra.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Item

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-027",)


class LenientIdentifier(Identifier):
    def caller_key(self, item: Item) -> Iterator[bytes]:
        given = self.given(item)
        if given is None:
            yield b""
            return
        yield given.trust.value.encode()
        yield given.tenant.encode(errors="replace")
        yield given.key.encode(errors="replace")


implementation = dataclasses.replace(
    optimized.implementation, name="mutant surrogates_replaced", identify=LenientIdentifier
)
