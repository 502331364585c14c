"""An implementation around a certified float tower: packed, batched, in any order, it gives the reference's bits.

The exact tower cannot see a cast or a padded batch that a float tower feels; this can.
"""

from __future__ import annotations

import random

import pytest
import torch

from plumbline.build import bits_of
from plumbline.certify import certify
from plumbline.interface import Budgets, Encoded, Item, Modality, Source, Tower
from plumbline.resolve import Subject, resolve
from plumbline.rig import build_rig
from plumbline.small_tower import FAMILIES, checkpoint, values
from tests.numerics.towers import tower_of

GRIDS = [(1, 2, 2), (1, 2, 4), (1, 4, 4), (1, 6, 4), (1, 2, 10), (1, 8, 8), (2, 4, 2), (3, 2, 2)]


@pytest.fixture(scope="module", params=FAMILIES)
def tower(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tower:
    found = tower_of(checkpoint(tmp_path_factory.mktemp("tower"), family=request.param))
    certificate = certify(found, row_counts=(*range(1, 40), 64, 200))
    assert certificate.invariant
    return found


def item(k: int, tower: Tower) -> Item:
    t, h, w = GRIDS[k % len(GRIDS)]
    modality = Modality.VIDEO if t > 1 else Modality.IMAGE
    layout = tower.spec.layouts[modality]
    patches = values((t * h * w, *layout.patch_shape), f"patches {k}")
    rows = h * w // 4 * (1 if layout.pools_frames else t)
    return Item(modality, Source.PIXELS, patches, ((0, rows),), torch.tensor([[t, h, w]]))


@pytest.mark.requirement("NUM-005")
@pytest.mark.parametrize("patches_per_call", [1, 48, 100_000])
def test_rows_are_the_reference_s_bits_around_a_float_tower(
    subject: Subject, tower: Tower, patches_per_call: int
) -> None:
    budgets = Budgets(0, patches_per_call, 100_000)
    items = [item(k, tower) for k in range(14)]
    random.Random(patches_per_call).shuffle(items)
    wanted = build_rig(resolve("reference").implementation, tower, tower.spec, budgets).encoder.encode(items)
    got = build_rig(subject.implementation, tower, tower.spec, budgets).encoder.encode(items)
    for k, (a, b) in enumerate(zip(wanted, got, strict=True)):
        assert isinstance(a, Encoded)
        assert isinstance(b, Encoded), f"item {k}: {b!r}"
        for level, (x, y) in enumerate(zip((a.rows, *a.side), (b.rows, *b.side), strict=True)):
            assert torch.equal(bits_of(x), bits_of(y)), (
                f"item {k}, side level {level}: up to {(x - y).abs().max()} apart"
            )
