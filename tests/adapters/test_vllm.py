"""The adapter of vLLM says what vLLM says. Each check runs in a process of its own: it brings vLLM's modules along."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from plumbline.interface import Chunk, Extra, Item, Modality, Rows, Source
from plumbline.parts import identity_of, image, prepared_of, rig_of
from plumbline.resolve import resolve
from plumbline.rig import Rig
from plumbline.scenario import RequestRecipe, TowerRecipe

ROOT = Path(__file__).parents[2]
SPEC = "adapters/vllm.py:implementation"
VARIABLE = "PLUMBLINE_VLLM"
ROW = 8 * 4


def child(check: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, __file__, check],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_without_a_release_it_says_what_to_do() -> None:
    found = child("same_code", {k: v for k, v in os.environ.items() if k != VARIABLE})
    assert found.returncode != 0
    assert f"{VARIABLE} is not set: name the folder that holds the vllm package" in found.stderr


@pytest.mark.parametrize("check", ["same_code", "same_digests", "same_hits", "held_rows_stay"])
def test_vllm(check: str) -> None:
    if VARIABLE not in os.environ:
        pytest.fail(f"{VARIABLE} is not set: run nox -s vllm, or name the folder of an unpacked vLLM that holds vllm/")
    found = child(check, dict(os.environ))
    assert found.returncode == 0, found.stderr


# ------------------------------------------------------------------------------------------- checks, run in the child


def rig(rows: int = 1000, side_levels: int = 0) -> Rig:
    tower = TowerRecipe(side_levels=side_levels)
    return rig_of(resolve(SPEC).implementation, tower, cache_bytes=rows * ROW * (1 + side_levels))


def manager_of(built: Rig) -> Any:
    return built.cache.manager  # type: ignore[union-attr]


def same_code() -> None:
    """What decides was read from the release, and nothing of it was replaced."""
    built = rig()
    import vllm.multimodal.hasher as hasher  # type: ignore[import-not-found]
    import vllm.v1.core.sched.scheduler as scheduler  # type: ignore[import-not-found]

    manager = manager_of(built)
    mine = type(built.cache.scheduler)  # type: ignore[union-attr]
    assert mine.__mro__[1] is scheduler.Scheduler
    assert set(vars(mine)) - {"__init__", "__module__", "__doc__"} <= {"__abstractmethods__", "_abc_impl"}
    decide = [hasher.MultiModalHasher.hash_kwargs, manager.can_allocate, manager.allocate, manager.free]
    decide += [manager.check_and_update_cache, mine._try_schedule_encoder_inputs, mine._free_encoder_inputs]
    decide += [built.embed._runner.gather_mm_embeddings]  # type: ignore[attr-defined]
    folder = Path(os.environ[VARIABLE]).resolve()
    for function in decide:
        assert Path(function.__code__.co_filename).resolve().is_relative_to(folder / "vllm"), function


def same_digests() -> None:
    """The identity is what vLLM's hasher gives, called with the arguments that vLLM's processor gives it."""
    built = rig()
    from vllm.multimodal.hasher import MultiModalHasher

    a, b = torch.arange(12, dtype=torch.float32).view(4, 3), torch.ones(2, 3, dtype=torch.bfloat16)
    grid = torch.tensor([[1, 1, 4]])
    extras = {"fps": Extra(2, True), "name": Extra("x.png", False), "crop": Extra(torch.tensor([1, 2]), True)}
    kwargs = {"fps": 2, "crop": torch.tensor([1, 2])}
    cases: list[tuple[Item, dict[str, object]]] = [
        (
            Item(Modality.IMAGE, Source.PIXELS, a, (), grid),
            {"image": {"image_values": [a], "image_grid_thw": grid}},
        ),
        (
            Item(Modality.VIDEO, Source.PREPROCESSED, a, (), grid, extras),
            {"video": {"video_values": [a], "video_grid_thw": grid}, "mm_processor_kwargs": kwargs},
        ),
        (Item(Modality.IMAGE, Source.PRECOMPUTED, a, ()), {"image": {"image_embeds": [a]}}),
        (Item(Modality.AUDIO, Source.PIXELS, (a, b), ()), {"audio": {"audio_values": [a, b]}}),
    ]
    for item, arguments in cases:
        direct = MultiModalHasher.hash_kwargs("blake3", model_id=built.runtime.spec.name, **arguments)
        assert identity_of(built, item).digest.hex() == direct


def serve(built: Rig, name: str, seed: int, rows: int, hi: int | None = None) -> tuple[str, int]:
    """The item's identifier, and how many tower calls the request cost. Ends the request unless ``hi`` cuts it."""
    prepared = prepared_of(built, RequestRecipe(name, (image(seed, rows),)))
    built.embed.admit(prepared)
    calls = len(built.tower.calls)
    result = built.embed.step([Chunk(name, 0, hi or len(prepared.token_ids))]).results[0]
    assert isinstance(result, Rows), result
    if hi is None:
        built.embed.finish(name)
    return prepared.identities[0].digest.hex(), len(built.tower.calls) - calls


def same_hits() -> None:
    """Over random requests, hits and evictions are those of a manager of vLLM's that nobody but this check drives."""
    capacity = 20
    built = rig(capacity)
    from adapters.vllm_cache import Request, feature_of

    alone = type(manager_of(built))(capacity)
    sizes = {seed: random.Random(seed).randrange(1, 9) for seed in range(8)}
    rng, hits, evictions = random.Random(1), 0, 0
    for turn in range(200):
        seed = rng.randrange(8)
        prepared = prepared_of(built, RequestRecipe("same", (image(seed, sizes[seed]),)))
        request = Request(f"r{turn}", [feature_of(prepared.identities[0], None, [(0, sizes[seed])])], sizes[seed])
        hit = alone.check_and_update_cache(request, 0)
        if not hit:
            assert alone.can_allocate(request, 0, 10**6, 0)
            alone.allocate(request, 0)
        alone.free(request)
        evicted = alone.get_freed_mm_hashes()
        _, calls = serve(built, f"r{turn}", seed, sizes[seed])
        assert calls == (0 if hit else 1), turn
        assert list(manager_of(built).freeable.items()) == list(alone.freeable.items())
        assert set(built.cache.worker.encoder_outputs) == set(alone.cached)  # type: ignore[union-attr]
        hits, evictions = hits + hit, evictions + len(evicted)
    assert hits > 20
    assert evictions > 20


def held_rows_stay() -> None:
    """Rows of an item that a request is inside of are referenced, and go only after it."""
    for side_levels in (0, 2):
        built = rig(8, side_levels)
        first, _ = serve(built, "inside", 1, 4, hi=3)
        assert manager_of(built).cached[first] == {"inside"}
        for turn in range(3):
            other, calls = serve(built, f"r{turn}", 2 + turn, 4)
            assert calls == 1
            assert set(manager_of(built).cached) == {first, other}
        built.embed.finish("inside")
        serve(built, "last", 9, 8)
        assert first not in manager_of(built).cached


CHECKS: Sequence[Callable[[], None]] = (same_code, same_digests, same_hits, held_rows_stay)

if __name__ == "__main__":
    {check.__name__: check for check in CHECKS}[sys.argv[1]]()
