"""B002 (SGLang #5083): the hash saw more than the content, so the same image did not hit the cache. Here it sees the
strides, as a hash of a pickled tensor does."""

import dataclasses

from torch import Tensor

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability

BUG = "B002"
PARENT = "optimized"
ACCEPT = ("IDENT-002", "PREFIX-003")


class HashOfLayout(Identifier):
    def content(self, tensor: Tensor) -> bytes:
        return super().content(tensor) + str(tensor.stride()).encode()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b002 hash follows strides",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=HashOfLayout,
)
