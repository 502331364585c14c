"""aiocache #618 (on Python 3.11 keys built of a mixed-in enum are 'Keys.KEY' and no more the value), cpython #100458 / #100387,
mobilityhouse/ocpp #447: since 3.11 a format of a class of (str, Enum) gives the member's name.

Carried over: the text of an extra goes through an f-string on its way into the header, which makes a plain str of numpy's and of
most other subclasses, and of a (str, Enum) another text.

Shows for an extra whose value is a member of a class of (str, Enum) (not of StrEnum): its identity is not that of the plain str
that it is, so that it does not hit what the plain one cached (or what came through a message), and is not format 1; and members
of two classes with one name but other values have one identity, so another's rows are served."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.identify import Identifier, utf8

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-026",)


class PlainTextIdentifier(Identifier):
    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        if isinstance(value, str):
            return b"str", utf8(f"{value}")
        return super().extra(name, value)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enums_by_their_names", identify=PlainTextIdentifier
)
