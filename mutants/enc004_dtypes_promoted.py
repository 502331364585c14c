"""B015's kin (vLLM #23623): items of several dtypes are joined in one tensor, and torch promotes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import optimized
from optimized.encode import PackingEncoder, meta_of, parts_of
from plumbline.interface import Item

BUG = "B015"
PARENT = "optimized"
ACCEPT = ("ENC-004", "ENC-001")


class MixedDtypes(PackingEncoder):
    def groups(self, items: Sequence[Item], indexes: Iterable[int]) -> Iterator[list[int]]:
        groups: dict[object, list[int]] = {}
        for index in indexes:
            groups.setdefault(tuple(meta_of(parts_of(items[index])[0]).shape[1:]), []).append(index)
        yield from groups.values()


implementation = dataclasses.replace(
    optimized.implementation, name="mutant enc004_dtypes_promoted", encoder=MixedDtypes
)
