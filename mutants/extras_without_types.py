"""An extra's value is hashed as it prints, so the number 1 and the text 1 are one value, though the tower reads them
differently."""

import dataclasses

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class Printed(Identifier):
    def extra(self, name: str, value: object) -> tuple[bytes, bytes]:
        kind, content = super().extra(name, value)
        return (b"", str(value).encode()) if kind in (b"int", b"str", b"bool") else (kind, content)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant extras without types",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Printed,
)
