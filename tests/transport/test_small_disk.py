"""Shared memory that is really full: a small file system in the place of it, which only the process of the test sees."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from plumbline.interface import Capability
from plumbline.parts import claimed
from plumbline.requirements import ROOT
from plumbline.resolve import Subject
from plumbline.transport_host import SHARED_MEMORY

SMALL = 256 << 10
"""Bytes of the file system."""
CHILD = f"""
    import os, sys
    from plumbline.resolve import resolve
    from plumbline.transport_host import Both, Received
    from plumbline.transport_scenario import WireItem, WireRequest
    if sys.argv[1] == "lazy":
        os.posix_fallocate = lambda file, start, size: os.ftruncate(file, start + size)
    requests = [WireRequest((WireItem(k, (1000,)),)) for k in range(2 * {SMALL} // 64000)]
    with Both(resolve(sys.argv[2], sys.argv[3:]).implementation, pool=4 * {SMALL}) as both:
        got = [Received(both.subscribers[0], both.publish(r, name=f"q{{k}}").message) for k, r in enumerate(requests)]
        assert all(one.reads(request) for one, request in zip(got, requests))
"""
"""Two times as many bytes as there is room for, in a pool of four times as many. lazy: B035, pages are allocated when they are
first touched."""


def on_small_disk(how: str, *spec: str) -> subprocess.CompletedProcess[str]:
    """Skips where a process may not mount anything for itself."""
    inside = [f'mount -t tmpfs -o size={SMALL} none {SHARED_MEMORY} && exec "$@"', "sh"]
    unshare = [shutil.which("unshare") or "", "--user", "--map-root-user", "--mount", "sh", "-c", *inside]
    if not unshare[0] or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    python = [sys.executable, "-c", textwrap.dedent(CHILD), how, *spec]
    return subprocess.run([*unshare, *python], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.requirement("POOL-010")
def test_a_disk_that_fills_up_harms_nobody(subject: Subject, request: pytest.FixtureRequest) -> None:
    claimed(subject, Capability.TRANSPORT)
    if request.config.option.profile == "mutant":
        pytest.skip("mutants die in one process")
    done = on_small_disk("eager", subject.spec, *subject.replaced)
    assert not done.returncode, done.stderr


@pytest.mark.requirement("POOL-010")
def test_pages_that_are_allocated_when_they_are_touched_end_the_process() -> None:
    """What the test before would see."""
    assert on_small_disk("lazy", "optimized").returncode == -signal.SIGBUS
