"""What a pool is as a whole: its budget, its names, and what travels when it has no room or cannot be made."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from plumbline.interface import Extra
from plumbline.resolve import Subject
from plumbline.transport_fields import difference
from plumbline.transport_host import SHARED_MEMORY, Both, Received, fresh_name, global_names, listening, mappings
from plumbline.transport_scenario import WireItem, WireRequest, metas_of, prepared_of

CONTROL_BYTES = 1 << 20
"""More than any control words need."""


@pytest.mark.requirement("POOL-008")
@pytest.mark.parametrize("workers", [1, 3])
def test_all_pools_stay_within_the_budget(subject: Subject, workers: int) -> None:
    pool = 1 << 16
    with Both(subject.implementation, workers=workers, ranks=1, pool=pool) as both:
        for k in range(200):
            request = WireRequest((WireItem(k, (1 + 7 * k % 40,)),))
            both.publish(request, worker=k % workers, name=f"q{k}")
            if k % 5 == 0:
                both.publishers[k % workers].reserve(metas_of(request), frozenset({0}))
            leased = [p.leased for p in both.publishers]
            assert sum(leased) <= pool, leased
        held = sum((SHARED_MEMORY / n).stat().st_size for n in global_names(both.domain.name))
        assert held <= pool + CONTROL_BYTES


@pytest.mark.requirement("POOL-009")
@pytest.mark.parametrize("pool", [0, 4096, 1 << 20])
def test_what_does_not_fit_arrives_all_the_same(subject: Subject, pool: int) -> None:
    """The same requests with no pool, one that is soon full, and one that takes all: nobody can tell what arrives apart."""
    with Both(subject.implementation, ranks=1, pool=pool) as both:
        for k in range(30):
            items = (WireItem(k, (1 + 5 * k % 70, 2), "bfloat16", "gaps", 2), WireItem(k + 40, (9,), dress=k))
            request = WireRequest(items)
            got = Received(both.subscribers[0], both.publish(request, name=f"q{k}").message)
            assert not difference(prepared_of(f"q{k}", request), got.prepared)
            for part in got.parts:
                device = part.device if isinstance(part, torch.Tensor) else part.meta.device
                assert device.type == "cpu"
            assert got.reads(request)


@pytest.mark.requirement("POOL-001", "MSG-005")
@pytest.mark.parametrize("pool", [0, 1 << 21])
@pytest.mark.parametrize("rows", [2**16 - 1, 2**16, 2**16 + 1, 2**17 + 12_345, 2**20 + 1])
def test_payloads_of_many_bytes(subject: Subject, rows: int, pool: int) -> None:
    """All of them, also those behind the last whole block of whatever size."""
    with Both(subject.implementation, ranks=1, pool=pool) as both:
        for width, dtype in [(1, "uint8"), (1, "bfloat16")]:
            request = WireRequest((WireItem(1, (rows // (1 if dtype == "uint8" else 2),), dtype, width=width),))
            got = Received(both.subscribers[0], both.publish(request, name=dtype).message)
            assert got.reads(request)
            got.release()


@pytest.mark.requirement("POOL-010")
def test_a_full_disk_leads_to_the_fallback(subject: Subject) -> None:
    """A pool that no machine has room for: everything still arrives, and nothing is left behind."""
    request = WireRequest((WireItem(1, (40,)),))
    with listening() as said, Both(subject.implementation, pool=1 << 50) as both:
        for k in range(3):
            message = both.publish(request, name=f"q{k}").message
            for s in both.subscribers:
                s.beat()
                got = Received(s, message)
                assert got.reads(request)
                got.release()
        both.close()
        assert not global_names(both.domain.name)
    assert len(said) <= 1, said


@pytest.mark.requirement("POOL-012")
@pytest.mark.parametrize("first", [0, 1])
def test_two_engines_on_one_host(subject: Subject, first: int) -> None:
    """Same workers, same ranks, one name a prefix of the other's, whichever starts first: each reads its own, and starts and
    ends without harming the other."""
    name = fresh_name()
    names = [name, f"{name}-0"]
    with (
        Both(subject.implementation, pool=1 << 14, name=names[first]) as early,
        Both(subject.implementation, pool=1 << 14, name=names[1 - first]) as late_one,
    ):
        one, other = (early, late_one) if first == 0 else (late_one, early)
        requests = [WireRequest((WireItem(k, (50,)),)) for k in range(2)]
        messages = [b.publish(r).message for b, r in zip((one, other), requests, strict=True)]
        got = [Received(b.subscribers[0], m) for b, m in zip((one, other), messages, strict=True)]
        assert all(g.reads(r) for g, r in zip(got, requests, strict=True))
        one.subscribers[1].lost(0)
        one.publishers[0].lost(0)
        one.close()
        for s in other.subscribers:
            s.beat()
        late = Received(other.subscribers[1], messages[1])
        assert late.reads(requests[1])
        assert got[1].reads(requests[1])


@pytest.mark.requirement("MSG-010")
@pytest.mark.parametrize("strides", ["columns", "gaps", "offset"])
@pytest.mark.parametrize("pool", [0, 1 << 16])
def test_what_lies_beside_a_payload_stays_where_it_is(subject: Subject, strides: str, pool: int) -> None:
    """Memory that its storage holds as well is neither in the message nor in what processes share; nor beside an extra."""
    secret = b"somebody else's image"
    with Both(subject.implementation, ranks=1, pool=pool) as both:
        item = WireItem(1, (40,), "uint8", strides)
        prepared = prepared_of("q", WireRequest((item,)))
        payload = beside(prepared.items[0].payload, secret)
        whole = Extra(torch.tensor(list(secret), dtype=torch.uint8)[:1], affects_rows=True)
        items = (dataclasses.replace(prepared.items[0], payload=payload, extras={"of a whole": whole}),)
        message = both.publishers[0].publish(dataclasses.replace(prepared, items=items), frozenset({0})).message
        for name in global_names(both.domain.name):
            assert secret not in (SHARED_MEMORY / name).read_bytes()
        assert secret not in message
        seen = Received(both.subscribers[0], message).open()[0]
        assert torch.equal(seen, payload)


def beside(payload: object, secret: bytes) -> torch.Tensor:
    """The payload as a view of a storage that has the secret before and after it."""
    assert isinstance(payload, torch.Tensor)
    margin = torch.tensor(list(secret), dtype=torch.uint8)
    storage = torch.tensor([], dtype=torch.uint8).set_(payload.untyped_storage())
    widened = torch.cat([margin, storage, margin])
    return widened.as_strided(payload.shape, payload.stride(), len(margin) + payload.storage_offset())


@pytest.mark.requirement("POOL-012")
def test_everything_global_bears_the_name(subject: Subject) -> None:
    """What this process maps of shared memory while a transport is in use, and did not map before."""
    before = mapped()
    with Both(subject.implementation, pool=1 << 16) as both:
        request = WireRequest((WireItem(1, (40,)),))
        Received(both.subscribers[0], both.publish(request).message).open()
        new = mapped() - before
        assert all(both.domain.name in path for path in new), new


def mapped() -> set[str]:
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc")
    links = {os.readlink(p) for p in Path("/proc/self/fd").iterdir() if p.is_symlink() and os.path.lexists(p)}
    return {path for path in {path for _, path in mappings()} | links if path.startswith(str(SHARED_MEMORY))}
