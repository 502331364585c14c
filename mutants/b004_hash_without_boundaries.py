"""B004 (SGLang #25462): the tensors of a list are joined before they are hashed, so 2 + 3 tiles and 3 + 2 tiles are
one image."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B004"
PARENT = "optimized"
ACCEPT = ("IDENT-004",)


class JoinedParts(Identifier):
    def payload(self, item: Item) -> Iterator[bytes]:
        parts = item.payload
        if isinstance(parts, tuple) and parts and all(isinstance(part, Tensor) for part in parts):
            item = replace(item, payload=torch.cat([part for part in parts if isinstance(part, Tensor)]))
        return super().payload(item)


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b004 hash without boundaries",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=JoinedParts,
)
