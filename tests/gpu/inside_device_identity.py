"""BLAKE3 on a GPU against the package ``blake3``, and identities of items there against those of the same on the host."""

from __future__ import annotations

import dataclasses
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
import torch
from blake3 import blake3
from torch import Tensor

import optimized
from optimized import blake3_triton
from optimized.blake3_triton import ALIGNED, FAN, KEPT, LANES, digests, idle
from optimized.identify import Identifier, raw_bytes
from plumbline.bench import Verdicts
from plumbline.cuda import CudaPort
from plumbline.device_identities import judge_identities, moved
from plumbline.drawing import draw_cases
from plumbline.exact import exact_spec
from plumbline.interface import BadPayload, Budgets, CallerKey, Identity, Item, Modality, Runtime, Source, Trust
from plumbline.parts import image, item_of
from plumbline.scenario import ItemRecipe, Scenario, TowerRecipe
from plumbline.strategies import scenarios

MIB = 1 << 20
CHUNK = 1024
LENGTHS, CASES = 4000, 300
DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float8_e4m3fn, torch.bfloat16),
    *(torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128),
]


@pytest.fixture(scope="module")
def cuda(gpus: list[str]) -> torch.device:
    return torch.device(gpus[0])


@pytest.fixture
def drawn(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.config.option.plumbline_seed)


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Tensor:
    """uint8 [68 MiB]"""
    generator = np.random.default_rng(request.config.option.plumbline_seed)
    return torch.from_numpy(generator.integers(0, 256, 68 * MIB, dtype=np.uint8))


@pytest.fixture(scope="module")
def there(host: Tensor, cuda: torch.device) -> Tensor:
    return host.to(cuda)


@pytest.fixture(scope="module")
def identify(cuda: torch.device) -> Identifier:
    return Identifier(Runtime(exact_spec(TowerRecipe()), CudaPort(cuda.index), Budgets(0, 0, 0)))


def hashed(tensor: Tensor) -> bytes:
    """Of a tensor on the host."""
    data = raw_bytes(tensor).data
    return blake3(data, max_threads=8 if data.nbytes > MIB else 1).digest()


def length(drawn: random.Random) -> int:
    """Up to 1 MiB, as many of each order of magnitude; now and then a whole number of chunks, or almost."""
    found = int(2 ** drawn.uniform(0, 20)) - 1
    return found if drawn.random() < 0.7 else max(found // CHUNK * CHUNK + drawn.choice([-1, 0, 1]), 0)


def test_random_lengths_in_batches(there: Tensor, host: Tensor, drawn: random.Random) -> None:
    """Slices, many of which begin where the kernel cannot read them."""
    done = 0
    while done < LENGTHS:
        count = int(2 ** drawn.uniform(0, 10))
        places = [(drawn.randrange(MIB) * drawn.choice([1, ALIGNED, ALIGNED]), length(drawn)) for _ in range(count)]
        found = digests([there[at : at + size] for at, size in places])
        assert found == [hashed(host[at : at + size]) for at, size in places], places
        done += count


@pytest.mark.parametrize("chunks", [0, 1, 2, LANES, FAN, 2 * FAN, 3 * FAN + LANES, FAN * LANES, FAN * FAN])
def test_edges(there: Tensor, host: Tensor, chunks: int) -> None:
    """Of blocks and chunks, where programs and groups of all levels end."""
    beyond = (-CHUNK - 1, -CHUNK, -65, -64, -63, -17, -16, -1, 0, 1, 3, 4, 16, 63, 64, 65, CHUNK, CHUNK + 1)
    sizes = [size for size in (chunks * CHUNK + more for more in beyond) if size >= 0]
    wanted = [hashed(host[:size]) for size in sizes]
    assert digests([there[:size] for size in sizes]) == wanted
    assert [digests([there[:size]])[0] for size in sizes] == wanted


def values(host: Tensor, dtype: torch.dtype) -> Tensor:
    """[24,000] of any bits; complex numbers without NaN, since what a device makes of its sign is not defined."""
    if dtype.is_complex:
        return (host[:24_000].float() * (1 - 2j)).to(dtype)
    return host[:24_000] > 99 if dtype == torch.bool else host[: 24_000 * dtype.itemsize].view(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes_and_layouts(host: Tensor, cuda: torch.device, dtype: torch.dtype) -> None:
    plain = values(host, dtype)
    views = [
        lambda t: t,
        lambda t: t[1:],
        lambda t: t[5:6],
        lambda t: t[:0],
        lambda t: t[0],
        lambda t: t[::3],
        lambda t: t.view(200, 120).t(),
        lambda t: t.view(200, 120)[:, 7:60],
        lambda t: t.view(20, 10, 120).transpose(0, 1)[2:],
        lambda t: t[:50].expand(3, 50),
        lambda t: t.as_strided((1, 40), (99, 1)),
        lambda t: t.as_strided((4, 1, 3), (3, 77, 1), 2),
        lambda t: t.view(30, 800)[:, 3:3],
    ]
    if dtype.is_complex:
        views += [lambda t: t.conj(), lambda t: t.conj().imag, lambda t: t.conj()[2:9]]
    there = plain.to(cuda)
    assert digests([view(there) for view in views]) == [hashed(view(plain)) for view in views]


def test_tensors_are_left_as_they_are(there: Tensor, host: Tensor) -> None:
    digests([there, there[3:1000], there.view(-1, 1024).t()])
    assert torch.equal(there.cpu(), host)


def test_five_gibibytes(cuda: torch.device) -> None:
    """Past the offsets and the counts that 32 bits have room for. Its workspace goes when it is done."""
    try:
        large = torch.empty((5 << 30) + 3, dtype=torch.uint8, device=cuda).random_()
        copy = large.cpu()
        assert digests([large, large[(4 << 30) + 16 :], large[:77]]) == [
            hashed(copy),
            hashed(copy[(4 << 30) + 16 :]),
            hashed(copy[:77]),
        ]
        assert all(len(workspace.counters) <= KEPT for workspace in idle[cuda])
    finally:
        torch.cuda.empty_cache()


def test_threads_with_streams_of_their_own(host: Tensor, cuda: torch.device) -> None:
    """Each digest is of what its own stream wrote before, and its workspace may come from another stream."""
    sizes = (5, 70_000, 3 * MIB + 1)
    wanted = {(at, size): hashed(host[at : at + size]) for at, size in product(range(40), sizes)}
    pinned = host[: 4 * MIB].pin_memory()

    def work(thread: int) -> list[tuple[int, int]]:
        streams = [torch.cuda.Stream(cuda) for _ in range(2)]
        place = torch.zeros(4 * MIB, dtype=torch.uint8, device=cuda)
        torch.cuda.current_stream(cuda).synchronize()
        wrong = []
        for at in range(40):
            with torch.cuda.stream(streams[at % 2]):
                torch.cuda._sleep(100_000)
                for size in sizes:
                    place[:size].copy_(pinned[at : at + size], non_blocking=True)
                    if digests([place[:size]]) != [wanted[at, size]]:
                        wrong.append((at, size))
        return wrong

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [[]] * 4
    torch.cuda.synchronize()
    assert not any(workspace.counters.any() for workspace in idle[cuda])


def test_the_current_stream_alone_is_waited_for(there: Tensor, host: Tensor, cuda: torch.device) -> None:
    wanted = hashed(host[:MIB])
    digests([there[:MIB]])
    other = torch.cuda.Stream(cuda)
    with torch.cuda.stream(other):
        torch.cuda._sleep(1_000_000_000)  # half a second
    assert digests([there[:MIB]]) == [wanted]
    assert not other.query()
    other.synchronize()


def test_another_device_than_the_current_one(second: str, host: Tensor) -> None:
    away = host[: 3 * MIB].to(second)
    assert digests([away, away[5:]]) == [hashed(host[: 3 * MIB]), hashed(host[5 : 3 * MIB])]
    assert torch.cuda.current_device() == 0


@pytest.mark.requirement("IDENT-014")
def test_generated_items(cuda: torch.device, request: pytest.FixtureRequest) -> None:
    port, verdicts = CudaPort(cuda.index), Verdicts()

    def one(scenario: Scenario) -> None:
        found = judge_identities(scenario, optimized.implementation, port)
        verdicts.judged.update(found.judged)
        verdicts.violations.extend(found.violations)

    claims = optimized.implementation.capabilities
    draw_cases(scenarios(claims), one, CASES, request.config.option.plumbline_seed)
    assert not verdicts.violations, verdicts.violations[0].message
    assert verdicts.judged["IDENT-014"] > CASES


def large(*parts: object, given: tuple[CallerKey, ...] = ()) -> Item:
    payload = parts[0] if len(parts) == 1 else parts
    return Item(Modality.IMAGE, Source.PIXELS, payload, (), torch.tensor([[1, 1, 8]]), given=given)  # type: ignore[arg-type]


@pytest.mark.requirement("IDENT-014")
def test_one_launch_for_all_items_of_a_call(
    identify: Identifier, host: Tensor, cuda: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payloads of both places in one item, of one place in another, in none; keys of both kinds; an item in error."""
    batches: list[int] = []

    def counted(tensors: Sequence[Tensor]) -> list[bytes]:
        batches.append(len(tensors))
        return digests(tensors)

    monkeypatch.setattr(blake3_triton, "digests", counted)
    whole = host[: 36 * MIB].view(torch.float32).view(-1, 1536)
    mixed = (whole[:5], whole[7:9].to(cuda), whole[:0].to(cuda), whole[3])
    trusted, verified = CallerKey("t", "k", Trust.TRUSTED), CallerKey("t", "k", Trust.VERIFIED)
    broken = large(whole[:4].to(cuda).to_sparse())
    there = [
        large(whole.to(cuda)),
        large(*mixed),
        large(whole[:6]),
        large(whole[:4].to(cuda), given=(trusted,)),
        large(whole[:4].to(cuda), given=(verified,)),
        broken,
        large(whole.to(cuda).t()),
    ]
    here = [dataclasses.replace(item, payload=on_host(item)) for item in there]
    found, wanted = identify(there), identify(here)
    assert isinstance(found[5], BadPayload)
    assert [one for one in found if isinstance(one, Identity)] == [one for one in wanted if isinstance(one, Identity)]
    assert len([one for one in found if isinstance(one, Identity)]) == 6
    assert batches == [5]


def on_host(item: Item) -> object:
    parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
    there = tuple(part.cpu() for part in parts if isinstance(part, Tensor))
    return there if isinstance(item.payload, tuple) else there[0]


@pytest.mark.requirement("IDENT-014")
def test_items_on_several_devices(identify: Identifier, second: str, host: Tensor) -> None:
    parts = host[:MIB], host[MIB : 3 * MIB]
    assert identify([large(parts[0].to(second), parts[1].to("cuda:0"), parts[0])]) == identify(
        [large(parts[0], parts[1], parts[0])]
    )


@pytest.mark.requirement("IDENT-014")
def test_without_triton(identify: Identifier, cuda: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = [image(1), image(2, 3, strides="gaps"), image(3, strides="columns")]
    tiles = item_of(ItemRecipe(grid=None, parts=(0, 3, 1)), TowerRecipe(image="tiles"))
    items = [*map(item_of, recipes), tiles]
    monkeypatch.setitem(sys.modules, "optimized.blake3_triton", None)
    assert identify([moved(item, cuda) for item in items]) == identify(items)
