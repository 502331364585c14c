"""What is left of a worker that died, and of one whose memory a rank cannot use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from torch import Tensor

import optimized
from optimized.transport.subscriber import PoolSubscriber
from optimized.transport.words import Segment, remove_orphan, segments_of
from plumbline.interface import Budgets, Domain, Feature, PayloadMissing, Runtime
from plumbline.requirements import ROOT
from plumbline.rig import RecordingPort
from plumbline.transport_host import Both, fresh_name, global_names, listening, remove_global
from plumbline.transport_scenario import SPEC, WireItem, WireRequest

WORKER = """
    import os, sys, time
    import optimized
    from plumbline.interface import Domain
    from plumbline.transport_host import transport_of
    publisher = transport_of(optimized.implementation, Domain(sys.argv[1], pool_bytes=1 << 16)).publisher(0)
    if not os.fork():
        print(os.getpid(), flush=True)  # by the fork itself, which is complete then
    time.sleep(60)
"""


@pytest.mark.requirement("POOL-018", "POOL-019")
def test_a_dead_worker_is_known_while_its_forks_live() -> None:
    name = fresh_name()
    worker = subprocess.Popen([sys.executable, "-c", textwrap.dedent(WORKER), name], cwd=ROOT, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    fork = int(worker.stdout.readline())
    try:
        ((key, path),) = segments_of(name).items()
        segment = Segment.attach(path, key[1], 1, RecordingPort(SPEC))
        assert segment is not None
        assert not segment.orphaned()
        worker.kill()
        worker.wait()
        os.kill(fork, 0)  # it lives
        assert segment.orphaned()
        assert not global_names(name)
        assert not remove_orphan(path)
    finally:
        os.kill(fork, signal.SIGKILL)
        worker.stdout.close()
        remove_global(name)


class NoMapping(RecordingPort):
    def register(self, memory: Tensor) -> None:
        raise OSError("too many pages are pinned")


@pytest.mark.requirement("MSG-002", "ISO-003")
def test_a_rank_that_cannot_use_a_pool_says_so_once_and_refuses_its_payloads() -> None:
    with Both(optimized.implementation, ranks=1) as both, listening() as said:
        message = both.publish(WireRequest((WireItem(1, (4,)),))).message
        domain: Domain = both.domain
        rank = PoolSubscriber(Runtime(SPEC, NoMapping(SPEC), Budgets(0, 64, 64), domain), 0)
        for _ in range(3):
            rank.beat()
            part = rank.receive(message).items[0].payload
            assert isinstance(part, Feature)
            with pytest.raises(PayloadMissing):
                part.open(RecordingPort.device)
            part.release()
        rank.close()
        assert [line for line in said if "too many pages" in line] == [said[-1]]
