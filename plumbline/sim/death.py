"""A worker's process is killed, or given up while it hangs, and a simulated device waits for what it had queued: how long,
and what check() says."""

from __future__ import annotations

import time
from collections.abc import Sequence

from plumbline.bench import Verdicts
from plumbline.interface import Domain, LeaseLost, PayloadMissing, PlumblineError, Prepared
from plumbline.remote import Remote
from plumbline.resolve import Subject
from plumbline.sim.device import Machine
from plumbline.sim.schedule import LATEST
from plumbline.transport_host import fresh_name, remove_global
from plumbline.transport_remote import Rank, Worker, check, features
from plumbline.transport_scenario import WireItem, WireRequest

SECONDS = 1.0
"""POOL-019."""
ALIVE = 0.2
"""Seconds that the worker lives on, its payload not ready."""
REQUEST = WireRequest((WireItem(1, (40,)),))


class DoomedWorker(Worker):
    """On a machine of its own that never does what is queued. Its payloads go to the host's pool: no device memory is
    shared between processes here."""

    def __init__(self, device: str, spec: str, replaced: Sequence[str]) -> None:
        super().__init__(device, spec, replaced)
        self.machine = Machine(LATEST).__enter__()


def judge_death(subject: Subject, told: bool) -> Verdicts:
    """told: the worker lives, and its rank is told that it is lost. Judges nothing where a payload that is not ready is
    never opened."""
    verdicts = Verdicts()
    domain = Domain(fresh_name(), pool_bytes=1 << 16)
    try:
        with Remote(DoomedWorker, "sim:0", subject.spec, subject.replaced) as worker, Machine(LATEST) as machine:
            worker.call(DoomedWorker.join, domain, 0)
            rank = Rank("sim:1", subject.spec, subject.replaced)
            rank.join(domain, 0)
            sent = worker.call(DoomedWorker.publish, "late", REQUEST, frozenset({0}))
            got = rank.unpack(sent.message)
            if all(feature.ready() for feature in features(got)):
                return verdicts
            try:
                rank.open(got)
            except PayloadMissing:
                return verdicts
            time.sleep(ALIVE)
            early = _gone_on(machine)
            if not verdicts.check("POOL-001", not early, "a stream reads what its worker has not written yet"):
                return verdicts
            if told:
                what, since = "its rank was told that the worker is lost", time.monotonic()
                rank.lost(0)
            else:
                what, since = "its worker's death", worker.kill()
            while time.monotonic() < since + SECONDS and not _gone_on(machine):
                time.sleep(0.01)
            seconds = time.monotonic() - since
            said = ""
            if not _gone_on(machine):
                said = f"the stream still waits {seconds:.1f} seconds after {what}"
            elif (error := _checked(got)) is not LeaseLost:
                said = f"check() after {what}: {error.__name__ if error else 'silent'}"
            verdicts.check("POOL-019", not said, said)
    finally:
        remove_global(domain.name)
    return verdicts


def _gone_on(machine: Machine) -> bool:
    """Does what nothing holds up. Whether that is all there was."""
    for queue in machine.scheduler.queues:
        machine.scheduler.advance(queue)
    return not any(queue.waiting for queue in machine.scheduler.queues)


def _checked(prepared: Prepared) -> type[PlumblineError] | None:
    try:
        check(prepared)
    except PlumblineError as error:
        return type(error)
    return None
