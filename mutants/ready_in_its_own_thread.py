"""What an encoder makes ready lies in the thread that made it, and its engine's loop has a thread of its own: nothing is ready
there. Kin of a current device or a gradient mode that is set where an engine is made, which are a thread's too.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence

import optimized
from optimized.encode import PackingEncoder
from plumbline.interface import Encoded, Item, PlumblineError, Runtime, Tower

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-001",)


class Local(PackingEncoder):
    def __init__(self, runtime: Runtime, tower: Tower) -> None:
        super().__init__(runtime, tower)
        self.local = threading.local()
        self.local.budget = self.most_patches

    def encode(self, items: Sequence[Item]) -> list[Encoded | PlumblineError]:
        self.most_patches = self.local.budget
        return super().encode(items)


implementation = dataclasses.replace(optimized.implementation, name="mutant ready_in_its_own_thread", encoder=Local)
