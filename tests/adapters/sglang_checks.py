"""That SGLang's own batching, cache and eviction run behind the adapter. For a process with one release: see
``test_sglang.py``, which starts it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from adapters.sglang import implementation
from adapters.sglang_embed import SglangCache
from adapters.sglang_release import INERT, VARIABLE, release
from plumbline.bench import REFUSED, WRONG_ROWS, expected_rows
from plumbline.build import bits_of
from plumbline.engine import run
from plumbline.interface import Chunk, Rows, Runtime
from plumbline.judge import judge
from plumbline.parts import image, prepared_of, rig_of
from plumbline.resolve import resolve
from plumbline.rig import Rig
from plumbline.scenario import ItemRecipe, RequestRecipe, Scenario, TowerRecipe

ROW = 8 * 4
ACROSS_REQUESTS = {"0.5.12.post1": False, "0.5.23": True}
ACROSS = ACROSS_REQUESTS[os.environ["PLUMBLINE_SGLANG_EXPECTED"]]


class Counting(release().routine.MultiModalStaticCache):  # type: ignore[misc]
    """SGLang's cache, counting what SGLang's routine asks of it."""

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size)
        self.hits = self.misses = self.evictions = 0

    def _count(self, found: Any) -> Any:
        self.hits += found is not None
        self.misses += found is None
        return found

    def get_single(self, mm_hash: int) -> Any:
        return self._count(super().get_single(mm_hash))

    def get(self, mm_hashes: list[int], combined_hash: int | None = None) -> Any:
        return self._count(super().get(mm_hashes, combined_hash))

    def set(self, mm_hash: int, embedding: Any, loc: None = None) -> bool:
        before = set(self.mm_cache)
        kept: bool = super().set(mm_hash, embedding, loc)
        self.evictions += len(before - set(self.mm_cache))
        return kept


def counting_cache(runtime: Runtime) -> SglangCache:
    cache = SglangCache(runtime)
    cache.inner = Counting(runtime.budgets.cache_bytes)
    return cache


def rig_with(cache_rows: int, *requests: RequestRecipe) -> tuple[Rig, Counting]:
    """A rig that has admitted the requests."""
    rig = rig_of(dataclasses.replace(implementation, cache=counting_cache), cache_bytes=cache_rows * ROW, patches=1000)
    for request in requests:
        rig.embed.admit(prepared_of(rig, request))
    assert isinstance(rig.cache, SglangCache)
    return rig, rig.cache.inner


def step(rig: Rig, *chunks: tuple[RequestRecipe, int, int]) -> list[int]:
    """Items in each tower call of a step over these chunks, each with one image, whose rows are looked at."""
    calls = len(rig.tower.calls)
    results = rig.embed.step([Chunk(request.name, lo, hi) for request, lo, hi in chunks]).results
    for (request, lo, hi), result in zip(chunks, results, strict=True):
        assert isinstance(result, Rows), result
        wanted = expected_rows(TowerRecipe(), request.items[0], 0, 0)
        at = result.positions - 1  # the image begins after one text token
        assert torch.equal(result.positions, torch.arange(max(lo, 1), min(hi, 1 + len(wanted))))
        assert torch.equal(bits_of(result.rows), wanted[at])
    return [len(call.items) for call in rig.tower.calls[calls:]]


def request(name: str, seed: int, patches: int = 4) -> RequestRecipe:
    return RequestRecipe(name, (image(seed, patches),))


def test_the_release_is_the_one_that_was_asked_for_and_its_functions_are_its_files() -> None:
    assert implementation.version == os.environ["PLUMBLINE_SGLANG_EXPECTED"]
    S = release()
    for function in (S.utils.get_new_expanded_mm_items, S.utils._embed_mm_inputs_with_split, S.utils.hash_feature):
        assert Path(inspect.getfile(function)).is_relative_to(os.environ[VARIABLE])
    assert Path(inspect.getfile(S.routine.MultiModalStaticCache)).is_relative_to(os.environ[VARIABLE])


def test_requests_of_a_step_are_encoded_in_one_call_or_each_in_its_own() -> None:
    a, b, c = requests = [request(name, seed) for seed, name in enumerate("abc")]
    rig, cache = rig_with(1000, *requests)
    assert step(rig, (a, 0, 3), (b, 0, 6), (c, 2, 5)) == ([3] if ACROSS else [1, 1, 1])
    assert len(cache) == 3


def test_an_image_of_two_requests_is_encoded_once() -> None:
    a, b, c = requests = [request("a", 1), request("b", 1), request("c", 2)]
    rig, cache = rig_with(1000, *requests)
    assert step(rig, (a, 0, 6), (b, 0, 6), (c, 0, 6)) == ([2] if ACROSS else [1, 1])
    rig, cache = rig_with(0, *requests)
    assert step(rig, (a, 0, 6), (b, 0, 6), (c, 0, 6)) == ([2] if ACROSS else [1, 1, 1]), (
        "dedupe, or a cache that is none"
    )
    assert len(cache) == 0


def test_a_second_chunk_and_a_second_request_are_hits() -> None:
    a, b = request("a", 1), request("b", 1)
    rig, cache = rig_with(1000, a, b)
    assert step(rig, (a, 0, 3)) == [1]
    hits = cache.hits
    assert step(rig, (a, 3, 6)) == []
    assert step(rig, (b, 0, 6)) == []
    assert cache.hits == hits + 2


def test_rows_are_right_while_entries_are_evicted() -> None:
    a, b, c = requests = [request(name, seed) for seed, name in enumerate("abc")]
    rig, cache = rig_with(8, *requests)  # room for two images
    step(rig, (a, 0, 6), (b, 0, 6), (c, 0, 6))
    assert cache.evictions == 1
    assert len(cache) == 2
    assert step(rig, (a, 2, 6)) == [1], "a was evicted, so it is encoded again"
    assert cache.evictions == 2
    assert step(rig, (c, 2, 6)) == []


SCENARIO = Scenario(
    requests=(
        RequestRecipe("a", (image(1, 5), image(2, 3), image(1, 5)), bundle=True),
        RequestRecipe("b", (image(1, 5), ItemRecipe(modality="video", grid=(2, 1, 3), parts=(6,)))),
        RequestRecipe("c", (image(3, 4),), copies=2),
    ),
    chunks=(3, 4),
    cache_rows=9,
    patches_per_call=1000,
    running=3,
)


def wrong(subject: str, *replace: str) -> list[str]:
    found = resolve(subject, replace).implementation
    verdicts = judge(run(SCENARIO, found), found.capabilities)
    assert verdicts.judged[WRONG_ROWS] > 10
    assert verdicts.judged["MERGE-001"] >= 5
    return [v.message for v in verdicts.violations if v.requirement in (WRONG_ROWS, REFUSED, "MERGE-001")]


@pytest.mark.parametrize(
    "replace",
    [
        *((), ("identify=optimized",), ("cache=optimized",), ("encoder=reference",), ("prepare=optimized",)),
        *(("embed=optimized",), ("merge=reference",), ("prepare=optimized", "identify=optimized", "cache=optimized")),
    ],
    ids=lambda replace: " ".join(replace) or "all of SGLang",
)
def test_rows_are_right_with_any_part_replaced(replace: tuple[str, ...]) -> None:
    assert wrong("adapters/sglang.py:implementation", *replace) == []


def test_the_rest_of_the_process_has_its_own_packages() -> None:
    inert = {name for name, module in sys.modules.items() if type(module).__name__ == "_InertModule"}
    assert {name.partition(".")[0] for name in inert} == {"sglang"}
    for name in INERT & {"tqdm", "PIL", "transformers"}:
        if importlib.util.find_spec(name):
            assert importlib.import_module(name).__file__
    assert wrong("optimized") == wrong("reference") == []
