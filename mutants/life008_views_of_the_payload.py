"""B039 in kind (vLLM #28706): precomputed rows stay views of the payload that they came in. Released, its memory is
somebody else's: an equal item of another request still reads its rows there, and rows that were served change."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item

BUG = "B039"
PARENT = "optimized"
ACCEPT = ("LIFE-008", "CHUNK-008")


class Views(PackingEncoder):
    def precomputed(self, item: Item) -> Encoded:
        parts = [self.port.move(part) for part in self.opened(item)]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        rows, *side = torch.split(whole, self.spec.hidden_size, dim=1)
        return Encoded(rows, tuple(side))


implementation = dataclasses.replace(
    optimized.implementation, name="mutant life008_views_of_the_payload", encoder=Views
)
