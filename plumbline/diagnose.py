"""Why rows were wrong or a valid request was refused: which simplification of the scenario makes it go away.

Each simplification removes one circumstance that a requirement says must not matter. If the verdict disappears with it,
that requirement was broken; if nothing makes it disappear, the plain case itself is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from plumbline import closed_form
from plumbline.bench import REFUSED, WRONG_ROWS
from plumbline.engine import run
from plumbline.interface import Implementation
from plumbline.judge import judge
from plumbline.scenario import ItemRecipe, Op, RequestRecipe, Scenario

Simplification = tuple[tuple[str, ...], str, Callable[[Scenario], Scenario]]


def _items(change: Callable[[ItemRecipe], ItemRecipe]) -> Callable[[Scenario], Scenario]:
    def apply(s: Scenario) -> Scenario:
        return _requests(lambda r: dataclasses.replace(r, items=tuple(change(i) for i in r.items)))(s)

    return apply


def _without(drop: Callable[[ItemRecipe], bool]) -> Callable[[Scenario], Scenario]:
    def apply(s: Scenario) -> Scenario:
        return _requests(lambda r: dataclasses.replace(r, items=tuple(i for i in r.items if not drop(i))))(s)

    return apply


def _requests(change: Callable[[RequestRecipe], RequestRecipe]) -> Callable[[Scenario], Scenario]:
    return lambda s: dataclasses.replace(s, requests=tuple(change(r) for r in s.requests))


def _set(**changes: object) -> Callable[[Scenario], Scenario]:
    return lambda s: dataclasses.replace(s, **changes)  # type: ignore[arg-type]


def _tower(**changes: object) -> Callable[[Scenario], Scenario]:
    return lambda s: dataclasses.replace(s, tower=dataclasses.replace(s.tower, **changes))  # type: ignore[arg-type]


def _no_op(*kinds: str) -> Callable[[Scenario], Scenario]:
    return lambda s: dataclasses.replace(s, ops=tuple(op for op in s.ops if op.kind not in kinds))


def _item(**changes: object) -> Callable[[Scenario], Scenario]:
    return _items(lambda i: dataclasses.replace(i, **changes))  # type: ignore[arg-type]


def _one_frame(s: Scenario) -> Scenario:
    def first(i: ItemRecipe) -> ItemRecipe:
        if not i.grid or i.grid[0] == 1:
            return i
        shared = s.tower.pools_frames and i.source == "precomputed"
        count = sum(i.parts) if shared else sum(i.parts) // i.grid[0]
        return dataclasses.replace(i, grid=(1, *i.grid[1:]), parts=(count,))

    return _items(first)(s)


def _frames_apart(s: Scenario) -> Scenario:
    """Rows that were computed before keep their number, and lose the grid that would ask for more."""
    bare = _items(lambda i: dataclasses.replace(i, grid=None) if i.source == "precomputed" else i)
    return _tower(pools_frames=False)(bare(s)) if s.tower.pools_frames else s


def _unique_names(s: Scenario) -> Scenario:
    return dataclasses.replace(
        s, requests=tuple(dataclasses.replace(r, name=f"r{k}") for k, r in enumerate(s.requests))
    )


def _retract_instead_of_epochs(s: Scenario) -> Scenario:
    """The engine does the same to requests, but the weights stay."""
    ops: list[Op] = []
    for op in s.ops:
        retracted = [dataclasses.replace(op, kind="retract", request=k) for k in range(len(s.requests))]
        ops += retracted if op.kind == "epoch" else [op]
    return dataclasses.replace(s, ops=tuple(ops))


def _one_dtype(i: ItemRecipe) -> ItemRecipe:
    return i if i.source == "precomputed" else dataclasses.replace(i, dtype="float32")


NO_CACHE, NO_EPOCH = "no cache", "no change of epoch"
NO_FENCE, NO_FAULT = "no fenced payloads", "no item that the tower fails on"
NO_HICCUP, NO_GONE = "no tower call that fails once", "no payload that is gone"

SIMPLIFICATIONS: list[Simplification] = [
    (("CACHE-001",), NO_CACHE, _set(cache_rows=0)),
    (("CACHE-006",), "a cache that holds everything", _set(cache_rows=100_000)),
    (("CHUNK-001",), "each prompt in one chunk", _set(chunks=(100_000,))),
    (("CHUNK-002",), "no prefix hits", _set(prefix_cache=False)),
    (("ENC-001",), "one request at a time", _set(running=1)),
    (("ENC-001",), "one item in each tower call", _set(patches_per_call=1)),
    (("ENC-001",), "everything in one tower call", _set(patches_per_call=100_000)),
    (("LIFE-001",), "no retraction", _no_op("retract")),
    (("CHUNK-001",), "a chunk of each request in each step", _set(seats=4)),
    (("LIFE-002",), "no abort", _no_op("abort")),
    (("LIFE-002",), "requests that end with their last chunk", _set(linger=0)),
    (("LIFE-003",), "no id used twice", _unique_names),
    (("LIFE-004",), "no second admission", _no_op("admit_twice")),
    (("LIFE-005",), "no call for unknown requests", _no_op("unknown")),
    (("LIFE-008",), "payloads present from the start", _set(lazy=False)),
    (("POOL-001",), "payloads that come by no transport", _set(transport=False)),
    (("LIFE-009",), NO_FENCE, _item(fence=False)),
    (("LIFE-012",), "each step settled before the next", _set(settle_late=False)),
    (("ENC-012",), NO_HICCUP, _set(hiccups=())),
    (("ENC-013",), NO_GONE, _item(gone=False)),
    (("ENC-006",), NO_FAULT, _without(lambda i: i.fault)),
    (("EPOCH-001",), NO_EPOCH, _retract_instead_of_epochs),
    (("EPOCH-002",), "requests retracted before an epoch changes", _set(eager_retract=True)),
    (("CHUNK-005",), "no bad chunks", _no_op("bad_chunk")),
    (("ISO-002",), "no malformed requests", _requests(lambda r: dataclasses.replace(r, malformed=""))),
    (("PREP-001", "PREP-002"), "no bundles", _requests(lambda r: dataclasses.replace(r, bundle=False))),
    (("IDENT-011",), "requests prepared one by one", _set(prepare_together=False)),
    (("ITEM-003",), "one span for each item", _item(pieces=1)),
    (("ITEM-001",), "spans listed in ascending order", _item(span_order="ascending")),
    (("ITEM-004",), "items listed in the order of the prompt", _requests(lambda r: dataclasses.replace(r, listing=0))),
    (("ITEM-004",), "items not interleaved", _requests(lambda r: dataclasses.replace(r, weave=False))),
    (("ITEM-005",), "no videos", _without(lambda i: i.modality == "video")),
    (("ENC-005",), "one frame in each video", _one_frame),
    (("ITEM-014", "ENC-005"), "frames that do not share rows", _frames_apart),
    (("ITEM-008",), "a placeholder id for each modality", _tower(shared_placeholder=False)),
    (("ITEM-009",), "no items without grids", _without(lambda i: i.grid is None and i.source != "precomputed")),
    (("ITEM-010",), "contiguous payloads", _item(strides="contiguous")),
    (("ITEM-011",), "no empty items", _without(lambda i: not sum(i.parts))),
    (("ITEM-012",), "no precomputed items", _without(lambda i: i.source == "precomputed")),
    (
        ("ITEM-013", "ENC-005"),
        "one tensor in each payload",
        _items(lambda i: dataclasses.replace(i, parts=(sum(i.parts),))),
    ),
    (("ENC-004",), "one dtype", _items(_one_dtype)),
    (("ENC-010",), "no side levels", _tower(side_levels=0)),
    (("ENC-011",), "no extras", _item(extras=())),
    (("IDENT-008", "IDENT-009"), "no caller keys", _item(given=None)),
    (("MERGE-002",), "placeholder ids inside the vocabulary", _tower(placeholder_beyond_vocabulary=False)),
    (("MOVE-001",), "a tower that does not move its input", _tower(moves_input=False)),
]

COMBINATIONS = [
    ("CACHE-002", {NO_CACHE, NO_EPOCH}),
    ("CACHE-010", {NO_CACHE, NO_FENCE}),
    ("CACHE-010", {NO_CACHE, NO_FAULT}),
]
"""Requirements about two circumstances at once: broken where either simplification helps."""

PLAIN = {WRONG_ROWS: "ITEM-001", REFUSED: "ISO-001"}


def diagnose(scenario: Scenario, implementation: Implementation, verdict: str) -> list[tuple[str, str]]:
    """(requirement, the simplification without which the verdict goes away), at least one."""
    found = []
    for requirements, name, simplify in SIMPLIFICATIONS:
        simpler = simplify(scenario)
        if simpler != scenario and _whole(simpler) and not _shows(simpler, implementation, verdict):
            found += [(requirement, name) for requirement in requirements]
    helped = {name for _, name in found}
    found += [(requirement, " or ".join(sorted(names))) for requirement, names in COMBINATIONS if names <= helped]
    if verdict == REFUSED and NO_EPOCH in helped:
        found.append(("LIFE-001", NO_EPOCH))  # weights refuse nobody; the retraction for their sake may
    if verdict == REFUSED or not found:
        found.insert(0, (PLAIN[verdict], ""))
    return list(dict.fromkeys(found))


def explained_by(scenario: Scenario, implementation: Implementation, verdict: str, known: set[str]) -> bool:
    """Whether a simplification that stands for a known requirement makes the verdict go away. Cheaper than all of them."""
    for requirements, _, simplify in SIMPLIFICATIONS:
        if known.intersection(requirements):
            simpler = simplify(scenario)
            if simpler != scenario and _whole(simpler) and not _shows(simpler, implementation, verdict):
                return True
    return False


def reasons_of(scenario: Scenario, implementation: Implementation, verdict: str) -> set[str]:
    """The requirements that ``diagnose`` names for a reason, or the plain one where it has no reason for any."""
    found = diagnose(scenario, implementation, verdict)
    return {requirement for requirement, without in found if without} or {PLAIN[verdict]}


def circumstances(scenario: Scenario) -> set[str]:
    """The requirements whose circumstance this scenario has, so that right rows are evidence for them."""
    present = [(r, name) for r, name, simplify in SIMPLIFICATIONS if simplify(scenario) != scenario]
    names = {name for _, name in present}
    combined = {requirement for requirement, both in COMBINATIONS if both <= names}
    return {PLAIN[WRONG_ROWS], *combined, *(r for requirements, _ in present for r in requirements)}


def _whole(scenario: Scenario) -> bool:
    """Whether recorded spans still have as many positions as their items have rows."""
    return all(
        [sum(hi - lo for lo, hi in spans) for spans in r.spans]
        == [closed_form.row_count(scenario.tower, i) for i in r.items]
        for r in scenario.requests
        if r.tokens
    )


def _shows(scenario: Scenario, implementation: Implementation, verdict: str) -> bool:
    trace = run(scenario, implementation)
    return any(v.requirement == verdict for v in judge(trace, implementation.capabilities).violations)
