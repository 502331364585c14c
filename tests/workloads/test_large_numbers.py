"""Counts beyond one byte and beyond 16 bits: patches, rows, positions, images and requests that generated workloads are too
small for."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from plumbline.exact import exact_spec
from plumbline.interface import (
    Budgets,
    Capability,
    Chunk,
    Encoded,
    Failure,
    Item,
    Modality,
    Packed,
    Prepared,
    Request,
    Rows,
    Source,
)
from plumbline.parts import About, claimed, rig_of
from plumbline.resolve import Subject
from plumbline.rig import Rig, build_rig
from plumbline.scenario import TowerRecipe

MANY = 2**16 + 2**10
"""Beyond 16 bits."""
SEVERAL = 2**8 + 7
"""Beyond a byte."""
HIDDEN, PLACES = 8, TowerRecipe(patch_shape=(8,))


class Numbering:
    """A row for each patch: the patch, and in its last number how long the patch's attention segment is."""

    def __init__(self) -> None:
        self.spec, self.epoch = exact_spec(PLACES), 0

    def __call__(self, packed: Packed) -> Encoded:
        lengths = packed.cu_seqlens.diff()
        rows = packed.patches.clone()
        rows[:, -1] = lengths.repeat_interleave(lengths)
        return Encoded(rows)


def rig_around(subject: Subject) -> Rig:
    tower = Numbering()
    return build_rig(subject.implementation, tower, tower.spec, Budgets(1 << 28, 1 << 20, 1 << 20))


def patches(seed: int, count: int) -> Tensor:
    """[count, 8] float32, no two alike for all seeds."""
    made = torch.zeros(count, HIDDEN)
    made[:, 0], made[:, 1] = torch.arange(count), seed
    return made


def rows_of(payload: Tensor, segment: int) -> Tensor:
    rows = payload.clone()
    rows[:, -1] = segment
    return rows


def admitted(rig: Rig, name: str, before: int, items: list[Item], after: int = 1) -> Prepared:
    """Text around the items' spans, which follow each other with one token between them."""
    ids = torch.zeros(max([before, *(hi for item in items for _, hi in item.spans)]) + after, dtype=torch.int64)
    for item in items:
        for lo, hi in item.spans:
            ids[lo:hi] = rig.runtime.spec.layouts[item.modality].placeholder_id
    (prepared,) = rig.prepare([Request(name, ids, tuple(items))])
    assert isinstance(prepared, Prepared), prepared
    rig.embed.admit(prepared)
    return prepared


def image(seed: int, count: int, at: int) -> Item:
    return Item(Modality.IMAGE, Source.PIXELS, patches(seed, count), ((at, at + count),), torch.tensor([[1, 1, count]]))


def step(rig: Rig, *chunks: Chunk) -> list[Rows]:
    made = rig.embed.step(chunks)
    failed = [(result.request_id, result.error) for result in made.results if isinstance(result, Failure)]
    assert not failed, f"{len(failed)} of {len(chunks)} chunks failed, the first {failed[0]}"
    results = [result for result in made.results if isinstance(result, Rows)]
    assert [result.request_id for result in results] == [chunk.request_id for chunk in chunks]
    assert not made.settle()
    return results


def check(result: Rows, positions: Tensor, rows: Tensor, about: About) -> None:
    where = f"request {result.request_id} [{result.lo}, {result.hi})"
    with about("CHUNK-006"):
        assert torch.equal(result.positions, positions), (
            f"{where}: positions {ends(result.positions)}, not {ends(positions)}"
        )
    assert torch.equal(result.rows, rows), f"{where}: {difference(result.rows, rows)}"


def ends(positions: Tensor) -> str:
    return f"{positions[:1].tolist()} to {positions[-1:].tolist()}"


def difference(got: Tensor, wanted: Tensor) -> str:
    if got.shape != wanted.shape:
        return f"rows of {tuple(got.shape)} for {tuple(wanted.shape)}"
    at = int((got != wanted).any(1).int().argmax())
    return f"row {at} is {got[at].tolist()}, not {wanted[at].tolist()}"


@pytest.mark.requirement("ITEM-001", "CHUNK-001", "CHUNK-006")
@pytest.mark.parametrize("cut", [2**15 + 1, 2**16])
def test_an_item_of_many_rows(subject: Subject, cut: int, about: About) -> None:
    """The rows behind a cut."""
    rig = rig_around(subject)
    prepared = admitted(rig, "r", 3, [image(1, MANY, 3)])
    wanted = rows_of(patches(1, MANY), MANY)
    for lo, hi in itertools.pairwise([0, cut, cut + 5, len(prepared.token_ids)]):
        (result,) = step(rig, Chunk("r", lo, hi))
        first, last = max(lo, 3), min(hi, 3 + MANY)
        check(result, torch.arange(first, last), wanted[first - 3 : last - 3], about)


@pytest.mark.requirement("ITEM-001", "CHUNK-001", "CHUNK-006")
@pytest.mark.parametrize("before", [2**16 - 2, 2**17 + 1])
def test_an_item_far_behind_in_its_prompt(subject: Subject, before: int, about: About) -> None:
    rig = rig_around(subject)
    prepared = admitted(rig, "r", before, [image(1, 9, before)])
    wanted = rows_of(patches(1, 9), 9)
    for lo, hi in itertools.pairwise([0, before - 1, before + 4, len(prepared.token_ids)]):
        (result,) = step(rig, Chunk("r", lo, hi))
        first, last = max(lo, before), min(hi, before + 9)
        check(result, torch.arange(first, max(first, last)), wanted[first - before : max(last - before, 0)], about)


@pytest.mark.requirement("ENC-001", "ENC-005", "ENC-009")
def test_many_patches_in_a_call(subject: Subject) -> None:
    """Their segments and their rows, in company that takes 16 bits to count."""
    rig = rig_around(subject)
    sizes = [2**15 - 3, 7, 2**15 + 9, 2**14, 1, 2**16 + 11]
    results = rig.encoder.encode([image(seed, size, 0) for seed, size in enumerate(sizes)])
    for seed, (size, result) in enumerate(zip(sizes, results, strict=True)):
        assert isinstance(result, Encoded), result
        wanted = rows_of(patches(seed, size), size)
        assert torch.equal(result.rows, wanted), f"item {seed} of {size} patches: {difference(result.rows, wanted)}"


@pytest.mark.requirement("ENC-005")
def test_many_frames_of_a_video(subject: Subject) -> None:
    claimed(subject, Capability.VIDEO)
    rig = rig_around(subject)
    frames = 2**15 + 5
    video = Item(Modality.VIDEO, Source.PIXELS, patches(1, 2 * frames), (), torch.tensor([[frames, 1, 2]]))
    (result,) = rig.encoder.encode([video])
    assert isinstance(result, Encoded), result
    wanted = rows_of(patches(1, 2 * frames), 2)
    assert torch.equal(result.rows, wanted), difference(result.rows, wanted)


@pytest.mark.requirement("ITEM-012", "ENC-010")
@pytest.mark.parametrize("parts", [(MANY,), (SEVERAL, 1, MANY - SEVERAL - 1)], ids=["one tensor", "three tensors"])
def test_many_rows_that_were_computed_before(subject: Subject, parts: tuple[int, ...]) -> None:
    """Each beside its side rows."""
    claimed(subject, Capability.PRECOMPUTED, Capability.SIDE_ROWS, *([Capability.TILES] if len(parts) > 1 else []))
    levels = 3
    rig = rig_of(subject.implementation, TowerRecipe(hidden=HIDDEN, side_levels=levels - 1))
    sent = torch.arange(MANY * levels * HIDDEN, dtype=torch.float32).view(MANY, -1)
    payload = torch.split(sent, list(parts))
    item = Item(Modality.IMAGE, Source.PRECOMPUTED, payload if len(parts) > 1 else sent, ((0, MANY),), None)
    (result,) = rig.encoder.encode([item])
    assert isinstance(result, Encoded), result
    for level, (got, wanted) in enumerate(zip((result.rows, *result.side), sent.chunk(levels, dim=1), strict=True)):
        assert torch.equal(got, wanted), f"level {level}: {difference(got, wanted)}"


@pytest.mark.requirement("ITEM-001", "PREP-001", "CHUNK-006")
@pytest.mark.parametrize("bundled", [True, False])
def test_many_images_in_a_request(subject: Subject, bundled: bool, about: About) -> None:
    """Of one to three patches each, in one bundle or on their own; the whole prompt, and a chunk from within its end."""
    rig = rig_around(subject)
    counts = [1 + seed % 3 for seed in range(SEVERAL)]
    starts = [2 + at for at in itertools.accumulate((count + 1 for count in counts[:-1]), initial=0)]
    images = [image(seed, count, at) for seed, (count, at) in enumerate(zip(counts, starts, strict=True))]
    if bundled:
        payload = torch.cat([patches(seed, count) for seed, count in enumerate(counts)])
        spans = tuple(span for one in images for span in one.spans)
        grid = torch.tensor([[1, 1, count] for count in counts])
        images = [Item(Modality.IMAGE, Source.PIXELS, payload, spans, grid)]
    prepared = admitted(rig, "r", 2, images)
    with about("PREP-001"):
        assert len(prepared.items) == SEVERAL
    wanted = torch.cat([rows_of(patches(seed, count), count) for seed, count in enumerate(counts)])
    places = torch.cat([torch.arange(at, at + count) for count, at in zip(counts, starts, strict=True)])
    for lo in (0, starts[-5]):
        (result,) = step(rig, Chunk("r", lo, len(prepared.token_ids)))
        check(result, places[places >= lo], wanted[places >= lo], about)
        rig.embed.retract("r")


@pytest.mark.requirement("CHUNK-004", "ENC-001", "MERGE-001", "CHUNK-006")
def test_many_requests_in_a_step(subject: Subject, about: About) -> None:
    """Each with an image of its own; in one merge."""
    rig = rig_around(subject)
    prompts = [admitted(rig, f"r{seed}", 1, [image(seed, 1 + seed % 3, 1)]) for seed in range(SEVERAL)]
    results = step(rig, *(Chunk(one.request_id, 0, len(one.token_ids)) for one in prompts))
    embeds = []
    for seed, result in enumerate(results):
        wanted = rows_of(patches(seed, 1 + seed % 3), 1 + seed % 3)
        check(result, torch.arange(1, 2 + seed % 3), wanted, about)
        text = torch.full((1, HIDDEN), -1.0)
        embeds += [text, wanted, text]
    ids = torch.cat([one.token_ids for one in prompts])
    merged = rig.merge(results, ids, lambda text: torch.full((len(text), HIDDEN), -1.0))
    with about("MERGE-001"):
        assert torch.equal(merged.embeds, torch.cat(embeds))


@pytest.mark.requirement("MERGE-001", "ITEM-001")
@pytest.mark.parametrize("count", [SEVERAL, 2**12 + 1, 2**13, MANY])
def test_much_text_around_an_image(subject: Subject, count: int, about: About) -> None:
    """Whose embedding writes into the same memory in each of its calls, as that of a captured graph."""
    rig = rig_around(subject)
    vocabulary = rig.runtime.spec.vocab_size
    prepared = admitted(rig, "r", count, [image(1, 9, count)], after=count)
    ids = prepared.token_ids.clone()
    text = ids != rig.runtime.spec.layouts[Modality.IMAGE].placeholder_id
    ids[text] = torch.randint(vocabulary, (2 * count,), generator=torch.Generator().manual_seed(count))
    memory = torch.empty(2 * len(ids), HIDDEN)

    def embed(ids: Tensor) -> Tensor:
        return memory[: len(ids)].copy_(-1.0 - ids[:, None])

    merged = rig.merge(step(rig, Chunk("r", 0, len(ids))), ids, embed)
    wanted = -1.0 - ids[:, None].expand(-1, HIDDEN)
    wanted = wanted.where(text[:, None], torch.zeros(1))
    wanted[~text] = rows_of(patches(1, 9), 9)
    with about("MERGE-001"):
        assert torch.equal(merged.mask, ~text)
        assert torch.equal(merged.embeds, wanted), difference(merged.embeds, wanted)
