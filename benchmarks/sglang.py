"""optimized and SGLang side by side on the CPU, in one process: the embed routine, splitting and padding, hashing.

    nox -s side_by_side                                   # or: python -m benchmarks.sglang --out FILE

Each does its own work from its own input: SGLang's released functions are called as SGLang calls them, not through the
adapter's ``Embed``; what an engine has at hand before a step (chunks, padded ids, batch records) is made outside the time.
Rows of both are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

import optimized
from adapters.sglang import LanguageModel, Prefill, Table
from adapters.sglang_embed import Model
from adapters.sglang_items import inputs_of, to_sglang
from adapters.sglang_release import release
from plumbline.interface import (
    Budgets,
    Chunk,
    Encoded,
    Identity,
    Item,
    Layout,
    Merged,
    Modality,
    Packed,
    PlumblineError,
    Prepared,
    Request,
    Runtime,
    Source,
    TowerSpec,
)
from plumbline.results import commit, environment
from plumbline.rig import RecordingPort
from plumbline.timing import Contestant, in_turns, ratio

REQUESTS, IMAGES, ROWS, TEXT, CHUNK = 64, 4, 256, 8, 512
VOCABULARY, PLACEHOLDER, MERGE = 1000, 1001, 2
RUNS = 5
"""In a row at each turn. Of the first the ratio is shown apart: it finds what the other left in the processor's caches."""
MIB = 1 << 20


class FreeTower:
    """Costs nothing: every image has the same rows, which lie ready, as many as can be asked for."""

    epoch = 0

    def __init__(self, spec: TowerSpec) -> None:
        self.spec = spec
        self.rows = torch.randn(ROWS, spec.hidden_size).to(spec.dtype).repeat(REQUESTS * IMAGES, 1)

    def __call__(self, packed: Packed) -> Encoded:
        return Encoded(self.rows[: len(packed.patches) // MERGE**2])


def spec_of(hidden: int) -> TowerSpec:
    layouts = {Modality.IMAGE: Layout(PLACEHOLDER, (4,), True, MERGE)}
    return TowerSpec("free", hidden, 0, VOCABULARY, torch.bfloat16, frozenset({torch.float32}), layouts)


def prompt(images: int) -> tuple[Tensor, list[tuple[int, int]]]:
    """Token ids, and the span of each image, with text before each."""
    ids: list[int] = []
    spans = []
    for _ in range(images):
        ids += [5] * TEXT
        spans.append((len(ids), len(ids) + ROWS))
        ids += [PLACEHOLDER] * ROWS
    return torch.tensor(ids), spans


def image(span: tuple[int, int]) -> Item:
    side = int((ROWS * MERGE**2) ** 0.5)
    return Item(Modality.IMAGE, Source.PIXELS, torch.randn(side * side, 4), (span,), torch.tensor([[1, side, side]]))


def requests() -> list[Request]:
    made = []
    for k in range(REQUESTS):
        ids, spans = prompt(IMAGES)
        made.append(Request(f"r{k}", ids, tuple(image(span) for span in spans)))
    return made


class Ours:
    """optimized: admitted once, sent back to the queue before each pass."""

    def __init__(self, tower: FreeTower, made: Sequence[Request], table: torch.nn.Embedding) -> None:
        spec, parts = tower.spec, optimized.implementation
        assert parts.identify and parts.prepare and parts.encoder  # noqa: PT018
        assert parts.cache and parts.embed and parts.merge  # noqa: PT018
        runtime = Runtime(spec, RecordingPort(spec), Budgets(1 << 34, 1 << 30, 1 << 20))
        self.cache = parts.cache(runtime)
        self.embed = parts.embed(runtime, parts.encoder(runtime, tower), self.cache)
        self.merge, self.table = parts.merge(runtime), table
        prepared = parts.prepare(runtime, parts.identify(runtime))(made)
        self.prepared = [p for p in prepared if isinstance(p, Prepared)]
        for p in self.prepared:
            self.embed.admit(p)
        self.steps = [[Chunk(p.request_id, lo, hi) for p in self.prepared] for lo, hi in cuts(made)]
        self.ids = [torch.cat([r.token_ids[lo:hi] for r in made]) for lo, hi in cuts(made)]

    def ready(self, cached: bool) -> None:
        for p in self.prepared:
            self.embed.retract(p.request_id)
        if not cached:
            self.cache.clear()

    def go(self) -> list[Merged]:
        merged = []
        for chunks, ids in zip(self.steps, self.ids, strict=True):
            step = self.embed.step(chunks)
            merged.append(self.merge(step.results, ids, self.table))  # type: ignore[arg-type]
            step.settle()
        return merged


class Theirs:
    """SGLang: general_mm_embed_routine around its chunked routine, with a model function that packs and costs no more."""

    def __init__(self, tower: FreeTower, made: Sequence[Request], table: torch.nn.Embedding) -> None:
        spec, self.tower = tower.spec, tower
        self.model = Model(spec)
        self.cache = release().routine.MultiModalStaticCache(1 << 34)
        self.language_model = LanguageModel(Table(table, spec))
        self.inputs, ids = [], []
        for r in made:
            parts = [to_sglang(item) for item in r.items]
            for part in parts:
                part.set_pad_value()
            self.inputs.append(inputs_of(parts, spec))
            ids.append(torch.tensor(release().pad(r.token_ids.tolist(), self.inputs[-1])))
        self.cuts = cuts(made)
        self.ids = [torch.cat([one[lo:hi] for one in ids]) for lo, hi in self.cuts]

    def ready(self, cached: bool) -> None:
        release().routine.embedding_cache = self.cache
        if not cached:
            self.cache.clear()
        self.fresh = [ids.clone() for ids in self.ids]  # the routine clamps the ids that it is given, in place
        self.batches = [Prefill(self.inputs, [cut] * len(self.inputs)) for cut in self.cuts]

    def encode(self, parts: list[Any]) -> Tensor:
        patches = torch.cat([part.feature for part in parts])
        torch.cat([part.image_grid_thw for part in parts])
        return self.tower.rows[: len(patches) // MERGE**2]

    @torch.no_grad()
    def go(self) -> list[Tensor]:
        return [
            release().utils.general_mm_embed_routine(
                input_ids=ids,
                forward_batch=batch,
                language_model=self.language_model,
                multimodal_model=self.model,
                data_embedding_funcs=dict.fromkeys(release().batch.Modality, self.encode),
                use_deepstack={},
            )[0]
            for ids, batch in zip(self.fresh, self.batches, strict=True)
        ]


def cuts(made: Sequence[Request]) -> list[tuple[int, int]]:
    length = len(made[0].token_ids)
    return [(lo, min(lo + CHUNK, length)) for lo in range(0, length, CHUNK)]


Case = tuple[str, dict[str, Contestant], int]
"""Name, contestants, rounds."""


def routine(hidden: int, rounds: int) -> list[Case]:
    tower, made = FreeTower(spec_of(hidden)), requests()
    table = torch.nn.Embedding(VOCABULARY, hidden, dtype=torch.bfloat16).requires_grad_(False)
    ours, theirs = Ours(tower, made, table), Theirs(tower, made, table)
    for cached in (False, True):
        ours.ready(cached)
        theirs.ready(cached)
        for a, b in zip(ours.go(), theirs.go(), strict=True):
            assert torch.equal(a.embeds, b), "the two do not give the same embeddings"
    return [
        (
            f"embed, {'all cached' if cached else 'none cached'}, hidden {hidden}",
            {
                "optimized": Contestant(ours.go, lambda cached=cached: ours.ready(cached)),  # type: ignore[misc]
                "sglang": Contestant(theirs.go, lambda cached=cached: theirs.ready(cached)),  # type: ignore[misc]
            },
            rounds,
        )
        for cached in (True, False)
    ]


@dataclasses.dataclass(frozen=True)
class Given:
    """An identify that knows the answer."""

    identities: Sequence[Identity]

    def __call__(self, items: Sequence[Item]) -> list[Identity | PlumblineError]:
        return [*self.identities]


def splitting() -> Case:
    """64 images in a bundle. Identities are given to both: SGLang its 64-bit hash, which is its faster way."""
    spec = spec_of(8)
    ids, spans = prompt(64)
    whole = [image(span) for span in spans]
    payload = torch.cat([item.payload for item in whole if isinstance(item.payload, Tensor)])
    grids = torch.cat([item.grid_thw for item in whole if item.grid_thw is not None])
    bundle = dataclasses.replace(whole[0], payload=payload, spans=tuple(spans), grid_thw=grids)
    runtime = Runtime(spec, RecordingPort(spec), Budgets(0, 1 << 30, 1 << 20))
    long = [Identity(k.to_bytes(32, "big")) for k in range(64)]
    factory = optimized.implementation.prepare
    assert factory
    prepare = factory(runtime, Given(long))
    request, listed = Request("r", ids, (bundle,)), ids.tolist()

    def theirs() -> Tensor:
        parts = release().utils.get_new_expanded_mm_items([to_sglang(bundle)])
        for hashed, part in enumerate(parts):
            part.hash = hashed
            part.set_pad_value()
        inputs = inputs_of(parts, spec)
        return torch.tensor(release().pad(listed, inputs))

    contestants = {"optimized": Contestant(lambda: prepare([request])), "sglang": Contestant(theirs)}
    return "split and pad a bundle of 64 images", contestants, 20


def hashing() -> Case:
    payload = torch.randn(36 * MIB // 16, 4)
    side = int(len(payload) ** 0.5)
    item = Item(Modality.IMAGE, Source.PIXELS, payload, (), torch.tensor([[1, side, side]]))
    spec = spec_of(8)
    factory = optimized.implementation.identify
    assert factory
    identify = factory(Runtime(spec, RecordingPort(spec), Budgets(0, 0, 0)))
    contestants = {
        "optimized": Contestant(lambda: identify([item])),
        "sglang": Contestant(lambda: release().utils.hash_feature(payload)),
    }
    return "hash 36 MiB", contestants, 6


def cases() -> list[Callable[[], list[Case]]]:
    return [
        lambda: [splitting()],
        lambda: [hashing()],
        lambda: routine(8, 40),
        lambda: routine(1024, 6),
        lambda: routine(4096, 3),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("report/side-by-side.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(highlight=False, width=120)
    console.print(
        f"optimized and SGLang {release().version}, medians; one thread; ratio with its 95 % interval, and of first runs alone"
    )
    began, rows = time.time(), []
    for make in cases():
        for title, contestants, rounds in make():
            samples = in_turns(contestants, rounds, runs=RUNS)
            middle, low, high = ratio(samples["optimized"], samples["sglang"], 2 * RUNS)
            cold = ratio(samples["optimized"][::RUNS], samples["sglang"][::RUNS])[0]
            ours, theirs = (1e3 * statistics.median(samples[k]) for k in ("optimized", "sglang"))
            said = f"{middle:.3f} [{low:.3f}, {high:.3f}], cold {cold:.3f}"
            console.print(f"{title:40s} {ours:9.3f} ms {theirs:9.3f} ms   {said}")
            row = {"case": title, "ratio": middle, "interval": [low, high], "cold": cold, "runs": RUNS}
            rows.append(row | {"seconds": samples})
    result = {
        "commit": commit(),
        "environment": environment() | {"threads": 1},
        "sglang": release().version,
        "took": round(time.time() - began, 1),
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result) + "\n")
    console.print(f"{options.out} written")


if __name__ == "__main__":
    main()
