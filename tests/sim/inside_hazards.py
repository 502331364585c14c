"""Known bugs of timing, small: each is seen on every one of these schedules where work is late, and its mended twin never."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from optimized.staging import Download
from plumbline.sim import AT_ONCE, LATEST, Machine, SimPort

DRAWN = range(1, 21)
ROUNDS = 6
Program = Callable[[Machine, bool], bool]
"""Runs mended or broken, and says whether all values came out right."""


def content(k: int) -> Tensor:
    return torch.arange(8, dtype=torch.float32) + 10 * k


def floats(pinned: Tensor) -> Tensor:
    return pinned.view(torch.float32)


def dropped_buffer(machine: Machine, broken: bool) -> bool:
    """B039: the buffer of a non-blocking copy is gone before the copy."""
    port, kept = SimPort(), []
    there = []
    for k in range(ROUNDS):
        buffer = port.pinned(32)
        floats(buffer).copy_(content(k))
        there.append(port.move(floats(buffer)))
        kept.append(None if broken else buffer)
    del buffer
    return all(torch.equal(t.cpu(), content(k)) for k, t in enumerate(there))


def one_buffer(machine: Machine, broken: bool) -> bool:
    """B066: one staging buffer, written again without a look at the event."""
    port, there = SimPort(), []
    buffer, copied = floats(port.pinned(32)), torch.get_device_module("sim").Event()
    for k in range(ROUNDS):
        if not broken:
            copied.synchronize()
        buffer.copy_(content(k))
        there.append(port.move(buffer))
        copied.record()
    return all(torch.equal(t.cpu(), content(k)) for k, t in enumerate(there))


def read_early(machine: Machine, broken: bool) -> bool:
    """B068: the host reads a download before its event."""
    downloads = [Download(SimPort(), content(k).to("sim:0", non_blocking=True) + 1) for k in range(ROUNDS)]
    read = [(d._values if broken else d.read()).clone() for d in downloads]
    return all(torch.equal(value, content(k) + 1) for k, value in enumerate(read))


def hand_over(publish_early: bool, acknowledge_early: bool) -> Program:
    """A producer's kernels on one stream, a consumer's copies on another, slots that the producer uses again."""

    def program(machine: Machine, broken: bool) -> bool:
        port, module = SimPort(), torch.get_device_module("sim")
        producing, consuming = module.Stream("sim:0"), module.Stream("sim:0")
        free: list[tuple[Tensor, Tensor]] = []
        used: list[tuple[Tensor, Tensor, int]] = []
        got: list[Tensor] = []
        ready = torch.zeros(ROUNDS + 1, dtype=torch.int64)
        for k in range(1, ROUNDS + 1):
            free += [(slot, word) for slot, word, generation in used if int(word) == generation]
            used = [entry for entry in used if int(entry[1]) != entry[2]]
            slot, word = free.pop() if free else (floats(port.pinned(32)), torch.zeros(1, dtype=torch.int64))
            used.append((slot, word, k))
            with module.stream(producing):
                slot.copy_(content(k).to("sim:0", non_blocking=True) * 2, non_blocking=True)
                if broken and publish_early:
                    ready[k] = k
                else:
                    port.write(ready[k : k + 1], k)
            with module.stream(consuming):
                port.wait(ready[k : k + 1], k)
                got.append(port.move(slot))
                if broken and acknowledge_early:
                    word.fill_(k)
                else:
                    port.write(word, k)
        consuming.synchronize()
        return all(torch.equal(t.raw, content(k) * 2) for k, t in enumerate(got, 1))

    return program


def unwritten_padding(machine: Machine, broken: bool) -> bool:
    """B074: padding that no row attends to, and that makes all of them NaN because zero times NaN is NaN."""
    rows, room = content(1).view(4, 2).to("sim:0", non_blocking=True), 8
    padded = torch.empty(room, 2, device="sim:0") if broken else torch.zeros(room, 2, device="sim:0")
    padded[:4].copy_(rows)
    weights = torch.zeros(room, room)
    weights[:4, :4] = 0.25
    mixed = (weights.to("sim:0", non_blocking=True) @ padded)[:4]
    return torch.equal(mixed.cpu(), weights[:4, :4] @ content(1).view(4, 2))


PROGRAMS: dict[str, Program] = {
    "B039 dropped buffer": dropped_buffer,
    "B047 published before the producer's work": hand_over(publish_early=True, acknowledge_early=False),
    "B048 acknowledged before the copy": hand_over(publish_early=False, acknowledge_early=True),
    "B066 one staging buffer": one_buffer,
    "B068 read before the copy": read_early,
    "B074 unwritten padding": unwritten_padding,
}


def clean(program: Program, seed: int, broken: bool) -> bool:
    with Machine(seed) as machine:
        right = program(machine, broken)
        return right and not machine.ledger.hazards


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_latest_schedule_sees_it_every_time(name: str) -> None:
    assert not clean(PROGRAMS[name], LATEST, broken=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_most_drawn_schedules_see_it_too(name: str) -> None:
    seen = sum(not clean(PROGRAMS[name], seed, broken=True) for seed in DRAWN)
    print(f"{name}: {seen} of {len(DRAWN)} drawn schedules")
    assert seen > len(DRAWN) // 2


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("seed", [LATEST, AT_ONCE, *DRAWN])
def test_mended_it_is_silent(name: str, seed: int) -> None:
    assert clean(PROGRAMS[name], seed, broken=False)
