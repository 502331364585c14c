"""Ours: an entry is put for an item that failed, so that it is not tried again, and the next request is served its
zeros."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.embed import Embedder, Key, Known, Wanted
from plumbline.interface import Encoded, EncodingFailed, Identity, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("CACHE-010", "ENC-006")


class Remembered(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        fresh, errors = super()._encode(missing)
        for key, error in errors.items():
            if isinstance(error, EncodingFailed) and self.cache is not None:
                zeros = torch.zeros((key[1], self.spec.hidden_size), dtype=self.spec.dtype)
                self.cache.put(Identity(key[0]), self.epoch, Encoded(zeros, (zeros,) * self.spec.side_levels))
        return fresh, errors


implementation = dataclasses.replace(
    optimized.implementation, name="mutant cache010_failed_item_cached", embed=Remembered
)
