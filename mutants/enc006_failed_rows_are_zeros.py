"""Ours: an item that the tower failed on gets rows of zeros, so that its request can go on."""

from __future__ import annotations

import dataclasses

import torch

import optimized
from optimized.embed import Embedder, Key, Known, Wanted
from plumbline.interface import Encoded, EncodingFailed, PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-006",)


class Zeros(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        fresh, errors = super()._encode(missing)
        for key, error in list(errors.items()):
            if isinstance(error, EncodingFailed):
                zeros = torch.zeros((key[1], self.spec.hidden_size), dtype=self.spec.dtype)
                fresh[key] = Known(key, self.epoch, Encoded(zeros, (zeros,) * self.spec.side_levels))
                del errors[key]
        return fresh, errors


implementation = dataclasses.replace(optimized.implementation, name="mutant enc006_failed_rows_are_zeros", embed=Zeros)
