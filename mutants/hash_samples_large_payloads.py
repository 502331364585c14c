"""To save time, of a payload beyond 1 MiB only the first and last 64 KiB are hashed. Frames of one screen recording
differ in the middle."""

import dataclasses
import hashlib

from torch import Tensor

import optimized
from optimized.identify import Identifier, raw_bytes

BUG = ""
PARENT = "optimized"
ACCEPT = ("IDENT-003",)


LARGE, SAMPLE = 1 << 20, 1 << 16


class Samples(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        data = raw_bytes(tensor)
        if data.nbytes <= LARGE:
            return super().content(tensor)
        return hashlib.sha256(data[:SAMPLE].tobytes() + data[-SAMPLE:].tobytes()).digest()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant hash samples large payloads",
    identify=Samples,
)
