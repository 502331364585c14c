"""Processes of workers that end without closing, or take a killed one's place; and what workers and ranks fork."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from plumbline.interface import Capability, Domain, LeaseLost, PayloadMissing
from plumbline.parts import claimed
from plumbline.requirements import ROOT
from plumbline.resolve import Subject
from plumbline.transport_host import Received, fresh_name, global_names, nameless, remove_global, transport_of
from plumbline.transport_scenario import WireItem, WireRequest, prepared_of

WORKER = """
    import os, sys
    from plumbline.resolve import resolve
    from plumbline.transport_host import transport_of
    from plumbline.interface import Domain
    from plumbline.transport_scenario import WireItem, WireRequest, prepared_of

    name, first, spec, *replaced = sys.argv[1:]
    publisher = transport_of(resolve(spec, replaced).implementation, Domain(name, pool_bytes=1 << 16)).publisher(0)
    requests = [WireRequest((WireItem(int(first) + k, (4,)),)) for k in range(2)]
    tickets = [publisher.publish(prepared_of(f"q{k}", request), frozenset({0})) for k, request in enumerate(requests)]
    fork = os.fork()
    if not fork:
        sys.exit()
    os.waitpid(fork, 0)
    for ticket in tickets:
        print(ticket.message.hex(), flush=True)
    sys.stdin.read()
"""

RANK = """
    import os, sys
    from plumbline.resolve import resolve
    from plumbline.transport_host import Received, transport_of
    from plumbline.interface import Domain
    from plumbline.transport_scenario import WireItem, WireRequest

    name, message, spec, *replaced = sys.argv[1:]
    rank = transport_of(resolve(spec, replaced).implementation, Domain(name, pool_bytes=1 << 16)).subscriber(0)
    got = Received(rank, bytes.fromhex(message))
    assert got.reads(WireRequest((WireItem(1, (4,)),)))
    fork = os.fork()
    if not fork:
        sys.exit()
    os.waitpid(fork, 0)
    print("forked", flush=True)
    sys.stdin.readline()
    print(got.reads(WireRequest((WireItem(1, (4,)),))), flush=True)
    got.release()
    rank.close()
"""


FAMILY = """
    import os, sys, time
    from plumbline.resolve import resolve
    from plumbline.transport_host import transport_of
    from plumbline.interface import Domain
    from plumbline.transport_scenario import WireItem, WireRequest, prepared_of

    name, workers, stays, spec, *replaced = sys.argv[1:]
    domain = Domain(name, workers=int(workers), pool_bytes=1 << 16)
    publishers = [transport_of(resolve(spec, replaced).implementation, domain).publisher(w) for w in range(int(workers))]
    for publisher in publishers:
        publisher.publish(prepared_of("q", WireRequest((WireItem(1, (4,)),))), frozenset({0}))
    if stays == "True" and not os.fork():
        time.sleep(60)
        os._exit(0)
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def working(subject: Subject, name: str, first: int, killed: bool) -> Iterator[list[tuple[bytes, WireRequest]]]:
    """What a worker in a process of its own has published, which in the end is killed, or ends by itself."""
    command = [sys.executable, "-c", textwrap.dedent(WORKER), name, str(first), subject.spec, *subject.replaced]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        try:
            messages = [bytes.fromhex(worker.stdout.readline().decode()) for _ in range(2)]
            yield [(m, WireRequest((WireItem(first + k, (4,)),))) for k, m in enumerate(messages)]
        finally:
            if killed:
                worker.kill()


@pytest.mark.requirement("POOL-001", "POOL-003")
def test_a_process_that_ends_takes_its_own_away_and_nothing_else(
    subject: Subject, about: Callable[[str], AbstractContextManager[None]]
) -> None:
    claimed(subject, Capability.TRANSPORT)
    name = fresh_name()
    try:
        with working(subject, name, 1, killed=False) as ((message, request), _):
            rank = transport_of(subject.implementation, Domain(name, pool_bytes=1 << 16)).subscriber(0)
            with about("POOL-001"):
                assert Received(rank, message).reads(request), (
                    "after a fork of its worker has ended, it reads other bytes"
                )
            rank.close()
        with about("POOL-003"):
            assert not global_names(name), "after its worker's process has ended"
    finally:
        remove_global(name)


@pytest.mark.requirement("POOL-002", "POOL-006", "POOL-003")
def test_what_a_rank_reads_stays_its_own_where_it_forks(
    subject: Subject, about: Callable[[str], AbstractContextManager[None]]
) -> None:
    """As a loader of data does, whose processes end as they like."""
    claimed(subject, Capability.TRANSPORT)
    name = fresh_name()
    publisher = transport_of(subject.implementation, Domain(name, pool_bytes=1 << 16)).publisher(0)
    try:
        ticket = publisher.publish(prepared_of("q", WireRequest((WireItem(1, (4,)),))), frozenset({0}))
        before = publisher.leased
        command = [sys.executable, "-c", textwrap.dedent(RANK), name, ticket.message.hex(), subject.spec]
        command += subject.replaced
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as rank:
            assert rank.stdout is not None
            assert rank.stdout.readline() == "forked\n"
            publisher.collect()
            with about("POOL-002"):
                assert publisher.leased == before, "a process that the rank forked has ended, and with it the lease"
            said, _ = rank.communicate("\n")
            with about("POOL-006"):
                assert said == "True\n", "after a fork of its rank has ended, it reads other bytes"
        publisher.collect()
        with about("POOL-003"):
            assert publisher.leased == 0, "after its rank has released it and closed"
    finally:
        publisher.close()
        remove_global(name)


@pytest.mark.requirement("POOL-001", "POOL-018", "POOL-008")
def test_what_a_killed_worker_published_is_never_its_successor_s(
    subject: Subject, about: Callable[[str], AbstractContextManager[None]]
) -> None:
    """The rank has read one of two requests, and nobody has told it of the death when the next worker is there. Once it is
    told of the next one's, neither's pool is mapped."""
    claimed(subject, Capability.TRANSPORT)
    name = fresh_name()
    rank, mapped = transport_of(subject.implementation, Domain(name, pool_bytes=1 << 16)).subscriber(0), nameless()
    try:
        with working(subject, name, 1, killed=True) as before:
            old = [Received(rank, message) for message, _ in before]
            assert old[0].reads(before[0][1])
        with working(subject, name, 11, killed=True) as after:
            new = [(Received(rank, message), request) for message, request in after]
            late = Received(rank, before[1][0])
            with about("POOL-001"):
                for got, (_, request) in zip([*old, late], [*before, before[1]], strict=True):
                    with contextlib.suppress(PayloadMissing, LeaseLost):
                        assert got.reads(request), "what the killed worker published has other bytes now"
                    got.release()
            with about("POOL-018"):
                assert all(got.reads(request) for got, request in new)
        for got, _ in new:
            got.release()
        del old, new, late, got
        rank.lost(0)
        rank.beat()
        gc.collect()
        with about("POOL-008"):
            assert nameless() <= mapped, f"{nameless() - mapped} bytes of dead workers' pools are mapped"
        rank.close()
    finally:
        remove_global(name)


@pytest.mark.requirement("POOL-018")
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("stays", [False, True])
def test_what_killed_workers_left_is_gone_with_their_successor(subject: Subject, workers: int, stays: bool) -> None:
    """Of which there may be fewer than before. What the killed ones forked may live on."""
    claimed(subject, Capability.TRANSPORT)
    name, request = fresh_name(), WireRequest((WireItem(2, (4,)),))
    command = [sys.executable, "-c", textwrap.dedent(FAMILY), name, str(workers), str(stays), subject.spec]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, *subject.replaced], cwd=ROOT, start_new_session=True, **pipes) as family:
        assert family.stdout is not None
        try:
            assert family.stdout.readline() == b"ready\n"
            family.kill()
            family.wait()
            transport = transport_of(subject.implementation, Domain(name, pool_bytes=1 << 16))
            publisher, rank = transport.publisher(0), transport.subscriber(0)
            got = Received(rank, publisher.publish(prepared_of("q", request), frozenset({0})).message)
            assert got.reads(request)
            got.release()
            rank.close()
            publisher.close()
            assert not global_names(name), "of killed workers, after their successor has worked and closed"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(family.pid, signal.SIGKILL)
            remove_global(name)
