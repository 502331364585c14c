"""A captured trace as a scenario: the same requests, spans, chunks, retractions, ends, epochs and budgets; made-up contents.

Counts (tokens, rows, patches, frames, chunks) stay as they were. Widths do not matter to any decision, so they are scaled
down: a patch has few values, a row few lanes. Equal digests get equal contents, different digests different ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from plumbline import closed_form
from plumbline.capture_file import (
    Abort,
    BadTrace,
    Encoded,
    Engine,
    Epoch,
    Finish,
    Item,
    Recording,
    Request,
    Retract,
    Settled,
    Step,
)
from plumbline.scenario import (
    ITEM_PATCHES,
    Act,
    Content,
    ExtraRecipe,
    GivenRecipe,
    ItemRecipe,
    RequestRecipe,
    Scenario,
    TowerRecipe,
)

WIDEST = 64
"""Values of a patch, and lanes of a row, that are kept as they were."""

PATCHES = 100_000
"""Of distinct items, in one replay."""


@dataclass(frozen=True)
class Replay:
    """notes: what of the trace is not in the scenario, or not as it was."""

    scenario: Scenario
    notes: tuple[str, ...]


def span_error(tokens: int, items: tuple[Item, ...]) -> str:
    """What ITEM-006 refuses in the spans of a request; empty if nothing."""
    end = 0
    for lo, hi in sorted(span for item in items for span in item.spans):
        if not 0 <= lo < hi <= tokens:
            return f"span [{lo}, {hi}) is empty or outside the {tokens} tokens"
        if lo < end:
            return f"span [{lo}, {hi}) overlaps another"
        end = hi
    return ""


def tower_of(engine: Engine) -> TowerRecipe:
    """The engine's layout, with narrow patches and rows."""
    narrow = math.prod(engine.patch_shape) <= WIDEST
    return TowerRecipe(
        hidden=engine.hidden if engine.hidden <= WIDEST and engine.hidden % 8 == 0 else 8,
        side_levels=engine.side_levels,
        image=engine.image,
        merge=engine.merge,
        patch_shape=engine.patch_shape if narrow else (3,),
        rows_per_tile=engine.rows_per_tile,
        row_dtype=engine.row_dtype if engine.row_dtype in closed_form.ROW_BITS else "bfloat16",
        pools_frames=engine.pools_frames,
    )


def row_error(tower: TowerRecipe, item: Item) -> str:
    """How an item's rows, by its layout, disagree with its spans; empty if they agree."""
    patches, recipe = sum(item.parts), ItemRecipe(item.modality, item.source, item.grid, item.parts)
    if item.source != "precomputed" and (item.grid is not None) != closed_form.has_grid(tower, item.modality):
        return f"a grid of {item.grid} for {item.modality}, where the layout says otherwise"
    if item.source != "precomputed" and item.grid is not None:
        frames, height, width = item.grid
        if patches != frames * height * width or height % tower.merge or width % tower.merge:
            return f"{patches} patches and the grid {item.grid}, merged by {tower.merge}"
    rows = closed_form.row_count(tower, recipe)
    return "" if rows == item.rows else f"{rows} rows for {item.rows} positions"


def scenario_of(recording: Recording, patches: int = PATCHES) -> Replay:
    """Up to the request with which the distinct items have more than ``patches``. Raises BadTrace if nothing is left."""
    builder = _Builder(recording, patches)
    for where, event in recording.events:
        if not builder.take(where, event):
            break
    if not builder.requests:
        hint = "raise --patches" if builder.stopped else "capture from the engine's start on"
        raise BadTrace("there is no request that can be replayed", where="the trace", hint=hint)
    return Replay(builder.scenario(), (*recording.notes, *builder.notes()))


class _Builder:
    def __init__(self, recording: Recording, patches: int) -> None:
        self.engine, self.tower = recording.engine, tower_of(recording.engine)
        self.patches = patches
        self.requests: list[RequestRecipe] = []
        self.acts: list[Act] = []
        self.admitted: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.numbers: dict[object, int] = {}
        self.sizes: dict[tuple[str, object], int] = {}
        self.stopped = ""
        self.left_out: dict[str, str] = {}
        self.unknown = 0
        failures = [(n, rows) for _, e in recording.events if isinstance(e, Encoded) for n, rows in e.items]
        encoded = {name for name, rows in failures if rows is not None}
        self.faulty = {name for name, rows in failures if rows is None} - encoded
        self.transient = sum(rows is None and name in encoded for name, rows in failures)
        self.unsettled, self.settles, self.late = 0, False, False
        self.outcomes = recording.outcomes()

    def take(self, where: str, event: object) -> bool:
        """False: the replay ends before this event."""
        if isinstance(event, Request):
            return self._request(where, event)
        if isinstance(event, Step):
            self.late |= self.unsettled > 0
            self.unsettled += 1
            self._step(where, event)
        elif isinstance(event, Settled):
            self.unsettled, self.settles = self.unsettled - 1, True
        elif isinstance(event, Epoch):
            self.acts.append(Act("epoch", event.epoch))
        elif isinstance(event, Retract | Abort | Finish):
            ends = not isinstance(event, Retract)
            index = self.admitted.pop(event.id, None) if ends else self.admitted.get(event.id)
            if index is None:
                self.unknown += event.id not in self.left_out
            else:
                self.acts.append(Act("finish" if ends else "retract", index))
        return True

    def _request(self, where: str, event: Request) -> bool:
        error = span_error(event.tokens, event.items)
        error = error or next((e for item in event.items if (e := row_error(self.tower, item))), "")
        error = error or ("its id is in use" if event.id in self.admitted else "")
        if error:
            self.left_out[event.id] = f"{where}: {error}"
            return True
        new = {(item.digest, item.metadata): sum(item.parts) for item in event.items} | self.sizes
        if sum(new.values()) > self.patches:
            self.stopped = where
            return False
        self.sizes = new
        self.left_out.pop(event.id, None)
        self.admitted[event.id] = len(self.requests)
        self.acts.append(Act("admit", len(self.requests)))
        items, spans = tuple(self._item(i) for i in event.items), tuple(i.spans for i in event.items)
        name = self.names.setdefault(event.id, f"r{len(self.names)}")
        self.requests.append(RequestRecipe(name, items, tokens=event.tokens, spans=spans))
        return True

    def _item(self, item: Item) -> ItemRecipe:
        given = None
        if item.key is not None or item.tenant is not None:
            tenant, key = self._number(("tenant", item.tenant)), self._number(("key", item.key))
            given = GivenRecipe(f"t{tenant}", f"k{key}", item.trusted)
        # A trusted key stands for one content, whatever the engine's digest of it was.
        number = self._number(given if given is not None and given.trusted else item.digest)
        return ItemRecipe(
            modality=item.modality,
            source=item.source,
            grid=item.grid,
            parts=item.parts,
            dtype=self.tower.row_dtype if item.source == "precomputed" else item.dtype,
            content=Content(number),
            extras=tuple(ExtraRecipe(name, self._number((name, v)), rows) for name, v, rows in sorted(item.extras)),
            given=given,
            fault=item.digest in self.faulty and item.source != "precomputed",
        )

    def _number(self, thing: object) -> int:
        return self.numbers.setdefault(thing, len(self.numbers))

    def _step(self, where: str, event: Step) -> None:
        chunks = []
        for (name, lo, hi), outcome in zip(event.chunks, self.outcomes[where], strict=True):
            index = self.admitted.get(name)
            if index is not None:
                chunks.append((index, lo, hi))
            elif isinstance(outcome, str):
                chunks.append((-1, lo, hi))
            else:
                self.unknown += name not in self.left_out
        if chunks or not event.chunks:
            self.acts.append(Act("step", chunks=tuple(chunks)))

    def scenario(self) -> Scenario:
        largest = max((sum(item.parts) for r in self.requests for item in r.items), default=0)
        return Scenario(
            tower=self.tower,
            requests=tuple(self.requests),
            cache_rows=self.engine.cache_rows,
            patches_per_call=self.engine.patches_per_call,
            prepare_together=False,
            eager_retract=False,
            settle_late=self.settles and self.late,
            script=tuple(self.acts),
            item_patches=max(ITEM_PATCHES, largest),
        )

    def notes(self) -> list[str]:
        engine, tower = self.engine, self.tower
        changed = [
            ("values of a patch", math.prod(engine.patch_shape), math.prod(tower.patch_shape)),
            ("lanes of a row", engine.hidden, tower.hidden),
            ("dtype of a row", engine.row_dtype, tower.row_dtype),
        ]
        said = [f"scaled: {what}, {a} to {b}" for what, a, b in changed if a != b]
        said += [f"a request is left out, {why}" for why in list(self.left_out.values())[:3]]
        if len(self.left_out) > 3:
            said.append(f"{len(self.left_out) - 3} more requests are left out for such reasons")
        if self.transient:
            said.append(
                f"{self.transient} times an item failed that was encoded at another time: here it does not fail"
            )
        if self.unknown:
            said.append(f"{self.unknown} chunks and calls are left out: their requests began before the capture")
        if self.stopped:
            said.append(f"replayed up to {self.stopped}, where the distinct items are too many (--patches)")
        return said
