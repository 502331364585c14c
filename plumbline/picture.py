"""Draws a scenario: the token strip of each request, whose rows lie where, how it is cut into chunks, what happens."""

from __future__ import annotations

from collections.abc import Iterator

from plumbline import closed_form
from plumbline.closed_form import Truth
from plumbline.markup import Html, tag
from plumbline.scenario import ItemRecipe, Op, RequestRecipe, Scenario

CELL, HEIGHT, LEFT, ACROSS = 16, 17, 30, 40
"""Width and height of a token, room for position numbers, tokens in a line. Pixels."""

_HATCHES = ("", "M0 17L16 0", "M0 0L16 17", "M0 17L16 0M0 0L16 17", "M0 8.5H16", "M8 0V17")

Planned = tuple[int, int, int]
"""Step, and the half-open range of positions that it prefills."""


def draw(scenario: Scenario) -> Html:
    """An SVG element, readable on light and dark ground. Equal items share letter and colour; near-duplicates share the
    letter and have a number and a hatch of their own."""
    names = _names(scenario)
    planned = plan(scenario)
    canvas = _Canvas()
    for k, request in enumerate(scenario.requests):
        canvas.request(scenario, request, planned[k], names)
    canvas.notes(scenario, names)
    label = f"{len(scenario.requests)} requests, cut into chunks, with their items"
    return canvas.svg(label)


def _names(scenario: Scenario) -> dict[Truth, tuple[int, int]]:
    """For each distinct item: the family of its near-duplicates, and which of the family it is."""
    families: dict[int, list[Truth]] = {}
    for request in scenario.requests:
        for item in request.items:
            known = families.setdefault(item.content.seed, [])
            truth = closed_form.truth(scenario.tower, item)
            if all(truth not in family for family in families.values()):
                known.append(truth)
    used = [family for family in families.values() if family]
    return {truth: (f, v) for f, family in enumerate(used) for v, truth in enumerate(family)}


def _name(family: int, variant: int) -> str:
    letter = chr(ord("A") + family) if family < 26 else f"I{family}"
    return letter + (str(variant + 1) if variant else "")


def plan(scenario: Scenario) -> list[list[list[Planned]]]:
    """[request][copy] -> chunks, as the engine cuts them where nothing is hit, refused, retracted or aborted."""
    chunks: list[list[list[Planned]]] = [[[] for _ in range(r.copies)] for r in scenario.requests]
    waiting = [
        (k, c, f"{r.name}#{c}", len(closed_form.lay_out(scenario.tower, r).token_ids))
        for k, r in enumerate(scenario.requests)
        for c in range(r.copies)
        if not r.malformed
    ]
    order, cursor, step = list(waiting), 0, 0
    running: list[tuple[int, int, str, int]] = []
    while waiting or running:
        for entry in list(waiting):
            if len(running) < max(1, scenario.running) and entry[2] not in [other[2] for other in running]:
                waiting.remove(entry)
                running.append(entry)
        for entry in sorted(running, key=order.index):
            k, c, _, length = entry
            lo = chunks[k][c][-1][2] if chunks[k][c] else 0
            hi = min(lo + max(1, scenario.chunks[cursor % len(scenario.chunks)]), length)
            chunks[k][c].append((step, lo, hi))
            cursor += 1
            if hi == length:
                running.remove(entry)
        step += 1
    return chunks


class _Canvas:
    """Shapes from top to bottom. y: the next free line."""

    def __init__(self) -> None:
        self.shapes: list[Html] = []
        self.y = 0
        self.width = 300

    def svg(self, label: str) -> Html:
        return tag(
            "svg",
            *self.shapes,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {self.width} {self.y}",
            width=self.width,
            height=self.y,
            role="img",
            aria_label=label,
            font_family="ui-monospace, monospace",
            font_size="11",
        )

    def text(self, x: float, y: float, *content: str, **attributes: object) -> None:
        self.shapes.append(tag("text", *content, x=x, y=y, **{"fill": "currentColor", **attributes}))
        if "text_anchor" not in attributes:
            self.width = max(self.width, int(x + 6.8 * sum(map(len, content))) + 4)

    def line(self, text: str, **attributes: object) -> None:
        self.y += 15
        self.text(0, self.y - 3, text, **attributes)

    def request(
        self,
        scenario: Scenario,
        request: RequestRecipe,
        copies: list[list[Planned]],
        names: dict[Truth, tuple[int, int]],
    ) -> None:
        prompt = closed_form.lay_out(scenario.tower, request)
        marks = [names[closed_form.truth(scenario.tower, item)] for item in request.items]
        self.line(_headline(scenario, request, len(prompt.token_ids), marks), font_weight="bold")
        for first in range(0, len(prompt.token_ids), ACROSS):
            last = min(first + ACROSS, len(prompt.token_ids))
            self.y += 13
            self.text(LEFT - 6, self.y + 12.5, str(first), text_anchor="end", opacity="0.65")
            for p in range(first, last):
                self._token(prompt.owner, marks, p, LEFT + (p - first) * CELL)
            self.y += HEIGHT
            for chunks in copies:
                self._brackets(chunks, first, last)
            self.width = max(self.width, LEFT + (last - first) * CELL + 2)
        self.y += 8

    def _token(self, owner: tuple[tuple[int, int] | None, ...], marks: list[tuple[int, int]], p: int, x: int) -> None:
        at = owner[p]
        if at is None:
            place = {"x": x, "y": self.y, "width": CELL, "height": HEIGHT}
            self.shapes.append(tag("rect", **place, fill="none", stroke="currentColor", stroke_opacity="0.3"))
            return
        self._cell(x, self.y, *marks[at[0]])
        self.text(x + CELL / 2, self.y + 12.5, str(at[1]), text_anchor="middle", fill="#1a1a1a", font_size="10")
        before = owner[p - 1] if p else None
        if before is None or before[0] != at[0] or x == LEFT:
            self.text(x + 1, self.y - 3, _name(*marks[at[0]]), font_weight="bold", text_anchor="start")

    def _cell(self, x: int, y: int, family: int, variant: int) -> None:
        colour = f"hsl({(205 + family * 137) % 360} 62% {84 if variant else 70}%)"
        place = {"x": x, "y": y, "width": CELL, "height": HEIGHT}
        self.shapes.append(tag("rect", **place, fill=colour, stroke="#1a1a1a", stroke_opacity="0.5"))
        hatch = _HATCHES[min(variant, len(_HATCHES) - 1)]
        if hatch:
            moved = f"translate({x} {y})"
            self.shapes.append(
                tag("path", d=hatch, transform=moved, stroke="#1a1a1a", stroke_opacity="0.4", fill="none")
            )

    def _brackets(self, chunks: list[Planned], first: int, last: int) -> None:
        """One bracket below the strip for each chunk, with the number of its step. Open where the chunk goes on."""
        y = self.y + 4
        for step, lo, hi in chunks:
            if lo >= last or hi <= first:
                continue
            a = LEFT + (max(lo, first) - first) * CELL + 1
            b = LEFT + (min(hi, last) - first) * CELL - 1
            path = (f"M{a} {y}v4" if lo >= first else f"M{a} {y + 4}") + f"H{b}" + ("v-4" if hi <= last else "")
            self.shapes.append(tag("path", d=path, stroke="currentColor", fill="none"))
            self.text((a + b) / 2, y + 13, str(step), text_anchor="middle", font_size="10", opacity="0.8")
        self.y += 19

    def notes(self, scenario: Scenario, names: dict[Truth, tuple[int, int]]) -> None:
        for op in sorted(scenario.ops, key=lambda op: op.step):
            self.line(f"before step {op.step}: {_said(op, scenario)}", font_weight="bold")
        self.y += 4 if scenario.ops else 0
        items = {
            closed_form.truth(scenario.tower, i): i for r in reversed(scenario.requests) for i in reversed(r.items)
        }
        for truth, name in names.items():
            self.y += HEIGHT + 4
            self._cell(1, self.y - HEIGHT, *name)
            self.text(CELL + 7, self.y - 4.5, f"{_name(*name)} {', '.join(_described(items[truth]))}")
        self.y += 4
        for line in _settings(scenario):
            self.line(line)
        self.line("cell: row of its item; bracket: chunk, with its step,", opacity="0.7")
        self.line("where nothing is hit, refused, retracted or aborted", opacity="0.7")


def _headline(scenario: Scenario, request: RequestRecipe, tokens: int, marks: list[tuple[int, int]]) -> str:
    parts = [f"{request.name}: {tokens} tokens"]
    empty = [
        _name(*mark)
        for mark, item in zip(marks, request.items, strict=True)
        if not closed_form.row_count(scenario.tower, item)
    ]
    parts += [f"sent {request.copies} times"] if request.copies > 1 else []
    parts += [f"without rows: {' '.join(empty)}"] if empty else []
    parts += [f"malformed: {request.malformed}"] if request.malformed else []
    return ", ".join(parts)


def _settings(scenario: Scenario) -> Iterator[str]:
    yield f"cache of {scenario.cache_rows} rows, tower calls of {scenario.patches_per_call} patches"
    running = "one request at a time" if scenario.running == 1 else f"up to {scenario.running} requests at a time"
    prefixes = "prefix cache" if scenario.prefix_cache else "no prefix cache"
    yield ", ".join([running, prefixes, *(["lazy payloads"] if scenario.lazy else [])])


def _said(op: Op, scenario: Scenario) -> str:
    if op.kind in ("retract", "abort") and scenario.requests:
        return f"{op.kind} {scenario.requests[op.request % len(scenario.requests)].name}"
    if op.kind == "epoch":
        return f"weights of epoch {op.request % 3}"
    return op.kind.replace("_", " ")


def _described(item: ItemRecipe) -> Iterator[str]:
    """What tells the item from its near-duplicates."""
    yield item.modality
    yield "×".join(map(str, item.grid)) if item.grid else f"parts {'+'.join(map(str, item.parts))}"
    yield item.dtype
    edit = f" {item.content.edit} at {item.content.at}" if item.content.edit != "none" else ""
    yield f"content {item.content.seed}{edit}"
    if item.source != "pixels":
        yield item.source
    for extra in item.extras:
        yield f"{extra.name}={extra.value}"
    if item.given:
        yield f"{'trusted' if item.given.trusted else 'verified'} key {item.given.tenant}/{item.given.key}"
    if item.fault:
        yield "the tower fails on it"
