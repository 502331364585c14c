"""Format 1 of conformance.md, framed byte by byte: what digests are held against."""

from __future__ import annotations

from blake3 import blake3


def ints(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


def digest(*fields: bytes) -> bytes:
    framed = b"".join(ints(len(field)) + field for field in fields)
    return blake3(b"plumbline/identity/1" + framed).digest()
