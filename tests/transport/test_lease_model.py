"""The lease protocol's model, explored to the end, and the real pool held against it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from optimized import implementation
from optimized.transport import messages
from optimized.transport.words import Segment, aligned, payload_start, segments_of
from plumbline.interface import Feature, LeaseLost, PayloadMissing, Ticket
from plumbline.lease_explore import Kinds, Schedule, explore
from plumbline.lease_invariants import LeaseView, ReadView, Snapshot
from plumbline.lease_replay import Divergence, calls, replay, walk
from plumbline.lease_state import Fault, Setting, Step
from plumbline.rig import RecordingPort
from plumbline.transport_host import Both
from plumbline.transport_scenario import LEASE_SECONDS, SPEC, WireItem, WireRequest, parts_of

CPU = torch.device("cpu")

# ---------------------------------------------------------------------------------------------------------- the model

SMALL = {
    "one reader, two leases": Setting(),
    "one reader, three leases": Setting(requests=3),
    "acknowledgements on a stream": Setting(queued=True),
    "two slots": Setting(slots=2, places=2),
    "two readers, one lease": Setting(readers=2, requests=1, queued=True),
    "numbers that run out": Setting(requests=3, modulus=2),
    "a message delivered twice": Setting(requests=1, copies=2, queued=True),
}


@pytest.mark.requirement("POOL-001", "POOL-002", "POOL-003", "POOL-005", "POOL-006", "POOL-011")
@pytest.mark.parametrize("name", SMALL)
def test_the_protocol_holds_in_every_state(name: str) -> None:
    found = explore(SMALL[name])
    assert found.violation is None, str(found.violation)
    assert found.complete


LARGE = {
    "two readers, two leases": Setting(readers=2),
    "three readers, one lease": Setting(readers=3, requests=1),
    "two deliveries, two leases": Setting(slots=2, copies=2),
    "two slots in one memory": Setting(slots=2, requests=3),
    "three leases, acknowledgements on a stream": Setting(requests=3, queued=True),
}


@pytest.mark.slow
@pytest.mark.requirement("POOL-001", "POOL-002", "POOL-003", "POOL-005", "POOL-006", "POOL-011")
@pytest.mark.parametrize("name", LARGE)
def test_the_protocol_holds_in_every_state_of_larger_settings(name: str) -> None:
    found = explore(LARGE[name])
    assert found.violation is None, str(found.violation)
    assert found.complete


PLANTED = [
    ({Fault.ACKNOWLEDGES_BEFORE_READ}, Setting(), "only_its_own_acknowledgement_counts"),
    ({Fault.CHECKS_BEFORE_READ}, Setting(), "values_are_safe"),
    ({Fault.NEVER_CHECKS}, Setting(), "values_are_safe"),
    ({Fault.ACKNOWLEDGES_STALE}, Setting(), "nothing_leaks"),
    ({Fault.WAITS_FOR_READY}, Setting(), "nobody_waits"),
    ({Fault.MESSAGE_BEFORE_READY}, Setting(), "the_healthy_are_served"),
    ({Fault.FENCE_AFTER_REUSE}, Setting(), "values_are_safe"),
    ({Fault.LOSS_UNFENCED}, Setting(slots=2), "values_are_safe"),
    ({Fault.ACKNOWLEDGED_UNFENCED}, Setting(slots=2, copies=2), "values_are_safe"),
    ({Fault.EXPIRES_BEATING}, Setting(), "free_only_when_done"),
    ({Fault.COUNTS_ANY}, Setting(), "only_its_own_acknowledgement_counts"),
    ({Fault.FREES_AT_FIRST}, Setting(readers=2, requests=1), "free_only_when_done"),
    ({Fault.NUMBERS_REPEAT}, Setting(requests=3, modulus=2), "values_are_safe"),
    ({Fault.NUMBERS_REPEAT, Fault.ACKNOWLEDGEMENTS_KEPT}, Setting(modulus=1), "values_are_safe"),
    ({Fault.NUMBER_TORN}, Setting(requests=4), "values_are_safe"),
    ({Fault.CANCELS_SLOT}, Setting(), "free_only_when_done"),
    ({Fault.LOST_KEPT}, Setting(), "nothing_leaks"),
    ({Fault.FAILURE_KEEPS}, Setting(), "nothing_leaks"),
    ({Fault.WAITS_FOR_ROOM}, Setting(), "nobody_waits"),
]


@pytest.mark.parametrize(
    ("faults", "setting", "invariant"),
    PLANTED,
    ids=lambda x: "-".join(sorted(f.name for f in x)) if isinstance(x, set) else "",
)
def test_a_planted_fault_gives_a_counterexample(faults: set[Fault], setting: Setting, invariant: str) -> None:
    """Otherwise a complete exploration says nothing."""
    found = explore(Setting(**{**vars(setting), "faults": frozenset(faults)}))
    assert found.violation is not None
    assert found.violation.invariant == invariant, str(found.violation)


def test_every_fault_is_planted() -> None:
    assert set(Fault) == set().union(*(faults for faults, _, _ in PLANTED))


def test_a_counterexample_prints_as_numbered_steps() -> None:
    found = explore(Setting(faults=frozenset({Fault.NEVER_CHECKS})))
    assert found.violation is not None
    lines = str(found.violation).splitlines()
    assert lines[0].startswith("values_are_safe: reader 0 passes its check of lease 0")
    assert lines[1].split()[:2] == ["1", "worker"]
    assert len(lines) == 1 + len(found.violation.schedule)


# ------------------------------------------------------------------------------------------------------- the real pool

ROWS = 16
NBYTES = ROWS * 16 * 4
SLOTS = 8


def request(lease: int) -> WireRequest:
    return WireRequest((WireItem(seed=lease + 1, rows=(ROWS,)),))


class RealPool:
    """One worker and its readers in this process. The pool has room for exactly ``setting.places`` payloads."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        room = payload_start(SLOTS, setting.readers) + setting.places * aligned(NBYTES)
        self.both = Both(implementation, ranks=setting.readers, pool=room)
        (((_, stamp), path),) = segments_of(self.both.domain.name).items()
        segment = Segment.attach(path, stamp, setting.readers, RecordingPort(SPEC))
        assert segment is not None
        self.words = segment
        self.tickets: dict[int, Ticket] = {}
        self.published_at: dict[int, float] = {}
        self.features: dict[tuple[int, int, int], Feature] = {}
        self.opened: dict[tuple[int, int, int], Tensor] = {}
        self.read: dict[tuple[int, int, int], bool] = {}
        self.released: set[tuple[int, int]] = set()
        self.cancelled: set[int] = set()
        self.lost: dict[int, set[int]] = {}
        self.alive = True
        self.alone: set[int] = set()
        """Readers that know of the worker's death."""

    @property
    def leases(self) -> dict[int, messages.WireLease]:
        found = {i: messages.decode(ticket.message).lease for i, ticket in self.tickets.items()}
        return {i: lease for i, lease in found.items() if lease is not None}

    def holds(self, lease: messages.WireLease) -> bool:
        return int(self.words.generations[lease.slot]) == lease.generation

    def silent(self, lease: int) -> set[int]:
        now, heard = self.both.now, self.words.heard.tolist()
        return {r for r, at in enumerate(heard) if now - max(at / 1e9, self.published_at[lease]) > LEASE_SECONDS}

    def do(self, step: Step, beating: frozenset[int]) -> ReadView | None:
        if step.actor == "reader":
            return self.reader(step, beating)
        publisher = self.both.publishers[0]
        for i, lease in self.leases.items():
            if self.holds(lease) and step.action in ("collects", "publishes", "is told of the loss of"):
                self.lost[i] |= self.silent(i)
                self.lost[i] |= {step.reader} if step.action == "is told of the loss of" else set()
        match step.action:
            case "collects":
                publisher.collect()
            case "publishes":
                self.published_at[step.lease], self.lost[step.lease] = self.both.now, set()
                readers = tuple(range(self.setting.readers))
                publisher.collect()  # in the model each publication does, and not only for room
                self.tickets[step.lease] = self.both.publish(request(step.lease), *readers, name=str(step.lease))
            case "cancels":
                self.cancelled.add(step.lease)
                self.tickets[step.lease].cancel()
            case "is told of the loss of":
                publisher.lost(step.reader)
            case "crashes":
                self.alive = False
            case _:
                raise NotImplementedError(step.action)
        return None

    def reader(self, step: Step, beating: frozenset[int]) -> ReadView | None:
        subscriber = self.both.subscribers[step.reader]
        key = (step.lease, step.reader, step.copy)
        match step.action:
            case "receives":
                item = subscriber.receive(self.tickets[step.lease].message).items[0]
                assert isinstance(item.payload, Feature)
                self.features[key] = item.payload
            case "opens":
                try:
                    self.opened[key] = self.features[key].open(CPU)
                except PayloadMissing:
                    return self.told(step, ok=False)
            case "reads":
                wanted = parts_of(request(step.lease).items[0])[0].view(torch.uint8)
                self.read[key] = torch.equal(self.opened[key].view(torch.uint8), wanted)
            case "checks":
                try:
                    self.features[key].check()
                except LeaseLost:
                    return self.told(step, ok=False)
                return self.told(step, ok=True, right=self.read[key])
            case "releases" | "releases without acknowledging":
                self.features[key].release()
                self.released.add((step.lease, step.reader))
            case "is silent for too long":
                self.both.now += LEASE_SECONDS + 1
                for r in beating:
                    self.both.subscribers[r].beat()
            case "beats":
                subscriber.beat()
            case "is told of the loss of the worker":
                self.alone.add(step.reader)
                subscriber.lost(0)
            case _:
                raise NotImplementedError(step.action)
        return None

    def told(self, step: Step, ok: bool, right: bool = True) -> ReadView | None:
        return None if step.reader in self.alone else ReadView(step.lease, step.reader, ok, right)

    def snapshot(self, reads: tuple[ReadView, ...], at_rest: bool) -> Snapshot:
        """From the words: a lease is held as long as its slot has its generation."""
        views = []
        for i, lease in self.leases.items():
            released = {r for r in range(self.setting.readers) if (i, r) in self.released}
            held = self.holds(lease)
            acknowledged = {r for r in released if int(self.words.acknowledged[lease.slot, r]) == lease.generation}
            views.append(
                LeaseView(
                    i, held, lease.slot, i,
                    frozenset(range(self.setting.readers)), frozenset(acknowledged if held else released),
                    lost=frozenset(self.lost[i]), silent=frozenset(self.silent(i) if held else ()),
                    cancelled=i in self.cancelled,
                )
            )  # fmt: skip
        if at_rest:
            assert self.both.publishers[0].leased == NBYTES * sum(v.held for v in views)
        return Snapshot(tuple(views), reads, at_rest=at_rest, worker=self.alive)


class LeavesStaleMarks(RealPool):
    """Its readers acknowledge what was fenced, over their newer acknowledgements."""

    def do(self, step: Step, beating: frozenset[int]) -> ReadView | None:
        found = super().do(step, beating)
        if step.action == "releases without acknowledging":
            lease = self.leases[step.lease]
            self.words.acknowledged[lease.slot, step.reader] = lease.generation
        return found


class NeverFences(RealPool):
    """Its slots keep their generation."""

    def do(self, step: Step, beating: frozenset[int]) -> ReadView | None:
        before = self.words.generations.copy()
        found = super().do(step, beating)
        if step.actor == "worker":
            self.words.generations[:] = before | self.words.generations
        return found


@pytest.fixture
def pools() -> Iterator[list[RealPool]]:
    made: list[RealPool] = []
    yield made
    for pool in made:
        pool.both.__exit__()


def run(setting: Setting, schedule: Schedule, pools: list[RealPool]) -> None:
    pools.append(RealPool(setting))
    replay(setting, schedule, pools[-1])


REPLAYED = [
    Setting(slots=8, places=1, readers=1, requests=6),
    Setting(slots=8, places=2, readers=2, requests=6),
    Setting(slots=8, places=3, readers=3, requests=8),
]
WALKS, STEPS = 100, 60


@pytest.mark.requirement("POOL-001", "POOL-002", "POOL-003", "POOL-005", "POOL-006", "POOL-007")
@pytest.mark.parametrize("setting", REPLAYED, ids=lambda s: f"{s.places} places, {s.readers} readers")
def test_the_pool_does_what_the_model_does(
    setting: Setting, pools: list[RealPool], request: pytest.FixtureRequest
) -> None:
    for number in range(WALKS):
        rng = random.Random(f"{request.config.getoption('--plumbline-seed')} {number}")
        run(setting, walk(setting, rng, STEPS), pools)


def refused(s: Snapshot, action: str, step: Step) -> bool:
    return step.action == action and any(not read.ok for read in s.reads)


def over(s: Snapshot, *, by: str) -> bool:
    """Whether the last call ended a lease, and nothing but this let it."""
    reasons = {"acknowledged": lambda x: x.acknowledged, "lost": lambda x: x.lost}
    return any(
        not x.held and (x.cancelled if by == "cancel" else not x.cancelled and reasons[by](x) == x.readers)
        for x in s.leases
    )


KINDS: Kinds = {
    "acknowledged by all": lambda s, step: over(s, by="acknowledged"),
    "lost or silent for all": lambda s, step: over(s, by="lost"),
    "cancelled": lambda s, step: over(s, by="cancel"),
    "acknowledged by one, lost by the other": lambda s, step: any(
        not x.held and x.acknowledged - x.lost and x.lost - x.acknowledged for x in s.leases
    ),
    "silent, and heard again in time": lambda s, step: step.action == "beats",
    "an open is refused": lambda s, step: refused(s, "opens", step),
    "a check fails": lambda s, step: refused(s, "checks", step),
    "a check passes": lambda s, step: step.action == "checks" and any(read.ok for read in s.reads),
    "a part given up while others read": lambda s, step: any(x.held and x.lost for x in s.leases),
    "a stale lease is released": lambda s, step: step.action == "releases without acknowledging",
    "no room": lambda s, step: step.action == "publishes" and step.lease == 1 and len(s.leases) == 1,
    "a place used again": lambda s, step: step.action == "publishes" and step.lease == 1 and s.leases[-1].held,
    "the worker's death is known": lambda s, step: step.action == "is told of the loss of the worker",
}


@pytest.mark.requirement("POOL-002", "POOL-003", "POOL-005", "POOL-007", "POOL-009")
def test_the_pool_follows_the_shortest_way_to_each_kind_of_state(pools: list[RealPool]) -> None:
    setting = Setting(slots=8, places=1, readers=2, requests=2)
    found = explore(setting, moves=calls, kinds=KINDS)
    assert found.violation is None, str(found.violation)
    assert set(found.shortest) == set(KINDS)
    for schedule in found.shortest.values():
        run(setting, schedule, pools)


@pytest.mark.parametrize("faulty", [LeavesStaleMarks, NeverFences])
def test_a_pool_that_errs_diverges(faulty: type[RealPool], pools: list[RealPool]) -> None:
    def some_walk_diverges() -> None:
        for number in range(WALKS):
            pools.append(faulty(REPLAYED[0]))
            replay(REPLAYED[0], walk(REPLAYED[0], random.Random(number), STEPS), pools[-1])

    with pytest.raises(Divergence):
        some_walk_diverges()
