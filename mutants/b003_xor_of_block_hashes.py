"""B003 (SGLang #8342): blocks are hashed in parallel and joined by xor, so the order of the blocks is lost and equal
blocks cancel out. Random images never show it."""

import dataclasses
import hashlib

from torch import Tensor

import optimized
from optimized.identify import Identifier, raw_bytes
from plumbline.interface import Capability

BUG = "B003"
PARENT = "optimized"
ACCEPT = ("IDENT-003",)


BLOCK = 16


class XorOfBlocks(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        data, mixed = raw_bytes(tensor).tobytes(), 0
        for start in range(0, len(data), BLOCK):
            mixed ^= int.from_bytes(hashlib.sha256(data[start : start + BLOCK]).digest(), "little")
        return mixed.to_bytes(32, "little")


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b003 xor of block hashes",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=XorOfBlocks,
)
