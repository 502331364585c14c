"""ChemEx #498 (fixed), pylcm #449, pylj #115, CPython #75392 (a read-only view of a dict can be neither copied nor pickled):
extras are copied, so that a caller who goes on with his dict cannot change what was prepared, by ``copy.copy``.

Shows: an item whose extras are a ``types.MappingProxyType`` or another ``Mapping`` that cannot be copied so, with or without
anything in it. ``prepare`` raises TypeError for the whole call, good requests included; with dicts all is right.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import optimized
from optimized.prepare import Preparer
from plumbline.interface import Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-001", "ISO-003")


class CopyingPreparer(Preparer):
    def split(self, item: Item, layout: Layout, where: str) -> Iterator[Item]:
        for image in super().split(item, layout, where):
            yield dataclasses.replace(image, extras=copy.copy(image.extras))


implementation = dataclasses.replace(optimized.implementation, name="mutant extras_copied", prepare=CopyingPreparer)
