"""Ranks are processes, each with a hash seed of its own, which orders its sets: nothing that they do may follow from it."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys

import pytest
import torch

from plumbline.feature import LocalFeature
from plumbline.interface import Cache, Capability, Chunk, Encoded, Identity, Implementation, LeaseLost
from plumbline.parts import claimed, image, prepared_of, rig_of
from plumbline.requirements import ROOT
from plumbline.resolve import Subject
from plumbline.scenario import ItemRecipe, RequestRecipe

CHILD = """
import sys
sys.path.insert(0, "tests/ranks")
from test_hash_seeds import told
from plumbline.resolve import resolve
print(told(resolve(sys.argv[1], sys.argv[2:])))
"""
SEEDS = range(12)


class ToldCache:
    """Writes down what is put into another one, in which order."""

    def __init__(self, cache: Cache, put: list[str]) -> None:
        self._cache, self._put = cache, put

    def put(self, identity: Identity, epoch: int, encoded: Encoded) -> bool:
        self._put.append(identity.digest[:4].hex())
        return self._cache.put(identity, epoch, encoded)

    def __getattr__(self, name: str) -> object:
        return getattr(self._cache, name)


class NamedFeature(LocalFeature):
    """Whose error names it, so that it shows which of several lost ones a request hears of."""

    def __init__(self, payload: torch.Tensor, fence: bool, name: str) -> None:
        super().__init__(payload, fence)
        self._name = name

    def check(self) -> None:
        try:
            super().check()
        except LeaseLost as error:
            raise LeaseLost(f"{self._name}: {error.what}") from None


def pictures(draw: random.Random) -> tuple[ItemRecipe, ...]:
    return tuple(image(draw.randrange(30), draw.randint(1, 4), pieces=2) for _ in range(draw.randint(2, 8)))


def told(subject: Subject) -> str:
    """Of generated workloads all errors, tower calls and entries of the cache, in their order."""
    return "\n".join(line for seed in SEEDS for line in told_of(random.Random(seed), subject.implementation))


def told_of(draw: random.Random, implementation: Implementation) -> list[str]:
    """Requests in two chunks, so that many pictures are cut; a third is fenced off, and steps are settled in any order."""
    made = implementation.cache
    put: list[str] = []
    said: list[str] = []
    if made:
        implementation = dataclasses.replace(implementation, cache=lambda runtime: ToldCache(made(runtime), put))
    rig = rig_of(implementation, cache_bytes=24 * 32)
    chunks: list[list[Chunk]] = [[], []]
    for name in ("a", "b", "c"):
        prepared = prepared_of(rig, RequestRecipe(name, pictures(draw), weave=True))
        items = [
            dataclasses.replace(item, payload=NamedFeature(item.payload, draw.random() < 0.33, f"{name}{k}"))
            for k, item in enumerate(prepared.items)
            if isinstance(item.payload, torch.Tensor)
        ]
        rig.embed.admit(dataclasses.replace(prepared, items=tuple(items)))
        ends = [0, draw.randrange(1, len(prepared.token_ids)), len(prepared.token_ids)]
        for step, lo, hi in zip(chunks, ends, ends[1:], strict=False):
            step.append(Chunk(name, lo, hi))
    steps = [rig.embed.step(one) for one in chunks]
    for step in draw.sample(steps, len(steps)):
        said.append(f"{[(failure.request_id, str(failure.error)) for failure in step.settle()]}")
    return [*said, *(f"{call.items}" for call in rig.tower.calls), f"{put}"]


@pytest.mark.requirement("RANK-003")
@pytest.mark.slow
def test_errors_and_the_cache_do_not_follow_from_the_hash_seed(subject: Subject) -> None:
    claimed(subject, Capability.RANKS, Capability.LAZY)
    said = told(subject)
    for seed in ("1", "2"):
        child = subprocess.run(
            [sys.executable, "-c", CHILD, subject.spec, *subject.replaced],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert child.returncode == 0, child.stderr
        assert child.stdout.strip() == said
