"""tokenspeed #897 (review): metadata of items that processors give as plain numbers was refused by the type that the message
declared. Here, extras are refused that are no bool, int, float, str or bytes by their exact type; numpy's float64, in which
processors compute the frame rate of a clip, is a float of another type.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

import optimized
from optimized.prepare import SCALARS, Preparer
from plumbline.interface import BadExtra, Extra

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-026",)


class ExactPreparer(Preparer):
    def check_extras(self, extras: Mapping[str, Extra], images: int, where: str) -> None:
        super().check_extras(extras, images, where)
        for name, extra in extras.items():
            for value in extra.value if isinstance(extra.value, tuple) else (extra.value,):
                if type(value) not in SCALARS and not isinstance(value, Tensor):
                    raise BadExtra(f"extra {name!r}: {type(value).__name__}", where=where)


implementation = dataclasses.replace(
    optimized.implementation, name="mutant extras_of_exact_types", prepare=ExactPreparer
)
