"""A worker whose process ends by itself, without closing, and a process that it forked."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from plumbline.interface import Capability, Domain
from plumbline.parts import claimed
from plumbline.requirements import ROOT
from plumbline.resolve import Subject
from plumbline.transport_host import Received, fresh_name, global_names, remove_global, transport_of
from plumbline.transport_scenario import WireItem, WireRequest

REQUEST = WireRequest((WireItem(1, (4,)),))
WORKER = """
    import os, sys
    from plumbline.resolve import resolve
    from plumbline.transport_host import transport_of
    from plumbline.interface import Domain
    from plumbline.transport_scenario import WireItem, WireRequest, prepared_of

    name, spec, *replaced = sys.argv[1:]
    publisher = transport_of(resolve(spec, replaced).implementation, Domain(name, pool_bytes=1 << 16)).publisher(0)
    message = publisher.publish(prepared_of("q", WireRequest((WireItem(1, (4,)),))), frozenset({0})).message
    fork = os.fork()
    if not fork:
        sys.exit()
    os.waitpid(fork, 0)
    print(message.hex(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.requirement("POOL-001", "POOL-003")
def test_a_process_that_ends_takes_its_own_away_and_nothing_else(
    subject: Subject, about: Callable[[str], AbstractContextManager[None]]
) -> None:
    claimed(subject, Capability.TRANSPORT)
    name = fresh_name()
    command = [sys.executable, "-c", textwrap.dedent(WORKER), name, subject.spec, *subject.replaced]
    try:
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            message = bytes.fromhex(worker.stdout.readline().decode())
            rank = transport_of(subject.implementation, Domain(name, pool_bytes=1 << 16)).subscriber(0)
            with about("POOL-001"):
                assert Received(rank, message).reads(REQUEST), (
                    "after a fork of its worker has ended, it reads other bytes"
                )
            rank.close()
        with about("POOL-003"):
            assert not global_names(name), "after its worker's process has ended"
    finally:
        remove_global(name)
