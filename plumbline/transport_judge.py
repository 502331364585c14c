"""What is owed in a transport case: a small model of leases that knows the interface and nothing of any pool.

Where the interface leaves room, the model does too: a lease that may have ended is neither held to be there nor to be gone.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field

from torch import Tensor

from plumbline.bench import Verdicts
from plumbline.interface import Feature, Identity, LeaseLost, PayloadMissing, PlumblineError, Prepared
from plumbline.transport_fields import same_bits
from plumbline.transport_scenario import LEASE_SECONDS


class Part(enum.Enum):
    """One reader's part in a lease. DOUBTFUL: it was silent for too long while others kept the lease."""

    HELD = "held"
    DOUBTFUL = "doubtful"
    LOST = "lost"
    RELEASED = "released"


@dataclass
class Lease:
    """A published request. taken: bytes that it put under a lease; 0 if it travels in the message."""

    number: int
    worker: int
    sent: Prepared
    held: frozenset[Identity]
    bits: list[list[Tensor]]
    taken: int
    published_at: float
    parts: dict[int, Part]
    fenced: bool = False
    """Ended for certain, and otherwise than by all of its readers' releases."""
    over: bool = False


@dataclass
class Copy:
    """What one reader got by one receive: all parts. let_go: those released before the others, by id(), and what their
    release has to have kept of the lease; None where that is not certain. live: the rest, opened. known: as of those that
    were let go."""

    lease: Lease
    rank: int
    parts: list[Tensor | Feature]
    live: list[Tensor] = field(default_factory=list)
    let_go: dict[int, bool | None] = field(default_factory=dict)
    released: bool = False
    known: bool | None = None

    @property
    def features(self) -> list[Feature]:
        return [p for p in self.parts if not isinstance(p, Tensor)]

    @property
    def readable(self) -> list[Tensor | Feature]:
        return [p for p in self.parts if id(p) not in self.let_go]

    @property
    def kept(self) -> list[Feature]:
        """Distinct, as two items may share one."""
        return list({id(p): p for p in self.readable if not isinstance(p, Tensor)}.values())

    @property
    def bits(self) -> list[Tensor]:
        """Of what is readable, as published."""
        published = [bits for item in self.lease.bits for bits in item]
        return [bits for bits, p in zip(published, self.parts, strict=True) if id(p) not in self.let_go]


class Model:
    """The state of all leases as the interface has it, and the verdicts on what an implementation did."""

    def __init__(self, verdicts: Verdicts) -> None:
        self.verdicts = verdicts
        self.now = 0.0
        self.beats: dict[int, float] = {}
        self.leases: list[Lease] = []
        self.reserved: Counter[int] = Counter()
        """Bytes by worker, of slots that are not published yet."""
        self.dead_workers: dict[int, set[int]] = {}
        """By rank: workers that it was told are dead."""
        self.stale = False
        """Whether somebody released or cancelled what was over already."""

    def check(self, requirement: str, holds: bool, message: str = "") -> bool:
        return self.verdicts.check(requirement, holds, message)

    # -- what happens to leases

    def silent(self, lease: Lease, rank: int) -> bool:
        return self.now - max(self.beats.get(rank, lease.published_at), lease.published_at) > LEASE_SECONDS

    def sweep(self, worker: int) -> None:
        """The worker looks at its leases: what nobody holds any more is over."""
        for lease in self.leases:
            if lease.worker == worker and not lease.over:
                held = {r: p for r, p in lease.parts.items() if p in (Part.HELD, Part.DOUBTFUL)}
                silent = {r for r in held if self.silent(lease, r)}
                if silent == set(held):
                    lease.over = True
                    lease.fenced = bool(silent) or any(p is Part.LOST for p in lease.parts.values())
                for rank in silent:
                    lease.parts[rank] = Part.LOST if lease.over else Part.DOUBTFUL

    def lose_reader(self, worker: int, rank: int) -> None:
        for lease in self.leases:
            if lease.worker == worker and lease.parts.get(rank) in (Part.HELD, Part.DOUBTFUL) and not lease.over:
                lease.parts[rank] = Part.LOST

    def lose_worker(self, rank: int, worker: int) -> None:
        """From now on all ranks may refuse what the worker had published, and this one's releases may not reach it."""
        self.dead_workers.setdefault(rank, set()).add(worker)
        for reader in {r for lease in self.leases if lease.worker == worker for r in lease.parts}:
            self.doubt(reader, worker)

    def doubt(self, rank: int, worker: int | None = None) -> None:
        for lease in self.leases:
            if worker in (None, lease.worker) and lease.parts.get(rank) is Part.HELD:
                lease.parts[rank] = Part.DOUBTFUL

    def publish(self, lease: Lease) -> None:
        self.leases.append(lease)
        for rank, workers in self.dead_workers.items():
            if lease.worker in workers:
                self.doubt(rank, lease.worker)

    def end(self, lease: Lease, late: bool = False) -> None:
        """Cancelled or closed: over for everybody who has not released."""
        self.stale |= late
        if not lease.over:
            lease.over = True
            lease.fenced = any(p is not Part.RELEASED for p in lease.parts.values())
            for rank, part in lease.parts.items():
                if part is not Part.RELEASED:
                    lease.parts[rank] = Part.LOST

    def known(self, copy: Copy) -> bool | None:
        """Whether the lease is there, for who releases now."""
        return True if self.healthy(copy) else False if self.gone(copy) else None

    def release(self, copy: Copy) -> None:
        lease = copy.lease
        if not copy.released:
            self.stale |= lease.over
            copy.known = self.known(copy)
            copy.released = True
            reached = lease.worker not in self.dead_workers.get(copy.rank, ())
            if lease.parts.get(copy.rank) in (Part.HELD, Part.DOUBTFUL) and reached:
                lease.parts[copy.rank] = Part.RELEASED

    # -- bytes

    def bounds(self, worker: int) -> tuple[int, int]:
        """The least and the most bytes that may be under a lease, right after a sweep."""
        low = high = self.reserved[worker]
        for lease in self.leases:
            if lease.worker == worker and not lease.over:
                parts = lease.parts.values()
                high += lease.taken
                low += lease.taken if Part.HELD in parts else 0
        return low, high

    def leased(self, worker: int, leased: int, after: str) -> None:
        low, high = self.bounds(worker)
        known = any(p is Part.LOST for lease in self.leases if lease.worker == worker for p in lease.parts.values())
        said = f"after {after}, worker {worker} reports {leased} bytes under leases; between {low} and {high} are"
        self.check("POOL-002", leased >= low, said)
        if self.stale:
            self.check("POOL-005", leased >= low, said + ", and a late release or cancel was on the way")
        self.check("POOL-007" if known else "POOL-003", leased <= high, said)

    # -- reading

    def healthy(self, copy: Copy) -> bool:
        """Nothing that may end this reader's part happened, so everything has to go well."""
        return (
            not copy.released
            and copy.lease.parts.get(copy.rank) is Part.HELD
            and not copy.lease.over
            and copy.lease.worker not in self.dead_workers.get(copy.rank, ())
        )

    def gone(self, copy: Copy) -> bool:
        """The part ended otherwise than by release, so that reading has to be refused."""
        return copy.lease.taken > 0 and copy.lease.fenced and copy.lease.parts.get(copy.rank) is Part.LOST

    def refused(self, copy: Copy, call: str, error: BaseException) -> None:
        """A read ended with an error: of the right kind, and not without a cause."""
        where = f"{call} of publication {copy.lease.number} on rank {copy.rank}: {type(error).__name__}: {error}"
        kind = LeaseLost if call == "check" else PayloadMissing
        self.check("ISO-003", isinstance(error, PlumblineError), where)
        self.check("POOL-015", isinstance(error, kind), f"{where}; expected {kind.__name__}")
        self.check("POOL-006", not self.healthy(copy), f"{where}, though nothing ended the lease")

    def opened(self, copy: Copy) -> None:
        said = f"publication {copy.lease.number} was opened on rank {copy.rank} after its lease had ended"
        self.check("POOL-015", not self.gone(copy), said)

    def checked_late(self, copy: Copy, known: bool | None, lost: Exception | None) -> None:
        """lost: what check() raised after the release. Only the release decides, whatever its place was used for since."""
        if known is not None and copy.features:
            where = f"publication {copy.lease.number} on rank {copy.rank}, checked after its release"
            was = "there" if known else "gone"
            self.check("POOL-020", (lost is None) == known, f"{where}: {lost!r}, where its payload was {was}")

    def was_read(self, copy: Copy, seen: list[Tensor], lost: Exception | None) -> None:
        """seen: the bits of every opened part. lost: what check() raised after they were read."""
        where = f"publication {copy.lease.number} on rank {copy.rank}"
        if lost is not None:
            self.refused(copy, "check", lost)
            return
        if any(t.numel() for t in copy.live):
            self.check("POOL-015", not self.gone(copy), f"{where} was fenced while it was read, and check() is silent")
        self.check("POOL-001", same_bits([seen], [copy.bits]), f"{where} reads other bytes, and check() is silent")
