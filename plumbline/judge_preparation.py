"""Judges what preparation gave: results, items, identities and prefix keys."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from plumbline import closed_form
from plumbline.bench import REFUSED, Bench
from plumbline.build import bits_of, listed, payload_of
from plumbline.interface import Failure, Prepared
from plumbline.judge_work import fingerprint
from plumbline.malformed import FAULTS
from plumbline.requirements import requirements
from plumbline.scenario import ItemRecipe, TowerRecipe
from plumbline.trace import Crash, Submission


class PreparationJudge(Bench):
    def go(self) -> None:
        for submission in self.trace.submissions:
            self.submission(submission)
        self.identities()
        self.prefix_keys()

    def submission(self, s: Submission) -> None:
        where = f"request {s.request.request_id}"
        if isinstance(s.result, Crash):
            if s.broken:
                f = FAULTS[s.fault]
                self.check(f.requirement, False, f"{s.fault}: prepare raised {s.result.error!r}")
            self.crash(s.result, harmless=s.broken)
            return
        if not self.check("PREP-006", s.result is not None, f"{where} got no result of its own"):
            return
        self.check("PREP-012", not s.changed, f"{where}: {s.changed}")
        result_id = getattr(s.result, "request_id", None)
        self.check("PREP-006", result_id == s.request.request_id, f"{where} got the result of {result_id}")
        if s.broken:
            self._refusal(s, where)
        elif isinstance(s.result, Failure):
            if not self.may_refuse(s.recipe, s.result.error):
                self.check(REFUSED, False, f"{where} is valid and was refused: {s.result.error!r}")
        elif isinstance(s.result, Prepared):
            self.check("ISO-001", True)
            self._prepared(s, s.result, where)

    def _refusal(self, s: Submission, where: str) -> None:
        expected = FAULTS[s.fault]
        names = " or ".join(e.__name__ for e in expected.errors)
        got = s.result.error if isinstance(s.result, Failure) else None
        if got is not None and self.may_refuse(s.recipe, got, requirements()[expected.requirement].needs):
            return
        came = repr(got) if got else "a prepared request"
        said = f"{where} ({s.fault}) must be refused with {names}, got {came}"
        self.check(expected.requirement, isinstance(got, expected.errors), said)
        if got is not None:
            self.check("ISO-003", bool(got.what and got.where), f"{where}: the error says too little: {got!r}")

    def _prepared(self, s: Submission, p: Prepared, where: str) -> None:
        self.check("PREP-003", torch.equal(p.token_ids, s.request.token_ids), f"{where}: the token ids changed")
        recipes = [s.recipe.items[i] for i in listed(s.recipe)]
        spans = closed_form.lay_out(self.tower, s.recipe).spans
        count = f"{where} has {len(p.items)} items and {len(p.identities)} identities for {len(recipes)} images"
        if not self.check("PREP-001", len(p.items) == len(p.identities) == len(recipes), count):
            return
        for k, (item, recipe) in enumerate(zip(p.items, recipes, strict=True)):
            at = f"{where}, item {k}"
            split = "PREP-002" if recipe.source == "precomputed" else "PREP-001"
            self.check(split, item.spans == spans[listed(s.recipe)[k]], f"{at} has spans {item.spans}")
            parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
            wanted = payload_of(self.tower, recipe)
            same = len(parts) == len(wanted) and all(
                isinstance(a, Tensor)
                and a.dtype is b.dtype
                and a.shape == b.shape
                and torch.equal(bits_of(a), bits_of(b))
                for a, b in zip(parts, wanted, strict=False)
            )
            self.check(split, same, f"{at} does not have its own payload")
            self._metadata(item.grid_thw, recipe, at)
            extras = {e.name: e.value for e in recipe.extras}
            got = {n: _plain(e.value) for n, e in item.extras.items() if n in extras}
            if recipe.extras:
                self.check("PREP-005", got == extras, f"{at} has extras {got} for {extras}")
            if recipe.given:
                keys = [(g.tenant, g.key) for g in item.given]
                self.check(
                    "PREP-001", keys == [(recipe.given.tenant, recipe.given.key)], f"{at} has caller keys {keys}"
                )
        if not self.trace.scenario.prepare_together:
            self.check(
                "PREP-011",
                s.identified == len(recipes),
                f"{where}: {s.identified} identifications, {len(recipes)} items",
            )

    def _metadata(self, grid: Tensor | None, recipe: ItemRecipe, at: str) -> None:
        if recipe.grid is None:
            self.check("PREP-004", grid is None, f"{at} got a grid")
            return
        good = grid is not None and grid.dtype is torch.int64 and grid.device.type == "cpu" and grid.shape == (1, 3)
        if self.check("PREP-004", good, f"{at} has grid {grid!r}"):
            assert grid is not None
            self.check(
                "PREP-001", tuple(grid[0].tolist()) == recipe.grid, f"{at} has grid {grid.tolist()}, not {recipe.grid}"
            )

    # -- identity

    def _identified(self) -> Iterator[tuple[str, ItemRecipe, bytes]]:
        for s in self.trace.submissions:
            if isinstance(s.result, Prepared) and not s.broken and len(s.result.identities) == len(s.recipe.items):
                for k, i in enumerate(listed(s.recipe)):
                    yield f"{s.request.request_id}, item {k}", s.recipe.items[i], s.result.identities[k].digest

    def identities(self) -> None:
        by_truth: dict[object, tuple[str, ItemRecipe, bytes]] = {}
        by_digest: dict[bytes, tuple[str, ItemRecipe, object]] = {}
        for where, item, digest in self._identified():
            truth = closed_form.truth(self.tower, item)
            self.check(
                "IDENT-001",
                isinstance(digest, bytes) and len(digest) >= 16,
                f"{where} has a digest of {len(digest)} bytes",
            )
            if truth in by_truth:
                other, first, expected = by_truth[truth]
                self._equal(where, item, other, first, digest == expected)
            by_truth.setdefault(truth, (where, item, digest))
            if digest in by_digest and by_digest[digest][2] != truth:
                other, first, _ = by_digest[digest]
                for requirement in _difference(self.tower, first, item):
                    self.check(requirement, False, f"{where} and {other} differ and have one digest")
            elif digest not in by_digest:
                for _, first, _ in list(by_digest.values())[-4:]:
                    for requirement in _difference(self.tower, first, item):
                        self.check(requirement, True)
            by_digest.setdefault(digest, (where, item, truth))

    def _equal(self, where: str, item: ItemRecipe, other: str, first: ItemRecipe, same: bool) -> None:
        requirement = "IDENT-002"
        if {e for e in item.extras if not e.affects_rows} != {e for e in first.extras if not e.affects_rows}:
            requirement = "IDENT-005"
        elif item.source != first.source:
            requirement = "IDENT-006"
        elif (
            item.given
            and item.given.trusted
            and closed_form.bits(self.tower, item) != closed_form.bits(self.tower, first)
        ):
            requirement = "IDENT-008"
        self.check(requirement, same, f"{where} and {other} are equal and have two digests")

    def prefix_keys(self) -> None:
        seen: list[tuple[str, list[int], tuple[object, ...]]] = []
        for s in self.trace.submissions:
            if not isinstance(s.result, Prepared) or s.broken:
                continue
            where, keys = f"request {s.request.request_id}", s.result.prefix_keys
            shape = isinstance(keys, Tensor) and keys.dtype is torch.int64 and keys.device.type == "cpu"
            if not self.check(
                "PREFIX-004", shape and keys.shape == s.request.token_ids.shape, f"{where}: {keys.dtype} {keys.shape}"
            ):
                continue
            truths = closed_form.position_truths(self.tower, s.recipe)
            values = keys.tolist()
            text = [k for k, t in enumerate(truths) if isinstance(t, int)]
            images = [k for k, t in enumerate(truths) if not isinstance(t, int)]
            self.check(
                "PREFIX-001", all(values[k] == truths[k] for k in text), f"{where}: a text position has another key"
            )
            outside = all(not 0 <= values[k] < 2**31 for k in images)
            self.check("PREFIX-004", outside, f"{where}: a placeholder's key is a possible token id")
            for other, other_values, other_truths in seen:
                self._prefixes(where, values, truths, other, other_values, other_truths)
            seen.append((where, values, truths))

    def _prefixes(
        self,
        a: str,
        keys_a: list[int],
        truths_a: tuple[object, ...],
        b: str,
        keys_b: list[int],
        truths_b: tuple[object, ...],
    ) -> None:
        length = min(len(keys_a), len(keys_b))
        same_keys = next((k for k in range(length) if keys_a[k] != keys_b[k]), length)
        same_truths = next((k for k in range(length) if truths_a[k] != truths_b[k]), length)
        said = f"{a} and {b} have equal keys over {same_keys} positions and equal content over {same_truths}"
        self.check("PREFIX-002", same_keys <= same_truths, said)
        self.check("PREFIX-003", same_keys >= same_truths, said)


def _plain(value: object) -> object:
    return tuple(value.tolist()) if isinstance(value, Tensor) else value


def _difference(tower: TowerRecipe, a: ItemRecipe, b: ItemRecipe) -> list[str]:
    """The requirements that forbid two different items to share a digest."""
    if bool(a.given) != bool(b.given):
        return ["IDENT-010"]
    found = []
    if a.given and b.given:
        if a.given.tenant != b.given.tenant:
            return ["ISO-005"]
        if a.given.trusted and b.given.trusted:
            return ["IDENT-008"]
        if a.given.key != b.given.key:
            return ["IDENT-008"] if a.given.trusted or b.given.trusted else []
        found.append("IDENT-009")
    same_bytes = fingerprint(tower, a)[5] == fingerprint(tower, b)[5]
    found.append("IDENT-004" if same_bytes else "IDENT-003")
    return found
