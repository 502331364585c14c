"""The requests of the photo job through real processes: one worker prepares and publishes, two ranks embed.

    parent --spawns--> worker 0 --messages--> rank 0, rank 1 --checksums of every request's embeddings--> parent

Payloads travel as the subject's transport sees fit, messages through pipes. The worker keeps twice as much under way
as the pool holds: so some payloads have no room in it, and those that have use it again and again. Each end of a pipe
is in one process, so whoever dies is noticed at once; nobody waits for a lock.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from plumbline.certify import Certificate
from plumbline.interface import Capability, Domain, Implementation, Item, Prepared, Request, Transport
from plumbline.photo_files import PhotoError
from plumbline.photo_run import Run, Stopped, open_tower
from plumbline.resolve import Subject, resolve
from plumbline.transport_fields import parts_of
from plumbline.transport_host import fresh_name, global_names, remove_global

RANKS = 2
SILENCE = 90.0
"""Seconds without a word from any process after which the stage ends. A rank that is alive speaks at each request."""
TELL = 5.0
"""Seconds between lines of progress."""
REQUESTS = "requests.pt"

Figures: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What each process is told. folder: checkpoint and requests. certificate: the tower's, which must hold there, too."""

    spec: str
    replaced: tuple[str, ...]
    folder: str
    certificate: Certificate
    domain: Domain

    def start(self) -> tuple[Run, Transport]:
        """In the process itself. Raises Stopped."""
        torch.set_num_threads(1)
        tower = open_tower(self.folder)
        assert self.certificate.row_floor
        tower.row_floor = self.certificate.row_floor
        self.certificate.check(tower)
        implementation: Implementation = resolve(self.spec, self.replaced).implementation
        run = Run(implementation, tower)
        assert implementation.transport
        with run.stopping():
            return run, implementation.transport(replace(run.rig.runtime, domain=self.domain))


@dataclass(frozen=True)
class Said:
    """A process to its parent. kind: "at" work, "done" or "failed", or "alone": others went first, and know why."""

    kind: str
    text: str = ""
    result: Figures = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------------ the processes


def work(job: Job, parent: Connection, ranks: Sequence[Connection]) -> None:
    """The worker's process."""
    # That the pool is too small for all is the point here, so nobody need be warned of it.
    logging.getLogger().addHandler(logging.NullHandler())
    with _telling(parent):
        run, transport = job.start()
        requests: list[Request] = torch.load(Path(job.folder) / REQUESTS, weights_only=False)
        with run.stopping():
            prepared = run.prepare(requests)
            publisher = transport.publisher(0)
            with contextlib.closing(publisher):
                parent.send(Said("at", "waits for the ranks to start"))
                for rank in ranks:
                    rank.recv()
                published = _publish(run, publisher.publish, prepared, parent, ranks, 2 * job.domain.pool_bytes)
                publisher.collect()
                leased = publisher.leased
        # The publisher is closed: nothing global may be left when the parent hears of it.
        parent.send(Said("done", result={**published, "leased": leased}))


def _publish(
    run: Run,
    publish: Callable[[Prepared, frozenset[int]], Any],
    prepared: Sequence[Prepared],
    parent: Connection,
    ranks: Sequence[Connection],
    most: int,
) -> Figures:
    """All of it, with at most so many payload bytes under way, unless one request has more."""
    waiting, sizes = deque(prepared), {p.request_id: payload_bytes(p.items) for p in prepared}
    unfinished: dict[str, set[int]] = {}
    """By request under way, the ranks that have not finished it."""
    while waiting or unfinished:
        messages = []
        while waiting and (not unfinished or sum(sizes[name] for name in [*unfinished, waiting[0].request_id]) <= most):
            request = waiting.popleft()
            run.current = [request.request_id]
            messages.append(publish(request, frozenset(range(len(ranks)))).message)
            unfinished[request.request_id] = set(range(len(ranks)))
        for message in messages:
            for rank in ranks:
                rank.send_bytes(message)
        parent.send(Said("at", f"published {len(prepared) - len(waiting)} of {len(prepared)} requests"))
        for connection in wait(ranks):
            assert isinstance(connection, Connection)
            rank_number, name = ranks.index(connection), connection.recv()
            if rank_number not in unfinished.get(name, ()):
                raise Stopped(f"rank {rank_number} finished {name!r}, which it was not given")
            unfinished[name].remove(rank_number)
            if not unfinished[name]:
                del unfinished[name]
    for rank in ranks:
        rank.close()
    return {"requests": len(prepared), "payload_bytes": sum(sizes.values())}


def read(job: Job, parent: Connection, number: int, worker: Connection) -> None:
    """A rank's process: until the worker closes its end."""
    with _telling(parent):
        run, transport = job.start()
        with run.stopping():
            subscriber = transport.subscriber(number)
            with contextlib.closing(subscriber):
                figures = dict.fromkeys(("pooled_payloads", "pooled_bytes", "message_payloads"), 0)
                worker.send("ready")
                parent.send(Said("at", "waits for messages"))
                for message in _messages(worker, run):
                    subscriber.beat()
                    if message is not None:
                        prepared = subscriber.receive(message)
                        for part in (part for item in prepared.items for part in parts_of(item.payload)):
                            if isinstance(part, Tensor):
                                figures["message_payloads"] += 1
                            else:
                                figures["pooled_payloads"] += 1
                                figures["pooled_bytes"] += part.meta.nbytes
                        run.admit(prepared, prepared.token_ids)
                        continue
                    for name in run.step():
                        parent.send(Said("at", f"finished {name}"))
                        worker.send(name)
            checksums = run.outcome().checksums()
        parent.send(Said("done", result={**figures, "checksums": checksums}))


def _messages(worker: Connection, run: Run) -> Iterator[bytes | None]:
    """What has arrived; None where there is a step to do first. Waits only where there is none."""
    while True:
        if run.queue and not worker.poll():
            yield None
            continue
        try:
            yield worker.recv_bytes()
        except EOFError:
            return


@contextlib.contextmanager
def _telling(parent: Connection) -> Iterator[None]:
    """Tells the parent how it ended, where it ended badly."""
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__ or error, EOFError | ConnectionError):
            parent.send(Said("alone"))
        else:
            told = str(error) if isinstance(error, Stopped) else f"{type(error).__name__}: {error}"
            parent.send(Said("failed", told))


# ---------------------------------------------------------------------------------------------------------- the parent


class Processes:
    """One worker and its ranks. Killed at the end, whatever happened."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.ends: dict[Connection, str] = {}
        """The parent's ends, of the processes that still run; ranks first, since a worker may fail because of them."""
        self.last: dict[str, str] = {}
        """What each process said last."""
        self._theirs: list[Connection] = []
        self.processes: dict[str, Any] = {}
        pairs = [context.Pipe() for _ in range(RANKS)]
        for number, (_, worker) in enumerate(pairs):
            self._add(f"rank {number}", context, read, job, number, worker)
        self._add("worker 0", context, work, job, [rank for rank, _ in pairs])
        self._theirs += [end for pair in pairs for end in pair]

    def _add(self, name: str, context: Any, target: Callable[..., None], job: Job, *rest: object) -> None:
        mine, theirs = context.Pipe()
        self.ends[mine] = name
        self.last[name] = "starts"
        self._theirs.append(theirs)
        self.processes[name] = context.Process(target=target, args=(job, theirs, *rest), daemon=True, name=name)

    def __enter__(self) -> Processes:
        for process in self.processes.values():
            process.start()
        for end in self._theirs:
            end.close()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.join(10)
        for end in self.ends:
            end.close()

    def results(self, progress: Callable[[str], None]) -> dict[str, Figures]:
        """Of each process, once all have ended. Raises Stopped, or PhotoError where one died or all fell silent."""
        found: dict[str, Figures] = {}
        told = time.monotonic()
        while self.ends:
            ready = wait(list(self.ends), SILENCE)
            if not ready:
                states = "; ".join(f"{name} {self.last[name]}" for name in self.ends.values())
                raise PhotoError(f"no word for {SILENCE:.0f} s; the last were: {states}", where="processes")
            for end in ready:
                assert isinstance(end, Connection)
                said = self._hear(end)
                if said.kind == "at":
                    continue
                self.processes[self.ends[end]].join(10)
                found[self.ends.pop(end)] = said.result
                end.close()
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                progress("; ".join(f"{name} {text}" for name, text in self.last.items()))
        if missing := [name for name, result in found.items() if not result]:
            raise PhotoError("lost the others, which ended as if all were done", where=", ".join(missing))
        return found

    def _hear(self, end: Connection) -> Said:
        """Raises Stopped: it failed. Raises PhotoError: it died."""
        name = self.ends[end]
        try:
            said: Said = end.recv()
        except (EOFError, OSError) as error:
            process = self.processes[name]
            process.join(10)
            code = process.exitcode
            how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            raise PhotoError(f"died ({how}) after it {self.last[name]}", where=name) from error
        if said.kind == "failed":
            raise Stopped(f"{name}: {said.text}")
        self.last[name] = said.text or "ended"
        return said


def run_in_processes(
    subject: Subject,
    requests: Sequence[Request],
    folder: Path,
    certificate: Certificate,
    expected: Mapping[str, str],
    progress: Callable[[str], None],
) -> tuple[Figures | None, list[str]]:
    """All requests through one worker and its ranks. Returns an entry of the report's "processes", and what is wrong.

    subject: every process finds it again by its spec. folder: has the tower's checkpoint; the requests are put there.
    expected: the checksum of each request's embeddings from a run in one process. The entry is None if a process failed.
    Raises PhotoError: a process died, or none said anything for ``SILENCE`` seconds.
    """
    began, name = time.monotonic(), subject.implementation.name
    progress(f"photos: {len(requests)} requests through {name} as 1 worker and {RANKS} ranks")
    torch.save(list(requests), folder / REQUESTS)
    total = sum(payload_bytes(request.items) for request in requests)
    domain = Domain(fresh_name(), workers=1, ranks=RANKS, pool_bytes=total // 4, lease_seconds=SILENCE)
    job = Job(subject.spec, subject.replaced, str(folder), certificate, domain)
    try:
        with Processes(job) as processes:
            found = processes.results(lambda line: progress(f"photos: {line}"))
        left = global_names(domain.name)
    except Stopped as stopped:
        return None, [str(stopped)]
    except PhotoError as error:
        where = f"{name}, {error.where}"
        raise PhotoError(error.what, where=where, hint=error.hint) from error
    finally:
        remove_global(domain.name)
    worker, ranks = found["worker 0"], [found[f"rank {number}"] for number in range(RANKS)]
    troubles = []
    for number, rank in enumerate(ranks):
        got = rank.pop("checksums")
        if other := [name for name in {**expected, **got} if expected.get(name) != got.get(name)]:
            troubles.append(f"rank {number}: other embeddings than in one process: {', '.join(other)}")
    identical = not troubles
    if worker["leased"]:
        troubles.append(f"worker 0: {worker['leased']} bytes are under leases after every rank finished every request")
    if left:
        troubles.append(f"left in shared memory: {', '.join(left)}")
    figures = {
        "implementation": name,
        "workers": 1,
        "ranks": RANKS,
        "requests": worker["requests"],
        "payload_bytes": worker["payload_bytes"],
        "pool_bytes": domain.pool_bytes,
        **ranks[0],
        "seconds": time.monotonic() - began,
        "identical": identical,
    }
    return figures, troubles


def applies(subject: Subject) -> bool:
    """Whether the subject has a transport to be held to."""
    return Capability.TRANSPORT in subject.implementation.capabilities and subject.implementation.transport is not None


def payload_bytes(items: Sequence[Item]) -> int:
    """Of all tensors."""
    return sum(part.nbytes for item in items for part in parts_of(item.payload) if isinstance(part, Tensor))
