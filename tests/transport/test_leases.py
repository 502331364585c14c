"""Leases one obligation at a time: who may still read what, when its space comes back, and what fences report."""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from plumbline.build import bits_of
from plumbline.interface import Feature, LeaseLost, PayloadMissing, PlumblineError, Publisher, Slot
from plumbline.profiles import PROFILES
from plumbline.resolve import Subject
from plumbline.transport_faulty import FAULTS, unpublishable
from plumbline.transport_fields import same_bits
from plumbline.transport_host import Both, Received, capacity, global_names, listening, nameless, transport_of
from plumbline.transport_scenario import LEASE_SECONDS, WireItem, WireRequest, metas_of, parts_of, prepared_of

POOL = 1 << 14
BOTH = frozenset({0, 1})


def wanted(seed: int, rows: int = 8) -> WireRequest:
    return WireRequest((WireItem(seed, (rows, 3), "bfloat16", dress=2), WireItem(seed + 100, (rows,))))


def filler(seed: int, both: Both) -> WireRequest:
    """As large as half of what a worker has."""
    return WireRequest((WireItem(seed, (both.domain.pool_bytes // both.domain.workers // 128,)),))


def leasing(both: Both) -> None:
    if not both.leases(wanted(0)):
        pytest.skip("it puts nothing under a lease")


@pytest.mark.requirement("POOL-001")
def test_late_readers_read_what_was_published(subject: Subject) -> None:
    """Many leases at once, read long after, in another order, by every reader; sizes that leave odd gaps."""
    dtypes = ("uint8", "bfloat16", "float64")
    requests = [
        WireRequest(tuple(WireItem(j, (1 + j % 5,), dtypes[j % 3], dress=2, width=1 + j % 7) for j in (k, k + 1)))
        for k in range(24)
    ]
    with Both(subject.implementation, ranks=3, pool=POOL) as both:
        messages = [both.publish(r, name=f"q{k}").message for k, r in enumerate(requests)]
        for _ in range(10):
            both.now += LEASE_SECONDS * 0.9
            for s in both.subscribers:
                s.beat()
        for rank, subscriber in enumerate(both.subscribers):
            order = list(range(24))[:: -1 if rank else 1]
            got = {k: Received(subscriber, messages[k]) for k in order}
            for k in order:
                assert got[k].reads(requests[k]), f"request {k} on rank {rank}"
                got[k].release()
                both.publishers[0].collect()


@pytest.mark.requirement("POOL-001", "POOL-006")
def test_a_reader_that_leaves_takes_nothing_along(subject: Subject) -> None:
    """The other one reads what it was sent before and what it is sent after; so does a successor."""
    with Both(subject.implementation, ranks=2, pool=POOL) as both:
        before, after = wanted(1), wanted(2)
        messages = [both.publish(before, name="before").message]
        assert Received(both.subscribers[0], messages[0]).reads(before)
        both.subscribers[0].close()
        both.subscribers[1].beat()
        both.subscribers[0] = transport_of(subject.implementation, both.domain).subscriber(0)
        messages.append(both.publish(after, name="after").message)
        assert Received(both.subscribers[1], messages[0]).reads(before)
        for subscriber in both.subscribers:
            assert Received(subscriber, messages[1]).reads(after)


@pytest.mark.requirement("POOL-002")
@pytest.mark.parametrize("last", [0, 1, 2])
def test_space_waits_for_the_last_reader(subject: Subject, last: int) -> None:
    with Both(subject.implementation, ranks=3, pool=POOL) as both:
        first = filler(1, both)
        message = both.publish(first).message
        got = [Received(s, message) for s in both.subscribers]
        assert all(g.reads(first) for g in got)
        for rank, g in enumerate(got):
            if rank != last:
                g.release()
        for k in range(4):
            both.publish(filler(2 + k, both), name=f"later{k}")
        assert got[last].reads(first)


@pytest.mark.requirement("POOL-002")
@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_tensor_that_a_request_has_twice_waits_for_each_release(subject: Subject, first: int) -> None:
    """Beside another one. Whoever releases one payload, in whatever order, takes none of those away that have their own."""
    items = (WireItem(1, (8,)), WireItem(1, (8,)), WireItem(2, (8,)))
    (twice,), (other,) = (parts_of(item) for item in items[1:])
    with Both(subject.implementation, ranks=1, pool=POOL) as both:
        sent = prepared_of("q", WireRequest(items), [twice, twice, other])
        got = Received(both.subscribers[0], both.publishers[0].publish(sent, frozenset({0})).message)
        left = {
            id(part): (part, bits) for part, bits in zip(got.parts, map(bits_of, (twice, twice, other)), strict=True)
        }
        order = list(left)
        for name in order[first:] + order[:first]:
            part, _ = left.pop(name)
            if not isinstance(part, Tensor):
                part.release()
            others = [both.publish(filler(k, both), name=f"after {name}, {k}") for k in range(3)]
            for kept, bits in left.values():
                opened = kept if isinstance(kept, Tensor) else kept.open(bits.device)
                assert torch.equal(bits_of(opened), bits)
            got.check()
            for ticket in others:
                ticket.cancel()
        both.publishers[0].collect()
        assert both.publishers[0].leased == 0


@pytest.mark.requirement("POOL-003")
@pytest.mark.requirement("POOL-016")
def test_everything_comes_back(subject: Subject) -> None:
    with Both(subject.implementation, workers=2, ranks=2, pool=POOL) as both:
        for turn in range(12):
            request = filler(turn, both)
            ticket = both.publish(request, worker=turn % 2, name=f"q{turn}")
            for s in both.subscribers:
                got = Received(s, ticket.message)
                assert got.reads(request)
                got.release()
            both.publishers[turn % 2].collect()
            assert both.publishers[turn % 2].leased == 0
        rows = capacity(subject.implementation, POOL, 2, 2)
        if rows:
            for publisher in both.publishers:
                publisher.publish(prepared_of("all", WireRequest((WireItem(0, (rows,)),))), frozenset({0}))
                assert publisher.leased, "what fitted an empty place no longer fits"
        both.close()
        assert not global_names(both.domain.name)


@pytest.mark.requirement("POOL-003")
def test_a_rank_that_closes_keeps_nothing(subject: Subject) -> None:
    """Whether its payloads were opened, released or neither; a message that comes after that is another matter."""
    with Both(subject.implementation, ranks=1, pool=POOL) as both:
        got = [Received(both.subscribers[0], both.publish(wanted(k), name=f"q{k}").message) for k in range(3)]
        got[0].open()
        got[1].release()
        both.subscribers[0].close()
        both.publishers[0].collect()
        assert both.publishers[0].leased == 0


@pytest.mark.requirement("POOL-002")
@pytest.mark.requirement("POOL-017")
@pytest.mark.parametrize("last", [0, 1, 2])
def test_payloads_of_a_request_are_released_one_by_one(subject: Subject, last: int) -> None:
    """Each of them more than once; the one that is not yet released is read all the same."""
    with Both(subject.implementation, ranks=1, pool=POOL) as both:
        items = tuple(WireItem(k, (POOL // 512,)) for k in range(3))
        got = Received(both.subscribers[0], both.publish(WireRequest(items)).message)
        for part in got.parts[:last] + got.parts[last + 1 :]:
            for _ in range(3):
                if isinstance(part, Feature):
                    part.release()
        for k in range(4):
            both.publish(filler(2 + k, both), name=f"later{k}")
        got.parts = got.parts[last : last + 1]
        assert got.reads(WireRequest(items[last : last + 1]))
        got.release()
        both.publishers[0].lost(0)
        assert both.publishers[0].leased == 0


@pytest.mark.requirement("POOL-004")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", [0, 1])
def test_a_publish_that_fails_part_way_leaves_nothing(subject: Subject, fault: str, at: int) -> None:
    request = wanted(3)
    with Both(subject.implementation, pool=POOL) as both:
        broken = unpublishable(prepared_of("q", request), fault, at)
        for _ in range(50):
            with pytest.raises((RuntimeError, PlumblineError)) as raised:
                both.publishers[0].publish(broken, frozenset({0, 1}))
            assert fault == "raises" or isinstance(raised.value, PlumblineError)
            assert both.publishers[0].leased == 0
        got = Received(both.subscribers[0], both.publish(request).message)
        assert got.reads(request)


@pytest.mark.requirement("POOL-005")
@pytest.mark.requirement("POOL-017")
def test_a_late_release_frees_no_stranger(subject: Subject) -> None:
    """A reader is fenced, its space becomes another request's, and then it releases, and its ticket is cancelled."""
    with Both(subject.implementation, pool=POOL) as both:
        leasing(both)
        for turn in range(6):
            old = both.publish(filler(turn, both), 0, name=f"old{turn}")
            late = Received(both.subscribers[0], old.message)
            late.open()
            old.cancel()
            request = filler(50 + turn, both)
            new = both.publish(request, 0, name=f"new{turn}")
            leased = both.publishers[0].leased
            late.release()
            old.cancel()
            both.publishers[0].collect()
            assert both.publishers[0].leased == leased
            assert not both.leases(filler(90, both)) or both.publishers[0].leased == leased
            got = Received(both.subscribers[0], new.message)
            assert got.reads(request)
            got.release()
            got.release()
            both.publishers[0].collect()
            assert both.publishers[0].leased == 0


@pytest.mark.requirement("POOL-006")
@pytest.mark.parametrize("seconds", [0.05, 0.9, 1.3, LEASE_SECONDS, float("inf")])
def test_a_healthy_reader_keeps_its_lease_however_long_it_queues(subject: Subject, seconds: float) -> None:
    request, sign = wanted(1), min(seconds, 1e6)
    with Both(subject.implementation, pool=POOL, lease_seconds=seconds) as both:
        message = both.publish(request).message
        got = [Received(s, message) for s in both.subscribers]
        for turn in range(60):
            both.now += sign * 0.7
            for s in both.subscribers:
                s.beat()
            both.now += sign * 0.2
            both.publish(wanted(turn), name=f"q{turn}").cancel()
            both.publishers[0].collect()
        assert all(g.reads(request) for g in got)


@pytest.mark.requirement("POOL-006")
def test_a_worker_that_starts_late_hears_the_ranks_that_wait(subject: Subject) -> None:
    """After the ranks have beaten for its predecessor; its first message lies in their inboxes for long."""
    request = wanted(3)
    with Both(subject.implementation, pool=POOL) as both:
        both.publishers.pop().close()
        for s in both.subscribers:
            s.beat()
            s.lost(0)
        both.publishers.append(transport_of(subject.implementation, both.domain).publisher(0))
        message = both.publish(request).message
        for _ in range(4):
            both.now += LEASE_SECONDS * 0.7
            for s in both.subscribers:
                s.beat()
            both.publishers[0].collect()
        assert all(Received(s, message).reads(request) for s in both.subscribers)


@pytest.mark.requirement("POOL-007")
@pytest.mark.parametrize("how", ["told", "silent"])
def test_a_dead_reader_keeps_nothing(subject: Subject, how: str) -> None:
    """Rank 1 is never heard of again; rank 0 is well, and loses nothing."""
    with Both(subject.implementation, pool=POOL) as both:
        request = wanted(1)
        kept = both.publish(request, 0)
        got = Received(both.subscribers[0], kept.message)
        alone = both.publishers[0].leased
        shared = both.publish(wanted(5), name="shared").message
        Received(both.subscribers[1], shared).open()
        Received(both.subscribers[0], shared).release()
        both.publish(wanted(6), 1, name="never received")
        if how == "told":
            both.publishers[0].lost(1)
        else:
            both.now += LEASE_SECONDS / 2
            both.subscribers[0].beat()
            both.now += LEASE_SECONDS * 0.8
        both.publishers[0].collect()
        assert both.publishers[0].leased == alone
        assert got.reads(request)


@pytest.mark.requirement("POOL-007")
@pytest.mark.parametrize("workers", [2, 12])
def test_a_dead_worker_leaves_nothing(subject: Subject, workers: int) -> None:
    """Nor does it take anything with it, of its successor, or of workers with more digits either."""
    request, left = wanted(1), set(range(workers)) - {1}
    with Both(subject.implementation, workers=workers, pool=POOL * workers) as both:
        dead = [Received(s, both.publish(request, worker=1).message) for s in both.subscribers]
        assert all(d.reads(request) for d in dead)
        messages = {w: both.publish(request, worker=w).message for w in left}
        alive = [Received(both.subscribers[0], messages[w]) for w in left]
        for s in both.subscribers:
            s.lost(1)
            s.lost(1)
        successor = transport_of(subject.implementation, both.domain).publisher(1)
        messages[1] = successor.publish(prepared_of("later", request), BOTH).message
        for g in dead:  # refused, or still right
            with contextlib.suppress(PayloadMissing, LeaseLost):
                assert g.reads(request)
            g.release()
        for s in both.subscribers:
            s.beat()
        alive += [Received(both.subscribers[1], messages[w]) for w in (1, *left)]
        assert all(g.reads(request) for g in alive)
        for s in both.subscribers:
            s.close()
        for publisher in (successor, *(both.publishers[w] for w in left)):
            publisher.close()
        assert not global_names(both.domain.name)


@pytest.mark.requirement("POOL-008")
def test_the_pools_of_earlier_workers_are_no_longer_mapped(subject: Subject) -> None:
    """A rank goes on while its worker closes and is started again; that beats say so to it is enough."""
    left = []
    with Both(subject.implementation, ranks=1, pool=POOL) as both:
        for turn in range(4):
            got = Received(both.subscribers[0], both.publish(wanted(turn), name=f"q{turn}").message)
            assert got.reads(wanted(turn))
            got.release()
            del got
            both.publishers[0].close()
            both.publishers[0] = transport_of(subject.implementation, both.domain).publisher(0)
            both.subscribers[0].beat()
            gc.collect()
            left.append(nameless())
    assert left[-1] <= left[0], f"bytes without a name after each restart: {left}"


@pytest.mark.requirement("POOL-013")
def test_a_full_pool_warns_once(subject: Subject) -> None:
    with Both(subject.implementation, pool=POOL) as both, listening() as said:
        leasing(both)
        for k in range(20):
            both.publish(filler(k, both), name=f"q{k}")
        assert len(said) == 1, said


def written(publisher: Publisher, request: WireRequest, readers: frozenset[int] = BOTH) -> Slot:
    """Space that a processor has reserved, with the request's payloads in it."""
    slot = publisher.reserve(metas_of(request), readers)
    if slot is None:
        pytest.skip("it reserves nothing")
    for space, part in zip(slot.tensors, (p for i in request.items for p in parts_of(i)), strict=True):
        space.copy_(part)
    return slot


def assert_published_among_others(both: Both, request: WireRequest, payloads: Sequence[Tensor]) -> None:
    """The pool is filled up before: all ranks read this request's payloads, and the others'."""
    others = [filler(k, both) for k in range(4)]
    tickets = [both.publish(other, name=f"other {k}") for k, other in enumerate(others)]
    message = both.publishers[0].publish(prepared_of("q", request, payloads), frozenset({0, 1})).message
    for s in both.subscribers:
        assert Received(s, message).reads(request)
        for other, ticket in zip(others, tickets, strict=True):
            assert Received(s, ticket.message).reads(other)


@pytest.mark.requirement("POOL-001", "POOL-014")
def test_payloads_that_were_reserved_in_another_order_arrive_as_the_request_lists_them(subject: Subject) -> None:
    """As from a processor that makes its videos before its images. Two are of one size."""
    request = WireRequest((WireItem(1, (4, 2)), WireItem(2, (4,)), WireItem(3, (1,))))
    metas, payloads = metas_of(request), [p for item in request.items for p in parts_of(item)]
    with Both(subject.implementation, pool=POOL) as both:
        for order in itertools.permutations(range(len(metas))):
            slot = both.publishers[0].reserve([metas[index] for index in order], BOTH)
            if slot is None:
                pytest.skip("it reserves nothing")
            spaces = [slot.tensors[order.index(index)] for index in range(len(metas))]
            for space, payload in zip(spaces, payloads, strict=True):
                space.copy_(payload)
            message = both.publishers[0].publish(prepared_of("q", request, spaces), BOTH).message
            for s in both.subscribers:
                got = Received(s, message)
                assert got.reads(request), f"reserved in the order {order}"
                got.release()
            both.publishers[0].collect()


@pytest.mark.requirement("POOL-014")
def test_a_processor_writes_in_place(subject: Subject) -> None:
    request = wanted(7)
    with Both(subject.implementation, pool=POOL) as both:
        publisher = both.publishers[0]
        slot = written(publisher, request)
        reserved = publisher.leased
        message = publisher.publish(prepared_of("q", request, slot.tensors), frozenset({0, 1})).message
        assert publisher.leased == reserved
        for s in both.subscribers:
            got = Received(s, message)
            assert got.reads(request)
            got.release()
        publisher.collect()
        assert publisher.leased == 0
        given_back = publisher.reserve(metas_of(request), frozenset({0}))
        assert given_back is not None
        given_back.cancel()
        assert publisher.leased == 0


@pytest.mark.requirement("POOL-014", "POOL-001")
def test_a_processor_may_take_its_time(subject: Subject) -> None:
    """Longer than a lease lasts, while the pool fills up: its space is nobody else's until it publishes or cancels."""
    request = wanted(7)
    with Both(subject.implementation, pool=POOL) as both:
        publisher = both.publishers[0]
        slot = written(publisher, request)
        for _ in range(3):
            both.now += 2 * LEASE_SECONDS
            for s in both.subscribers:
                s.beat()
            publisher.collect()
        assert_published_among_others(both, request, slot.tensors)


@pytest.mark.requirement("POOL-015")
@pytest.mark.parametrize("end", ["cancel", "lost", "silence", "close"])
@pytest.mark.parametrize("reused", [False, True])
def test_a_fence_is_reported(subject: Subject, end: str, reused: bool) -> None:
    with Both(subject.implementation, ranks=1, pool=POOL) as both:
        leasing(both)
        ticket = both.publish(filler(1, both))
        opened, unopened = (Received(both.subscribers[0], ticket.message) for _ in range(2))
        opened.open()
        opened.check()
        if end == "cancel":
            ticket.cancel()
        elif end == "lost":
            both.publishers[0].lost(0)
        elif end == "silence":
            both.now += 2 * LEASE_SECONDS
        both.publishers[0].close() if end == "close" else both.publishers[0].collect()
        if reused and end != "close":
            for k in range(3):
                both.publish(filler(2 + k, both), name=f"new{k}")
        with pytest.raises(LeaseLost):
            opened.check()
        for got in (opened, unopened):
            with pytest.raises(PayloadMissing):
                got.open()
            assert not any(p.ready() for p in got.parts)  # type: ignore[union-attr]


@pytest.mark.requirement("POOL-020")
@pytest.mark.parametrize("fenced", [False, True])
def test_a_check_after_release_says_what_was_known_then(subject: Subject, fenced: bool) -> None:
    """However often the place has been used since."""
    with Both(subject.implementation, ranks=1, pool=POOL) as both:
        leasing(both)
        ticket = both.publish(filler(1, both))
        got = Received(both.subscribers[0], ticket.message)
        got.open()
        if fenced:
            ticket.cancel()
        got.release()
        for k in range(4):
            later = both.publish(filler(2 + k, both), name=f"later{k}")
            with pytest.raises(LeaseLost) if fenced else contextlib.nullcontext():
                got.check()
            later.cancel()


@pytest.mark.requirement("POOL-005")
@pytest.mark.parametrize("turns", [1 << 8, 1 << 16])
def test_a_lease_is_never_taken_for_one_of_long_ago(
    subject: Subject, turns: int, request: pytest.FixtureRequest
) -> None:
    """Around the number of publications after which a counter of one or of two bytes has gone round."""
    profile = PROFILES[request.config.option.profile]
    if turns > 1 << 8 and (profile.stop_at_first or not profile.floors):
        pytest.skip("too many publications for a short run")
    with Both(subject.implementation, ranks=1, pool=POOL) as both:
        leasing(both)
        small = prepared_of("q", WireRequest((WireItem(1, (1,)),)))
        ticket = both.publishers[0].publish(small, frozenset({0}))
        old = Received(both.subscribers[0], ticket.message)
        old.open()
        ticket.cancel()
        for turn in range(turns + 8):
            new = both.publishers[0].publish(small, frozenset({0}))
            if turn % (turns >> 4) == 0 or turn > turns - 16:
                leased = both.publishers[0].leased
                assert leased, f"publication {turn} has no lease"
                with pytest.raises(LeaseLost):
                    old.check()
                got = Received(both.subscribers[0], new.message)
                got.open()
                got.check()
            new.cancel()


@pytest.mark.requirement("POOL-003", "POOL-016")
def test_however_many_leases_end_at_once_all_come_back(subject: Subject) -> None:
    """Released by everybody between two collects; then there is room for as many again."""
    request = WireRequest((WireItem(1, (1,)),))
    with Both(subject.implementation, pool=1 << 21) as both:
        publisher = both.publishers[0]
        for turn in range(2):
            tickets = [both.publish(request, name=f"{turn} {k}") for k in range(300)]
            if not publisher.leased:
                pytest.skip("it leases nothing")
            for ticket in tickets:
                for s in both.subscribers:
                    Received(s, ticket.message).release()
            publisher.collect()
            assert publisher.leased == 0, f"turn {turn}"


@pytest.mark.requirement("POOL-002", "POOL-003")
@pytest.mark.parametrize("ranks", [9, 17, 33, 65])
def test_each_of_many_ranks_counts(subject: Subject, ranks: int) -> None:
    """Whatever a rank's number is, the place of a payload that it still reads is nobody else's."""
    with Both(subject.implementation, ranks=ranks, pool=POOL) as both:
        first = wanted(1)
        message = both.publish(first).message
        got = {rank: Received(both.subscribers[rank], message) for rank in (0, ranks // 2, ranks - 1)}
        for rank in set(range(ranks)) - {ranks - 1}:
            (got.get(rank) or Received(both.subscribers[rank], message)).release()
        for k in range(4):
            both.publish(filler(2 + k, both), 0, name=f"later{k}")
        assert got[ranks - 1].reads(first)
        got[ranks - 1].release()


@pytest.mark.requirement("POOL-003")
def test_a_rank_that_starts_again_has_still_released_what_it_released(subject: Subject) -> None:
    """Before its worker has looked, and without a word to it, as after an orderly end."""
    with Both(subject.implementation, pool=POOL) as both:
        publisher = both.publishers[0]
        before = [both.publish(wanted(k), name=f"before {k}").message for k in range(2)]
        for message in before:
            for s in both.subscribers:
                Received(s, message).release()
        both.subscribers[1].close()
        both.subscribers[1] = transport_of(subject.implementation, both.domain).subscriber(1)
        after = both.publish(wanted(3), name="after").message
        for s in both.subscribers:
            s.beat()
            got = Received(s, after)
            assert got.reads(wanted(3))
            got.release()
        publisher.collect()
        assert publisher.leased == 0


@pytest.mark.requirement("POOL-014", "POOL-001")
def test_reserved_space_is_the_processor_s_until_it_is_published_or_cancelled(subject: Subject) -> None:
    """Where nobody keeps the slot or its tensors, but views of them: the images of a bundle, say."""
    request = wanted(7)
    with Both(subject.implementation, pool=POOL) as both:
        publisher = both.publishers[0]
        slot = written(publisher, request)
        views = [tensor[:] for tensor in slot.tensors]
        reserved = publisher.leased
        del slot
        gc.collect()
        publisher.collect()
        assert publisher.leased == reserved
        assert_published_among_others(both, request, views)


@pytest.mark.requirement("POOL-001", "POOL-003")
def test_payloads_in_several_reserved_slots_are_under_one_lease(subject: Subject) -> None:
    """Each image of a request in room of its own, which is given back once the request is published."""
    request = wanted(7)
    with Both(subject.implementation, pool=POOL) as both:
        publisher = both.publishers[0]
        slots = [written(publisher, WireRequest((item,))) for item in request.items]
        payloads = [tensor for slot in slots for tensor in slot.tensors]
        message = publisher.publish(prepared_of("q", request, payloads), BOTH).message
        for slot in slots:
            slot.cancel()
        others = [both.publish(filler(k, both), name=f"other {k}") for k in range(4)]
        for s in both.subscribers:
            got = Received(s, message)
            assert got.reads(request)
            got.release()
        for other in others:
            other.cancel()
        publisher.collect()
        assert publisher.leased == 0


@pytest.mark.requirement("POOL-001", "POOL-003")
@pytest.mark.parametrize("reserved", [{0}, {1}, {0, 1}])
@pytest.mark.parametrize("tried", [set(), {0}, {1}, {0, 1}])
@pytest.mark.parametrize("named", [{0}, {1}, {0, 1}])
def test_the_readers_of_reserved_space_are_those_that_a_publication_names(
    subject: Subject, reserved: set[int], tried: set[int], named: set[int]
) -> None:
    """Room is reserved before it is known which ranks run the request; and a publication fails before, to others."""
    request = wanted(7)
    with Both(subject.implementation, pool=POOL) as both:
        publisher = both.publishers[0]
        slot = written(publisher, request, frozenset(reserved))
        if tried:
            with pytest.raises(PlumblineError):
                publisher.publish(unpublishable(prepared_of("q", request, slot.tensors), "extra", -1), frozenset(tried))
        message = publisher.publish(prepared_of("q", request, slot.tensors), frozenset(named)).message
        for k, rank in enumerate(sorted(named)):
            got = Received(both.subscribers[rank], message)
            assert got.reads(request)
            got.release()
            both.publish(filler(k, both), name=f"other {k}").cancel()
        publisher.collect()
        assert publisher.leased == 0


@pytest.mark.requirement("POOL-002")
def test_what_was_opened_stays_as_it_is_although_nobody_keeps_the_request(subject: Subject) -> None:
    with Both(subject.implementation, ranks=1, pool=POOL) as both:
        request = filler(1, both)
        got = Received(both.subscribers[0], both.publish(request).message)
        assert got.reads(request)
        opened = got.open()
        before = [bits_of(tensor).clone() for tensor in opened]
        del got
        gc.collect()
        both.subscribers[0].beat()
        for k in range(4):
            both.publish(filler(2 + k, both), name=f"later{k}")
        assert same_bits([[bits_of(tensor) for tensor in opened]], [before])
