"""What a run did to its devices, seen from outside the implementation."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from plumbline.own_code import called_at


@dataclass(frozen=True)
class Copy:
    """direction: "h2d", "d2h", "d2d" inside one device's memory, or "p2p" between two devices'.

    late: it was queued, and reads or writes memory that its caller still holds.
    """

    direction: str
    nbytes: int
    dtype: torch.dtype
    late: bool


@dataclass(frozen=True)
class Hazard:
    """The host touched pinned memory under a copy that had not finished. requirement: MOVE-004 or MOVE-005."""

    requirement: str
    what: str


@dataclass
class Ledger:
    """syncs: what made the host wait for a device, in order. contexts: devices that something was done on.

    queries: questions to the device module, which cost a context in a process that needs none.
    """

    copies: list[Copy] = field(default_factory=list)
    syncs: list[str] = field(default_factory=list)
    hazards: list[Hazard] = field(default_factory=list)
    contexts: set[int] = field(default_factory=set)
    queries: int = 0
    kernels: int = 0

    def hazard(self, requirement: str, what: str) -> None:
        """Notes one, with the line of the implementation that it comes from."""
        at = called_at()
        self.hazards.append(Hazard(requirement, f"{what}, at {at}" if at else what))

    def nbytes(self, direction: str) -> int:
        return sum(copy.nbytes for copy in self.copies if copy.direction == direction)

    def payload_bytes(self) -> int:
        """Of host to device, without indices, lengths and masks."""
        plain = (torch.int64, torch.bool)
        return sum(copy.nbytes for copy in self.copies if copy.direction == "h2d" and copy.dtype not in plain)
