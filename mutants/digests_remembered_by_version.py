"""mlx-vlm #1933 in kind: the digest of a tensor is remembered as long as the tensor lives and torch counts no change of
it. A camera that writes its next frame through numpy is not counted."""

from __future__ import annotations

import dataclasses
import weakref

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Runtime

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-003",)


class Remembers(Identifier):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.found: dict[int, tuple[weakref.ref[Tensor], int, bytes]] = {}

    def content(self, tensor: Tensor) -> bytes:
        found = self.found.get(id(tensor))
        if found is None or found[0]() is not tensor or found[1] != tensor._version:
            found = weakref.ref(tensor), tensor._version, super().content(tensor)
            self.found[id(tensor)] = found
        return found[2]


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant digests remembered by version",
    identify=Remembers,
)
