"""Two requests for the tower of slices, through the reference and another implementation.

python -m docs.examples.run_slices optimized [encoder=docs/examples/own_batcher.py:OneSegment]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from docs.examples.slice_tower import LONGEST, PIXELS, PLACEHOLDER, QUERIES, SPEC, SliceTower
from plumbline.build import bits_of
from plumbline.certify import certify
from plumbline.interface import (
    Budgets,
    Chunk,
    Extra,
    Failure,
    Implementation,
    Item,
    Modality,
    Request,
    Source,
)
from plumbline.resolve import resolve
from plumbline.rig import build_rig

SLICE_START, SLICE_END = 1, 2
IMAGES = {"cat": (12, 7, 5), "map": (9, 12)}
"""Real patches of each slice. The first slice is the whole picture, scaled down."""


# region request
def slices(name: str) -> tuple[Tensor, ...]:
    """One tensor for each slice, [1, LONGEST, PIXELS], zeros beyond its size: padding is part of the content."""
    draw = torch.Generator().manual_seed(sum(name.encode()))
    found = torch.zeros(len(IMAGES[name]), LONGEST, PIXELS)
    for tile, size in zip(found, IMAGES[name], strict=True):
        tile[:size] = torch.randn(size, PIXELS, generator=draw)
    return tuple(found[k : k + 1] for k in range(len(found)))


def request(request_id: str, names: Sequence[str]) -> Request:
    tokens, items = [5, 6], []
    for name in names:
        spans = []
        for _ in IMAGES[name]:
            tokens.append(SLICE_START)
            spans.append((len(tokens), len(tokens) + QUERIES))
            tokens += [PLACEHOLDER] * QUERIES + [SLICE_END]
        sizes = Extra(torch.tensor(IMAGES[name]), affects_rows=True)
        items.append(Item(Modality.IMAGE, Source.PIXELS, slices(name), tuple(spans), extras={"sizes": sizes}))
    return Request(request_id, torch.tensor(tokens), tuple(items))


# endregion


# region run
def rows_of(implementation: Implementation, requests: Sequence[Request]) -> dict[str, Tensor]:
    """All rows of each request, in the order of their positions, prefilled together in chunks of seven tokens."""
    tower = SliceTower()
    certify(tower)  # finds the row floor: from here on rows do not depend on company
    rig = build_rig(implementation, tower, SPEC, Budgets(cache_bytes=1 << 20, patches_per_call=64, item_patches=64))
    for prepared in rig.prepare(requests):
        if isinstance(prepared, Failure):
            raise prepared.error
        rig.embed.admit(prepared)
    rows: dict[str, list[Tensor]] = {r.request_id: [] for r in requests}
    for lo in range(0, max(len(r.token_ids) for r in requests), 7):
        chunks = [Chunk(r.request_id, lo, min(lo + 7, len(r.token_ids))) for r in requests if lo < len(r.token_ids)]
        step = rig.embed.step(chunks)
        for result in step.results:
            if isinstance(result, Failure):
                raise result.error
            rows[result.request_id].append(result.rows.clone())
        step.settle()
    return {request_id: torch.cat(found) for request_id, found in rows.items()}


# endregion


def main(spec: str, *replace: str) -> int:
    """Prints which slices have other bits than the reference's. Returns the exit status."""
    torch.set_num_threads(1)
    requests = [request("a", ["cat"]), request("b", ["map", "cat"])]
    wanted = rows_of(resolve("reference").implementation, requests)
    got = rows_of(resolve(spec, replace).implementation, requests)
    status = 0
    for r in requests:
        for k, (lo, hi) in enumerate(span for item in r.items for span in item.spans):
            part = slice(k * QUERIES, (k + 1) * QUERIES)
            same = torch.equal(bits_of(wanted[r.request_id][part]), bits_of(got[r.request_id][part]))
            status |= not same
            print(f"request {r.request_id}, slice {k} at [{lo}, {hi}): {'same bits' if same else 'differs'}")
    return status


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
