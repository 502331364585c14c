"""Messages: what survives them, and what strange bytes may do."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import pickle
import random
import sys
import time
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from plumbline.interface import (
    BadMessage,
    CallerKey,
    Chunk,
    Extra,
    Failure,
    PayloadMissing,
    PlumblineError,
    Prepared,
    Rows,
    Trust,
)
from plumbline.parts import image, prepared_of, rig_of
from plumbline.requirements import ROOT
from plumbline.resolve import Subject
from plumbline.scenario import ItemRecipe, RequestRecipe, TowerRecipe
from plumbline.transport_faulty import spoiled
from plumbline.transport_fields import difference, metadata_tensors, parts_of
from plumbline.transport_host import Both, Received, transport_of
from plumbline.transport_scenario import DRESSES, WIDTH, WireItem, WireRequest
from plumbline.transport_scenario import prepared_of as wire_prepared

TEXTS = ("", "\u00e9", "ß", "\n", "\ufeff", "e\u0301", "a\0", " ")
"""One for each dress."""
REQUEST = WireRequest(tuple(WireItem(k, (4, 3) if k % 3 == 2 else (5,), dress=k) for k in range(DRESSES)))


@pytest.mark.requirement("MSG-001")
def test_messages_carry_a_version(subject: Subject) -> None:
    """What begins every message alike says which version it is: with any of its bytes changed, the message is refused."""
    with Both(subject.implementation, ranks=1) as both:
        short = WireRequest((WireItem(1, (2,), dress=2),))
        messages = [both.publish(REQUEST).message, both.publish(short, name="another").message]
        alike = next(k for k, (a, b) in enumerate(zip(*messages, strict=False)) if a != b)
        assert alike, "nothing is alike in two messages, so nothing says what they are"
        for message, request in zip(messages, (REQUEST, short), strict=True):
            assert Received(both.subscribers[0], message).reads(request)
            for at in range(alike):
                for other in set(range(256)) - {message[at]}:
                    said = refusal(both, message[:at] + bytes([other]) + message[at + 1 :])
                    assert "version" in said, (
                        f"byte {at} as {other} is not refused for its version: {said or 'received'}"
                    )


def refusal(both: Both, message: bytes) -> str:
    try:
        both.subscribers[0].receive(message)
    except BadMessage as error:
        return str(error)
    return ""


@pytest.mark.requirement("MSG-002")
@pytest.mark.requirement("MSG-009")
def test_strange_bytes_end_in_a_typed_error(subject: Subject, request: pytest.FixtureRequest) -> None:
    """Cut at every length, every byte changed, random bytes; and what was sent before is still read."""
    rng = random.Random(request.config.option.plumbline_seed)
    with Both(subject.implementation, ranks=1) as both:
        message = both.publish(REQUEST).message
        good = Received(both.subscribers[0], message)
        strange = [message[:k] for k in range(0, len(message), max(1, len(message) // 300))]
        strange += [rng.randbytes(rng.randint(0, 200)) for _ in range(300)]
        strange += [spoiled(message, rng.randrange(10**6)) for _ in range(1500)]
        for data in strange:
            try:
                got = both.subscribers[0].receive(data)
                for part in [p for i in got.items for p in parts_of(i.payload)]:
                    if not isinstance(part, torch.Tensor):
                        part.open(torch.device("cpu"))
            except PlumblineError:
                continue
            assert isinstance(got, Prepared)
        assert good.reads(REQUEST)
        assert Received(both.subscribers[0], message).reads(REQUEST)


@pytest.mark.requirement("MSG-003")
def test_claimed_lengths_allocate_nothing(subject: Subject) -> None:
    """Every window of eight bytes says that something is huge."""
    with Both(subject.implementation, ranks=1, pool=0) as both:
        message = both.publish(WireRequest((WireItem(1, (4, 2), dress=2), WireItem(2, (40,), dress=4)))).message
        huge = [
            bytes([0xFF] * 8),
            bytes([0x7F] + [0xFF] * 7),
            bytes([0xDD, 0xFF, 0xFF, 0xFF, 0xFF]),
            bytes([0xC6, 0x7F, 0xFF, 0xFF, 0xFF]),
        ]
        step = max(1, len(message) // 200)
        for at in range(0, len(message), step):
            for words in huge:
                data = message[:at] + words + message[at + len(words) :]
                tracemalloc.start()
                began = time.perf_counter()
                refusal_of_any_kind(both, data)
                seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert peak < 20 * len(data) + (1 << 20), f"{peak} bytes allocated for {len(data)}"
                assert seconds < 1


def refusal_of_any_kind(both: Both, data: bytes) -> None:
    with contextlib.suppress(PlumblineError):
        both.subscribers[0].receive(data)


class Bomb:
    """Unpickling it would call something."""

    went_off = False

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return explode, ()


def explode() -> None:
    Bomb.went_off = True


NAMED = (explode, print, os.getpid, OrderedDict, np.frombuffer, torch.tensor, Prepared)
"""Of the test's own module, Python's, and those that an unpickler with a list of names would allow."""


NAMES_CODE = {"pickle.find_class", "marshal.loads", "exec", "compile", "code.__new__", "function.__new__"}
heard: list[str] = []
listening = False
"""An audit hook stays for ever, so there is one, and it can be told not to listen."""


def hook(event: str, _: object) -> None:
    if listening and event in NAMES_CODE:
        heard.append(event)


sys.addaudithook(hook)


@pytest.mark.requirement("MSG-004")
def test_no_format_that_names_code(subject: Subject) -> None:
    """Pickles are refused, whatever they name; good messages are decoded without one, and nobody imports what could."""
    global listening
    with Both(subject.implementation, ranks=1) as both:
        message = both.publish(REQUEST).message
        Received(both.subscribers[0], message)
        bomb = pickle.dumps(Bomb())
        heard.clear()
        listening = True
        try:
            names = [pickle.dumps(one) for one in NAMED]
            for data in (message, *(bomb, message + bomb, message[: len(message) // 2] + bomb), *names):
                refusal_of_any_kind(both, data)
        finally:
            listening = False
        assert not heard
        assert not Bomb.went_off
    assert subject.implementation.transport
    package = sys.modules[subject.implementation.transport.__module__]
    for path in own_files(Path(str(package.__file__))):
        names = {n.split(".")[0] for n in imports(path)}
        assert not names & {"pickle", "marshal", "dill", "cloudpickle", "shelve"}, path


def own_files(entry: Path) -> list[Path]:
    return sorted(entry.parent.rglob("*.py")) if entry.parent not in (ROOT, ROOT / "mutants") else [entry]


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return found | {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


@pytest.mark.requirement("MSG-005")
@pytest.mark.requirement("MSG-006")
@pytest.mark.parametrize("pool", [0, 1 << 16])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8", "float64", "int16"])
def test_every_field_survives(subject: Subject, pool: int, dtype: str) -> None:
    with Both(subject.implementation, ranks=1, pool=pool) as both:
        for strides in ("contiguous", "columns", "gaps", "offset", "odd"):
            items = tuple(
                WireItem(k, (3, 0, 2) if k % 3 == 2 else (1 + k,), dtype, strides, k, width=1 + k, text=text, digest=k)
                for k, text in enumerate(TEXTS)
            )
            request = WireRequest((*items, WireItem(9, (0,), dtype)))
            got = Received(both.subscribers[0], both.publish(request).message)
            assert not difference(wire_prepared("q", request), got.prepared)
            assert {t.device.type for t in metadata_tensors(got.prepared)} == {"cpu"}
            assert got.reads(request)


@pytest.mark.requirement("MSG-005")
def test_numbers_and_texts_of_subclasses_arrive_as_plain_ones(subject: Subject) -> None:
    """What processors compute with numpy, and names that came out of an array."""

    def described(number: type[float], text: type[str], raw: type[bytes]) -> Prepared:
        sent = wire_prepared("q", WireRequest((WireItem(1, (2,)),)))
        extras = {text("fps"): Extra(number(0.1), True), "a": Extra(text("é"), True), "b": Extra(raw(b"x"), False)}
        given = (CallerKey(text("t"), text("k"), Trust.VERIFIED),)
        item = dataclasses.replace(sent.items[0], extras=extras, given=given)
        return dataclasses.replace(sent, request_id=text("q"), items=(item,))

    with Both(subject.implementation, ranks=1) as both:
        message = both.publishers[0].publish(described(np.float64, np.str_, np.bytes_), frozenset({0})).message
        assert not difference(described(float, str, bytes), both.subscribers[0].receive(message))


@pytest.mark.requirement("MSG-006")
@pytest.mark.parametrize("pool", [0, 1 << 16])
def test_payloads_that_begin_at_one_address_arrive_as_what_they_show(subject: Subject, pool: int) -> None:
    """Of one shape and dtype, and of one storage: rows, columns, every second row, the first row many times."""
    base = torch.arange(4 * WIDTH * WIDTH, dtype=torch.float32)
    strides = [(WIDTH, 1), (1, WIDTH), (2 * WIDTH, 1), (0, 1), (1, 1), (2 * WIDTH, 2)]
    views = [base.as_strided((WIDTH, WIDTH), stride) for stride in strides]
    request = WireRequest(tuple(WireItem(k, (WIDTH,)) for k in range(len(views))))
    with Both(subject.implementation, ranks=1, pool=pool) as both:
        sent = wire_prepared("q", request, views)
        got = Received(both.subscribers[0], both.publishers[0].publish(sent, frozenset({0})).message)
        assert all(torch.equal(seen, view) for seen, view in zip(got.open(), views, strict=True))


@pytest.mark.requirement("MSG-005")
@pytest.mark.parametrize("tower", [TowerRecipe(), TowerRecipe(image="tiles", side_levels=1), TowerRecipe(merge=2)])
def test_prepared_requests_survive(subject: Subject, tower: TowerRecipe) -> None:
    """What this implementation's own prepare makes, for its own tower."""
    rig = rig_of(subject.implementation, tower)
    side = 2 * tower.merge
    grid = None if tower.image == "tiles" else (1, side, side)
    items = (
        ItemRecipe(grid=grid, parts=(side * side,)),
        ItemRecipe("video", grid=(2, side, side), parts=(2 * side * side,)),
    )
    prepared = prepared_of(rig, RequestRecipe(items=items, gaps=(1, 0)), tower)
    transport = transport_of(subject.implementation, rig.runtime.domain, rig.runtime.spec)
    publisher, subscriber = transport.publisher(0), transport.subscriber(0)
    got = subscriber.receive(publisher.publish(prepared, frozenset({0})).message)
    assert not difference(prepared, got)
    publisher.close()
    subscriber.close()


@pytest.mark.requirement("MSG-007")
def test_rows_that_are_no_longer_held_fail_that_request_alone(subject: Subject) -> None:
    rig = rig_of(subject.implementation)
    transport = transport_of(subject.implementation, rig.runtime.domain, rig.runtime.spec)
    publisher, subscriber = transport.publisher(0), transport.subscriber(0)
    for name, seed, held in (("left out", 1, True), ("whole", 2, False)):
        prepared = prepared_of(rig, RequestRecipe(name, (image(seed),)))
        away = frozenset(prepared.identities) if held else frozenset()
        rig.embed.admit(subscriber.receive(publisher.publish(prepared, frozenset({0}), away).message))
    tokens = len(prepared.token_ids)
    missing, whole = rig.embed.step([Chunk("left out", 0, tokens), Chunk("whole", 0, tokens)]).results
    assert isinstance(missing, Failure)
    assert isinstance(missing.error, PayloadMissing)
    assert isinstance(whole, Rows)
    publisher.close()
    subscriber.close()


@pytest.mark.requirement("MSG-008")
def test_held_payloads_stay_away(subject: Subject) -> None:
    big, small = WireItem(1, (600,), dress=0), WireItem(2, (2,))
    with Both(subject.implementation, ranks=1) as both:
        whole = both.publish(WireRequest((big, small)))
        length, leased = len(whole.message), both.publishers[0].leased
        whole.cancel()
        both.publishers[0].collect()
        request = WireRequest((dataclasses.replace(big, held=True), small))
        ticket = both.publish(request)
        size = 600 * 64
        assert len(ticket.message) + both.publishers[0].leased <= length + leased - size
        got = Received(both.subscribers[0], ticket.message)
        assert got.prepared.items[0].payload is None
        assert got.reads(request)


@pytest.mark.requirement("MSG-009")
@pytest.mark.requirement("POOL-017")
def test_a_message_may_come_twice(subject: Subject) -> None:
    with Both(subject.implementation, ranks=2) as both:
        message = both.publish(REQUEST).message
        twice = [Received(both.subscribers[0], message) for _ in range(2)]
        other = Received(both.subscribers[1], message)
        assert all(t.reads(REQUEST) for t in twice)
        for t in (*twice, *twice):
            t.release()
        both.publishers[0].collect()
        both.publish(WireRequest((WireItem(7, (500,)),)), name="next")
        assert other.reads(REQUEST)
