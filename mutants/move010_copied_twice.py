"""Ours: what came over the link is copied again into a buffer of the rank's own."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import optimized
from optimized.transport import SharedMemoryTransport
from optimized.transport.subscriber import Hold, PoolSubscriber

BUG = ""
PARENT = "optimized"
ACCEPT = ("MOVE-010",)


class Twice(Hold):
    def move(self, tensor: Tensor) -> Tensor:
        moved = super().move(tensor)
        return moved if moved is tensor else torch.empty_like(moved).copy_(moved)


class Mutant(PoolSubscriber):
    hold_type = Twice


class Transport(SharedMemoryTransport):
    subscriber_type = Mutant


implementation = dataclasses.replace(optimized.implementation, name="mutant move010_copied_twice", transport=Transport)
