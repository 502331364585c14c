"""optimized's own, until a reader saw it: an extra is looked at where it is hashed.

Carried over: of an extra that does not affect the rows only the type is asked.

Shows: a name or a text that is no Unicode, in an extra that no tower reads. The request is prepared, and fails later, where it is
sent to the ranks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadExtra, Extra

BUG = ""
PARENT = "optimized"
ACCEPT = ("PREP-015",)


class Prepare(Preparer):
    def check_extras(self, extras: Mapping[str, Extra], images: int, where: str) -> None:
        try:
            super().check_extras(extras, images, where)
        except BadExtra:
            idle = {name for name, extra in extras.items() if isinstance(extra, Extra) and extra.affects_rows is False}
            texts = [extras[name].value for name in idle]
            if not idle or not all(isinstance(text, (bool, int, float, str, bytes)) for text in texts):
                raise
            super().check_extras({name: extra for name, extra in extras.items() if name not in idle}, images, where)


implementation = dataclasses.replace(optimized.implementation, name="mutant idle_extras_unread", prepare=Prepare)
