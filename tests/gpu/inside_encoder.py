"""Towers of real sizes and the driver around them, on a GPU: bits, waits, bytes and memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from optimized import implementation
from plumbline.certify import Certificate, certify, same_bits
from plumbline.cuda.ledger import recording
from plumbline.cuda.port import CudaPort
from plumbline.interface import (
    Budgets,
    Checkpoint,
    Chunk,
    Embed,
    Encoded,
    Encoder,
    EncodingFailed,
    Item,
    LoadedTower,
    Modality,
    Prepared,
    Request,
    Rows,
    Runtime,
    Source,
)
from plumbline.real_sizes import SIZES, Grid
from plumbline.small_tower import checkpoint

IMAGE, VIDEO, VOCABULARY = 1000, 1001, 1002
BATCHES = 500
WORKLOADS = 60
DEVICE = torch.device("cuda", 0)
WEIGHTS = "model.safetensors"


@dataclass(eq=False)
class Loaded:
    """A tower, and the rows of items alone: each is computed once, in a call of its own."""

    folder: Path
    tower: LoadedTower
    certificate: Certificate
    items: list[Item]
    alone: list[Encoded]

    def runtime(self, patches_per_call: int, cache_bytes: int = 0) -> Runtime:
        return Runtime(self.tower.spec, PORT, Budgets(cache_bytes, patches_per_call, 1 << 20))

    def encoder(self, patches_per_call: int) -> Encoder:
        assert implementation.encoder
        return implementation.encoder(self.runtime(patches_per_call), self.tower)

    def embed(self, patches_per_call: int, cache_bytes: int = 0) -> Embed:
        assert implementation.embed
        assert implementation.cache
        runtime = self.runtime(patches_per_call, cache_bytes)
        return implementation.embed(runtime, self.encoder(patches_per_call), implementation.cache(runtime))


PORT = CudaPort(0)


def grids(draw: random.Random, count: int) -> Iterator[tuple[Modality, Grid]]:
    """Of all sizes from 4 to some 8,000 patches, flat and tall ones, and videos."""
    for _ in range(count):
        area = 2 ** draw.uniform(2, 13)
        ratio = 2 ** draw.uniform(-2, 2)
        height = max(1, round((area * ratio) ** 0.5 / 2))
        width = max(1, round((area / ratio) ** 0.5 / 2))
        if draw.random() < 0.15 and area < 1000:
            yield Modality.VIDEO, (draw.randint(2, 4), 2 * height, 2 * width)
        else:
            yield Modality.IMAGE, (1, 2 * height, 2 * width)


def item(tower: LoadedTower, modality: Modality, grid: Grid, number: int, device: torch.device = DEVICE) -> Item:
    layout = tower.spec.layouts[modality]
    count = grid[0] * grid[1] * grid[2]
    draw = torch.Generator().manual_seed(number)
    patches = torch.randn((count, *layout.patch_shape), generator=draw).to(torch.bfloat16).to(device)
    rows = (count // grid[0] if layout.pools_frames else count) // layout.merge**2
    return Item(modality, Source.PIXELS, patches, ((0, rows),), torch.tensor([grid]))


@pytest.fixture(scope="module", params=SIZES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    with DEVICE:
        folder = checkpoint(tmp_path_factory.mktemp("tower"), family=request.param, **SIZES[request.param])
    assert implementation.tower
    tower = implementation.tower(Checkpoint(folder, torch.bfloat16, IMAGE, VIDEO, IMAGE), PORT)
    certificate = certify(tower)
    certificate.check(tower)
    draw = random.Random(request.config.option.plumbline_seed)
    items = [item(tower, *made, number) for number, made in enumerate(grids(draw, 120))]
    found = Loaded(folder, tower, certificate, items, [])
    encoder = found.encoder(1)
    for one in items:
        (encoded,) = encoder.encode([one])
        assert isinstance(encoded, Encoded), encoded
        found.alone.append(Encoded(encoded.rows.clone(), tuple(level.clone() for level in encoded.side)))
    return found


def levels(encoded: Encoded | Rows) -> tuple[Tensor, ...]:
    return (encoded.rows, *encoded.side)


@pytest.mark.requirement("NUM-001", "ENC-001", "GRAPH-005")
def test_batches_have_the_bits_of_each_image_alone(loaded: Loaded, request: pytest.FixtureRequest) -> None:
    draw = random.Random(request.config.option.plumbline_seed + 1)
    compared = 0
    for number in range(BATCHES):
        encoder = loaded.encoder(draw.choice([1, 500, 4096, 1 << 16]))
        picked = draw.choices(range(len(loaded.items)), k=draw.randint(1, 24))
        for index, found in zip(picked, encoder.encode([loaded.items[index] for index in picked]), strict=True):
            assert isinstance(found, Encoded), found
            where = f"batch {number} of {len(picked)}, item {index}: {loaded.items[index].grid_thw}"
            assert all(same_bits(a, b) for a, b in zip(levels(found), levels(loaded.alone[index]), strict=True)), where
            compared += len(found.rows)
    print(f"{compared} rows compared")


def prepared(loaded: Loaded, name: str, indexes: list[int]) -> Prepared:
    """A prompt of these items, each after one token of text."""
    tokens: list[int] = []
    items = []
    for index in indexes:
        one = loaded.items[index]
        lo = len(tokens) + 1
        hi = lo + one.spans[0][1]
        tokens += [0, *[IMAGE if one.modality is Modality.IMAGE else VIDEO] * (hi - lo)]
        items.append(Item(one.modality, one.source, one.payload, ((lo, hi),), one.grid_thw))
    assert implementation.prepare
    assert implementation.identify
    runtime = loaded.runtime(1)
    request = Request(name, torch.tensor(tokens), tuple(items))
    (found,) = implementation.prepare(runtime, implementation.identify(runtime))([request])
    assert isinstance(found, Prepared), found
    return found


@pytest.mark.requirement("CHUNK-001", "NUM-001")
def test_chunks_of_any_schedule_have_the_bits_of_each_image_alone(
    loaded: Loaded, request: pytest.FixtureRequest
) -> None:
    draw = random.Random(request.config.option.plumbline_seed + 2)
    for number in range(WORKLOADS):
        embed = loaded.embed(draw.choice([500, 1 << 15]), draw.choice([0, 10**7, 10**9]))
        picked = {f"r{k}": draw.choices(range(len(loaded.items)), k=draw.randint(1, 4)) for k in range(4)}
        requests = {name: prepared(loaded, name, indexes) for name, indexes in picked.items()}
        at = dict.fromkeys(requests, 0)
        for one in requests.values():
            embed.admit(one)
        while at:
            ends = {
                name: min(at[name] + int(2 ** draw.uniform(3, 12)), len(requests[name].token_ids)) for name in list(at)
            }
            step = embed.step([Chunk(name, at[name], ends[name]) for name in at])
            for found in step.results:
                assert isinstance(found, Rows), found
                wanted = window(loaded, requests[found.request_id], picked[found.request_id], found.lo, found.hi)
                pairs = zip(levels(found), wanted, strict=True)
                assert all(same_bits(a, b) for a, b in pairs), f"workload {number}, {found.request_id}"
            assert not step.settle()
            at = {name: end for name, end in ends.items() if end < len(requests[name].token_ids)}
        for name in requests:
            embed.finish(name)


def window(loaded: Loaded, request: Prepared, indexes: list[int], lo: int, hi: int) -> list[Tensor]:
    """The rows between two positions, level by level, out of those of each item alone."""
    pieces: list[list[Tensor]] = [[level[:0]] for level in levels(loaded.alone[0])]
    for index, one in zip(indexes, request.items, strict=True):
        ((start, end),) = one.spans
        first, last = max(lo, start) - start, min(hi, end) - start
        if first < last:
            for piece, level in zip(pieces, levels(loaded.alone[index]), strict=True):
                piece.append(level[first:last])
    return [torch.cat(piece) for piece in pieces]


@pytest.mark.requirement("MOVE-008")
@pytest.mark.parametrize("on_host", [False, True], ids=["payloads on the device", "payloads on the host"])
@pytest.mark.parametrize("patches_per_call", [1 << 16, 1000])
def test_a_step_waits_for_no_device(loaded: Loaded, on_host: bool, patches_per_call: int) -> None:
    place = torch.device("cpu") if on_host else DEVICE
    drawn = [item(loaded.tower, *made, number, place) for number, made in enumerate(grids(random.Random(1), 30))]
    there = Loaded(loaded.folder, loaded.tower, loaded.certificate, drawn, [])
    embed = there.embed(patches_per_call, 10**9)
    for turn in ("warm", "watched"):
        one = prepared(there, turn, list(range(len(drawn))))
        embed.admit(one)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error" if turn == "watched" else "default")
        try:
            step = embed.step([Chunk(turn, 0, len(one.token_ids))])
            assert all(isinstance(found, Rows) for found in step.results), step.results
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert not step.settle()
        embed.finish(turn)
        embed = there.embed(patches_per_call, 10**9)  # with an empty cache


@pytest.mark.requirement("MOVE-003", "MOVE-008", "WORK-002")
def test_each_payload_byte_crosses_the_link_once_and_nothing_waits(loaded: Loaded) -> None:
    cpu = torch.device("cpu")
    drawn = [item(loaded.tower, *made, number, cpu) for number, made in enumerate(grids(random.Random(2), 30))]
    encoder = loaded.encoder(1 << 16)
    encoder.encode(drawn)
    with recording(DEVICE) as ledger:
        encoder.encode(drawn)
    payload = sum(one.payload.nbytes for one in drawn if isinstance(one.payload, Tensor))
    up = ledger.sizes("HtoD")
    assert up[-1] == payload
    assert len(up) == 2, "the payload, and all that the tower computes from"
    assert up[0] < payload / 10
    assert not ledger.sizes("DtoH")
    assert not ledger.waits


@pytest.mark.requirement("ENC-003", "ENC-006")
def test_memory_is_that_of_a_call(loaded: Loaded) -> None:
    """Many huge images take the memory of one call, their input and their rows; and what does not fit fails alone."""
    huge = [item(loaded.tower, Modality.IMAGE, (1, 128, 128), number) for number in range(8)]
    small = item(loaded.tower, Modality.IMAGE, (1, 8, 8), 9)
    encoder = loaded.encoder(16_384)

    def peak(items: list[Item]) -> tuple[int, int]:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        found = encoder.encode(items)
        assert all(isinstance(one, Encoded) for one in found)
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before, torch.cuda.memory_allocated() - before

    one, kept = peak(huge[:1])
    many, _ = peak(huge)
    assert many <= one + 7 * kept

    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + one // 2) / total)
    try:
        failed, fine = encoder.encode([huge[0], small])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert isinstance(failed, EncodingFailed)
    assert isinstance(fine, Encoded), fine


@pytest.mark.requirement("EPOCH-003")
def test_an_update_reaches_every_call_after_it(loaded: Loaded, tmp_path: Path) -> None:
    """And none before it, though nothing waits in between; captured graphs are no exception."""
    (tmp_path / "config.json").write_bytes((loaded.folder / "config.json").read_bytes())
    turned = {name: weight.flip(0).contiguous() for name, weight in load_file(loaded.folder / WEIGHTS).items()}
    save_file(turned, tmp_path / WEIGHTS)
    assert implementation.tower
    fresh = implementation.tower(Checkpoint(tmp_path, torch.bfloat16, IMAGE, VIDEO, IMAGE), PORT)
    fresh.row_floor = loaded.tower.row_floor
    picked = [index for index, one in enumerate(loaded.items) if one.modality is Modality.IMAGE][:20]
    encoder = loaded.encoder(1)
    before = [encoder.encode([loaded.items[index]])[0] for index in picked]
    loaded.tower.update(tmp_path, 1)
    after = [encoder.encode([loaded.items[index]])[0] for index in picked]
    loaded.tower.update(loaded.folder, 2)
    assert implementation.encoder
    wanted = implementation.encoder(loaded.runtime(1), fresh)
    for index, old, new in zip(picked, before, after, strict=True):
        assert isinstance(old, Encoded)
        assert isinstance(new, Encoded)
        (expected,) = wanted.encode([loaded.items[index]])
        assert isinstance(expected, Encoded)
        assert all(same_bits(a, b) for a, b in zip(levels(old), levels(loaded.alone[index]), strict=True))
        assert all(same_bits(a, b) for a, b in zip(levels(new), levels(expected), strict=True))
        assert not same_bits(new.rows, old.rows)
