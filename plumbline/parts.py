"""Single parts of an implementation, for tests that need no engine: built around the exact tower."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from plumbline.build import build_item, build_request
from plumbline.closed_form import lay_out
from plumbline.exact import ExactTower, exact_spec
from plumbline.interface import Budgets, Capability, Failure, Identity, Implementation, Item, Prepared, Ranks
from plumbline.judge_tower import families_of
from plumbline.resolve import Subject
from plumbline.rig import HostPort, Rig, build_rig
from plumbline.scenario import ITEM_PATCHES, Content, ItemRecipe, RequestRecipe, TowerRecipe

About = Callable[[str], AbstractContextManager[None]]
"""The fixture ``about``: what fails inside is about one requirement alone."""


def claimed(subject: Subject, *capabilities: Capability) -> None:
    """Skips a test of a core requirement that happens to use what the subject does not claim."""
    missing = [str(c) for c in capabilities if c not in subject.implementation.capabilities]
    if missing:
        pytest.skip(f"not claimed: {', '.join(missing)}")


def loads(subject: Subject, family: str, root: Path) -> None:
    """Skips a test of towers where the subject's own does not load that family. root: for small checkpoints."""
    if subject.implementation.tower is None:
        pytest.skip("no tower of its own")
    if family not in families_of(subject.implementation, root, HostPort()):
        pytest.skip("not a family of this tower")


def rig_of(
    implementation: Implementation,
    tower: TowerRecipe | None = None,
    cache_bytes: int = 1 << 20,
    patches: int = 64,
    ranks: Ranks | None = None,
) -> Rig:
    """All parts around an exact tower."""
    recipe = tower or TowerRecipe()
    spec = exact_spec(recipe)
    budgets = Budgets(cache_bytes, patches, ITEM_PATCHES)
    return build_rig(implementation, ExactTower(recipe, spec), spec, budgets, ranks=ranks)


def item_of(recipe: ItemRecipe, tower: TowerRecipe | None = None) -> Item:
    """One item, alone in a prompt."""
    tower = tower or TowerRecipe()
    return build_item(tower, recipe, lay_out(tower, RequestRecipe(items=(recipe,))).spans[0])


def image(seed: int, patches: int = 4, **changes: object) -> ItemRecipe:
    """An image of one row of patches."""
    return ItemRecipe(grid=(1, 1, patches), parts=(patches,), content=Content(seed), **changes)  # type: ignore[arg-type]


def identity_of(rig: Rig, item: Item) -> Identity:
    """Raises the item's error."""
    found = rig.identify([item])[0]
    if not isinstance(found, Identity):
        raise found
    return found


def digest_of(rig: Rig, recipe: ItemRecipe) -> bytes:
    return identity_of(rig, item_of(recipe)).digest


def prepared_of(rig: Rig, request: RequestRecipe, tower: TowerRecipe | None = None) -> Prepared:
    """Raises the request's error."""
    found = rig.prepare([build_request(tower or TowerRecipe(), request)])[0]
    if isinstance(found, Failure):
        raise found.error
    return found


def float_rows(seed: int, rows: int, hidden: int = 8) -> torch.Tensor:
    """[rows, hidden] float32, different for every seed."""
    return torch.arange(rows * hidden, dtype=torch.float32).view(rows, hidden) + 1000 * seed
