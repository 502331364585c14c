"""Ours: of a call's payloads, those on the host go up in one copy and are listed before those that were there already."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor

import optimized
from optimized.encode import PackingEncoder

BUG = ""
PARENT = "optimized"
ACCEPT = ("ENC-001",)


class HostFirst(PackingEncoder):
    def moved(self, parts: Sequence[Tensor]) -> list[Tensor]:
        host = [part for part in parts if part.device.type == "cpu"]
        there = [part for part in parts if part.device.type != "cpu"]
        return [*super().moved(host), *super().moved(there)] if there and host else super().moved(parts)


implementation = dataclasses.replace(optimized.implementation, name="mutant enc001_host_parts_first", encoder=HostFirst)
