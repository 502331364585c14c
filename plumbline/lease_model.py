"""The lease protocol as a small explicit model: every step of one worker and its readers.

``docs/lease-protocol.md`` describes the protocol and says what the exploration of this model found. The model has no notion of
time but "a reader that does not beat may be taken for silent", and no notion of bytes but "whose they are": one word stands
for a payload, because a reader that sees one wrong word has seen the bytes of another lease. A step writes at most one
shared word. ``lease_explore.py`` walks through all states, ``lease_invariants.py`` says what must hold in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from plumbline.lease_state import (
    DEAD,
    IDLE,
    NOBODY,
    A,
    C,
    Copy,
    Fault,
    L,
    Lease,
    R,
    Setting,
    State,
    Step,
    at,
    everybody,
    initial,
    put,
    with_lease,
)

Move = tuple[Step, State]

# ------------------------------------------------------------------------------------------------------------- worker


def free_slots(setting: Setting, s: State) -> list[int]:
    taken = {x.slot for x in s.leases if L.TAKEN <= x.stage <= L.FENCED or x.stage == L.STUCK}
    free = [
        k for k in range(setting.slots) if k not in taken and not (setting.modulus and s.numbers[k] > setting.modulus)
    ]
    return first_of_untouched(free, {k for k in free if s.numbers[k] > 1 or s.ready[k]})


def free_places(setting: Setting, s: State) -> list[int]:
    taken = {x.place for x in s.leases if L.TAKEN <= x.stage <= L.FENCED or x.stage == L.STUCK}
    free = [k for k in range(setting.places) if k not in taken]
    return first_of_untouched(free, {k for k in free if s.memory[k] != NOBODY})


def first_of_untouched(free: list[int], touched: set[int]) -> list[int]:
    """Slots that were never used differ in their names only: one stands for all."""
    return [k for k in free if k in touched] + [k for k in free if k not in touched][:1]


def publishes(setting: Setting, s: State) -> Iterator[Move]:
    i = next((k for k, x in enumerate(s.leases) if x.stage == L.NEW), None)
    if i is None:
        return
    found = list(product(free_slots(setting, s), free_places(setting, s)))
    late = Fault.FENCE_AFTER_REUSE in setting.faults
    for slot, place in found:
        t = s
        if Fault.ACKNOWLEDGED_UNFENCED in setting.faults:
            t = t._replace(numbers=put(t.numbers, slot, t.numbers[slot] + 1))
        if Fault.NUMBERS_REPEAT in setting.faults and Fault.ACKNOWLEDGEMENTS_KEPT not in setting.faults:
            t = t._replace(acks=put(t.acks, slot, (0,) * setting.readers))
        number = t.numbers[slot] + late
        yield (
            Step("worker", f"takes slot {slot} and place {place} for", i),
            with_lease(t, i, Lease(L.TAKEN, slot, place, number), i),
        )
    if not found and Fault.WAITS_FOR_ROOM not in setting.faults:
        yield Step("worker", "finds no room for", i), with_lease(s, i, Lease(L.GONE))


def next_number(setting: Setting, number: int) -> int:
    wraps = Fault.NUMBERS_REPEAT in setting.faults and number == setting.modulus
    return 1 if wraps else number + 1


def continues(setting: Setting, s: State) -> Move:
    """The next word of the publish, or of the end, that the worker is in."""
    i, x = s.busy, s.leases[s.busy]
    early = Fault.MESSAGE_BEFORE_READY in setting.faults
    if x.stage == L.TAKEN and early:
        return Step("worker", "sends too early", i), with_lease(s, i, x._replace(stage=L.EARLY))
    if x.stage in (L.TAKEN, L.EARLY):
        t = s._replace(memory=put(s.memory, x.place, i))
        return Step("worker", "writes the payload of", i), with_lease(t, i, x._replace(stage=L.WRITTEN))
    if x.stage == L.WRITTEN:
        t = s._replace(ready=put(s.ready, x.slot, x.number), numbers=put(s.numbers, x.slot, x.number))
        return Step("worker", "writes ready of", i), with_lease(t, i, x._replace(stage=L.READY))
    if x.stage == L.READY:
        return Step("worker", "sends", i), with_lease(s, i, x._replace(stage=L.LEASED), IDLE)
    if x.stage == L.FENCED:
        return Step("worker", "frees the slot of", i), with_lease(s, i, x._replace(stage=L.OVER), IDLE)
    number = next_number(setting, x.number)
    half = (x.number & ~1) | (number & 1)
    if x.stage == L.ENDING and Fault.NUMBER_TORN in setting.faults and half != number:
        t = s._replace(numbers=put(s.numbers, x.slot, half))
        return Step("worker", "writes half a new number over", i), with_lease(t, i, x._replace(stage=L.TORN))
    if fences(setting, x):
        s = s._replace(numbers=put(s.numbers, x.slot, number))
    return Step("worker", "fences", i), with_lease(s, i, x._replace(stage=L.FENCED))


def fences(setting: Setting, x: Lease) -> bool:
    if x.counted == everybody(setting) and not x.cancelled:
        unfenced = Fault.ACKNOWLEDGED_UNFENCED
    elif x.cancelled:
        unfenced = Fault.FENCE_AFTER_REUSE
    else:
        unfenced = Fault.LOSS_UNFENCED
    return not setting.faults & {unfenced, Fault.FENCE_AFTER_REUSE}


def ended(setting: Setting, x: Lease) -> bool:
    """Whether the worker has reason to end a lease."""
    if Fault.EXPIRES_BEATING in setting.faults or (x.counted and Fault.FREES_AT_FIRST in setting.faults):
        return True
    return x.counted | x.lost == everybody(setting)


def counts(setting: Setting, s: State, x: Lease, reader: int) -> bool:
    word = s.acks[x.slot][reader]
    return word == x.number or (word > 0 and Fault.COUNTS_ANY in setting.faults)


def observes(setting: Setting, s: State) -> Iterator[Move]:
    """Acknowledgements one by one, and the decision to end."""
    for i, x in enumerate(s.leases):
        if x.stage != L.LEASED:
            continue
        for reader in range(setting.readers):
            bit = 1 << reader
            if not x.counted & bit and counts(setting, s, x, reader):
                seen = x._replace(counted=x.counted | bit)
                yield Step("worker", "sees the acknowledgement of", i, reader), with_lease(s, i, seen)
            if x.silent & bit and not x.lost & bit:
                given_up = x._replace(lost=x.lost | bit)
                yield Step("worker", "sees the silence about", i, reader), with_lease(s, i, given_up)
        if ended(setting, x):
            yield Step("worker", "ends", i), with_lease(s, i, x._replace(stage=L.ENDING), i)


def collected(setting: Setting, s: State) -> State:
    """After a whole ``collect``."""
    while s.busy >= 0:
        s = continues(setting, s)[1]
    while (move := next(observes(setting, s), None)) is not None:
        s = move[1]
        while s.busy >= 0:
            s = continues(setting, s)[1]
    return s


def cancels(setting: Setting, s: State) -> Iterator[Move]:
    for i, x in enumerate(s.leases):
        if x.stage == L.LEASED:
            yield Step("worker", "cancels", i), with_lease(s, i, x._replace(stage=L.ENDING, cancelled=True), i)
        if x.stage == L.PAST and Fault.CANCELS_SLOT in setting.faults:
            for k, y in enumerate(s.leases):
                if y.stage == L.LEASED and y.slot == x.slot:
                    yield Step("worker", "cancels", i), with_lease(s, k, y._replace(stage=L.ENDING), k)


def declared_lost(setting: Setting, s: State, reader: int) -> State:
    if Fault.LOST_KEPT in setting.faults:
        return s
    return s._replace(
        leases=tuple(x._replace(lost=x.lost | 1 << reader) if x.stage == L.LEASED else x for x in s.leases)
    )


def worker_steps(setting: Setting, s: State) -> Iterator[Move]:
    if s.busy == DEAD:
        return
    yield Step("worker", "crashes"), s._replace(busy=DEAD)
    if s.busy != IDLE:
        yield continues(setting, s)
        if s.leases[s.busy].stage in (L.TAKEN, L.WRITTEN) and Fault.MESSAGE_BEFORE_READY not in setting.faults:
            kept = s.leases[s.busy]._replace(stage=L.STUCK) if Fault.FAILURE_KEEPS in setting.faults else Lease(L.GONE)
            yield Step("worker", "fails to publish", s.busy), with_lease(s, s.busy, kept, IDLE)
        return
    moves: list[Callable[[Setting, State], Iterator[Move]]] = [publishes, observes, cancels]
    for move in moves:
        yield from move(setting, s)
    for reader in range(setting.readers):
        if any(x.stage == L.LEASED and not x.lost >> reader & 1 for x in s.leases):
            yield Step("worker", "is told of the loss of", reader=reader), declared_lost(setting, s, reader)


# ------------------------------------------------------------------------------------------------------------ readers


def silence_steps(setting: Setting, s: State, r: int) -> Iterator[Move]:
    """More than ``lease_seconds`` pass in which only this reader does not beat; or it beats again."""
    if s.busy == DEAD:
        return
    bit = 1 << r
    quiet = tuple(x._replace(silent=x.silent | bit) if in_force(setting, x) else x for x in s.leases)
    if quiet != s.leases:
        yield Step("reader", "is silent for too long", reader=r), s._replace(leases=quiet)
    heard = tuple(x._replace(silent=x.silent & ~bit) if in_force(setting, x) else x for x in s.leases)
    if heard != s.leases and s.readers[r] == R.RUNS:
        yield Step("reader", "beats", reader=r), s._replace(leases=heard)


def reader_steps(setting: Setting, s: State, r: int) -> Iterator[Move]:
    yield from silence_steps(setting, s, r)
    if s.readers[r] == R.CRASHED:
        return
    yield (
        Step("reader", "crashes", reader=r),
        s._replace(readers=put(s.readers, r, R.CRASHED), queues=put(s.queues, r, ())),
    )
    if s.busy == DEAD and s.readers[r] != R.LEFT:
        yield (
            Step("reader", "is told of the loss of the worker", reader=r),
            s._replace(readers=put(s.readers, r, R.LEFT), numbers=(NOBODYS,) * setting.slots),
        )
    if s.queues[r]:
        yield Step("reader", "lands an acknowledgement", reader=r), landed(setting, s, r)
    for i, x in enumerate(s.leases):
        if in_force(setting, x) or L.ENDING <= x.stage <= L.PAST:
            for k in range(setting.copies):
                yield from copy_steps(setting, s, i, x, r, k)


NOBODYS = 0
"""The number of a slot whose worker is dead: whoever learns of it first ends all leases, for all readers."""


def in_force(setting: Setting, x: Lease) -> bool:
    """Sent, and no reason to end it seen yet."""
    return (L.EARLY if Fault.MESSAGE_BEFORE_READY in setting.faults else L.LEASED) <= x.stage <= L.LEASED


def landed(setting: Setting, s: State, r: int) -> State:
    first, *rest = s.queues[r]
    i, k = divmod(first, setting.copies)
    x, where = s.leases[i], at(setting, i, r, k)
    return s._replace(
        acks=put(s.acks, x.slot, put(s.acks[x.slot], r, x.number)),
        copies=put(s.copies, where, s.copies[where]._replace(ack=A.LANDED)),
        queues=put(s.queues, r, tuple(rest)),
    )


def copy_steps(setting: Setting, s: State, i: int, x: Lease, r: int, k: int) -> Iterator[Move]:
    where, faults = at(setting, i, r, k), setting.faults
    c = s.copies[where]
    stands = s.numbers[x.slot] == x.number and s.readers[r] != R.LEFT

    def move(action: str, stage: int, ack: int | None = None) -> Move:
        copy = Copy(stage, c.ack if ack is None else ack)
        return Step("reader", action, i, r, k), s._replace(copies=put(s.copies, where, copy))

    if c.stage == C.ABSENT:
        if k == 0 or s.copies[where - 1].stage != C.ABSENT:
            yield move("receives", C.RECEIVED)
        return
    wrong = s.memory[x.place] != i
    if c.stage == C.RECEIVED:
        ready = s.ready[x.slot] == x.number
        if ready or Fault.WAITS_FOR_READY not in faults:
            yield move("opens", C.OPENED if stands and ready else C.REFUSED)
    if c.stage == C.OPENED:
        if Fault.NEVER_CHECKS in faults:
            yield move("reads", C.PASSED_WRONG if wrong else C.PASSED)
        elif Fault.CHECKS_BEFORE_READ in faults:
            yield move("checks", C.READ if stands else C.FENCED_OFF)
        else:
            yield move("reads", C.READ_WRONG if wrong else C.READ)
    if c.stage in (C.READ, C.READ_WRONG):
        if Fault.CHECKS_BEFORE_READ in faults:
            yield move("reads", C.PASSED_WRONG if wrong else C.PASSED)
        else:
            yield move("checks", passed(c.stage) if stands else C.FENCED_OFF)
    if c.ack == A.NONE:
        stage = (
            C.DONE if c.stage in (C.RECEIVED, C.OPENED) and Fault.ACKNOWLEDGES_BEFORE_READ not in faults else c.stage
        )
        if s.readers[r] == R.LEFT or (not stands and Fault.ACKNOWLEDGES_STALE not in faults):
            yield move("releases without acknowledging", stage, A.DROPPED)
        else:
            step, t = move("releases", stage, A.QUEUED)
            t = t._replace(queues=put(t.queues, r, (*t.queues[r], i * setting.copies + k)))
            yield step, t if setting.queued else landed(setting, t, r)


def passed(stage: int) -> int:
    return C.PASSED_WRONG if stage == C.READ_WRONG else C.PASSED


# -------------------------------------------------------------------------------------------------------------- steps


def steps(setting: Setting, s: State) -> Iterator[Move]:
    """Everything that can happen next. The states still show what the step did; ``settled`` forgets it."""
    yield from worker_steps(setting, s)
    for r in range(setting.readers):
        yield from reader_steps(setting, s, r)


def settled(setting: Setting, s: State) -> State:
    """The state without what no later step depends on, so that equal futures are one state."""
    copies, leases = list(s.copies), list(s.leases)
    per = setting.readers * setting.copies
    for i, x in enumerate(leases):
        mine = slice(i * per, (i + 1) * per)
        if x.stage == L.GONE:
            continue
        forgotten = x.stage >= L.OVER or s.busy == DEAD
        copies[mine] = [
            settled_copy(c, s.readers[n // setting.copies] == R.CRASHED, forgotten) for n, c in enumerate(copies[mine])
        ]
        if L.OVER <= x.stage <= L.PAST or (s.busy == DEAD and x.stage >= L.ENDING):
            finished = all(c.stage == C.DONE and c.ack >= A.LANDED for c in copies[mine])
            leases[i] = Lease(L.GONE) if finished else Lease(L.PAST, x.slot, x.place, x.number)
            if finished:
                copies[mine] = [Copy()] * per
        elif s.busy == DEAD and x.stage != L.NEW:
            leases[i] = Lease(x.stage, x.slot, x.place, x.number) if in_force(setting, x) else Lease(L.GONE)
    gone = len(leases)
    return s._replace(
        copies=tuple(copies),
        leases=tuple(leases),
        memory=tuple(m if m == NOBODY or (m < gone and leases[m].stage != L.GONE) else gone for m in s.memory),
        acks=initial(setting).acks if s.busy == DEAD else s.acks,
    )


def settled_copy(c: Copy, crashed: bool, forgotten: bool) -> Copy:
    """forgotten: it makes no difference any more whether it was acknowledged."""
    stage = C.RECEIVED if c.stage > C.DONE else c.stage
    if crashed or (stage == C.RECEIVED and c.ack != A.NONE):
        stage = C.DONE
    dropped = (forgotten and c.ack == A.LANDED) or (crashed and c.ack != A.LANDED)
    return Copy(stage, A.DROPPED if dropped else c.ack)
