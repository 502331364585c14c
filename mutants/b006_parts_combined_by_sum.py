"""B006's kin (SGLang #25462, combine_hashes): the hashes of an image's slices are combined in a way that forgets their
order, so an image with two slices swapped is the same image."""

import dataclasses
from collections.abc import Iterator

import optimized
from optimized.identify import Identifier
from plumbline.interface import Capability, Item

BUG = "B006"
PARENT = "optimized"
ACCEPT = ("IDENT-003",)


class SumOfParts(Identifier):
    def payload(self, item: Item) -> Iterator[bytes]:
        count, *fields = super().payload(item)
        parts = [fields[at : at + 3] for at in range(0, len(fields), 3)]
        yield count
        for part in parts:
            yield from part[:2]
        yield str(sum(int.from_bytes(content, "little") for _, _, content in parts)).encode()


implementation = dataclasses.replace(
    optimized.implementation,
    name="mutant b006 parts combined by sum",
    capabilities=optimized.implementation.capabilities - {Capability.DIGEST_V1},
    identify=SumOfParts,
)
