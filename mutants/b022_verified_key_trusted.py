"""B022 (vLLM #55549): the caller's uuid is the whole key, though the content was to be checked as well. A reused uuid
shows the image that it named before."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item, Trust

BUG = "B022"
PARENT = "optimized"
ACCEPT = ("IDENT-009",)


class Trusting(Identifier):
    def payload(self, item: Item) -> Iterator[bytes]:
        trusted = tuple(replace(key, trust=Trust.TRUSTED) for key in item.given)
        return super().payload(replace(item, given=trusted))


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b022 verified key trusted",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=Trusting,
)
