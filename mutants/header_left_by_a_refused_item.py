"""msgpack/msgpack-python #210 and #258 (fixed by #274): a packer that is reused and whose ``pack`` raised keeps what it had
written by then, and puts it in front of the next message.

Carried over: the header that is hashed is written into one buffer that the identifier keeps, and cut back when its digest is
made. The hole: an item whose fields raise half way (an extra or a caller's key that is not valid Unicode, an integer of
thousands of digits; prepare does not look at those) leaves its half, and the next item that is identified, of whatever
request or call, gets a digest of both. The one after that is right again.

Shows for the one item after a refused one: its digest, and so its keys, cache entry and prefix, are not those of its content."""

from __future__ import annotations

import dataclasses

from blake3 import blake3

import optimized
from optimized.identify import IDENTITY, Identifier
from plumbline.interface import Item, Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-011",)


class BufferedIdentifier(Identifier):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.buffer = bytearray(IDENTITY)

    def digest(self, item: Item) -> bytes:
        for field in self.fields(item):
            self.buffer += len(field).to_bytes(8, "little")
            self.buffer += field
        found = blake3(bytes(self.buffer)).digest()
        del self.buffer[len(IDENTITY) :]
        return found


implementation = dataclasses.replace(
    optimized.implementation, name="mutant header_left_by_a_refused_item", identify=BufferedIdentifier
)
