"""Draws a scenario: the token strip of each request, whose rows lie where, how it is cut into chunks, what happens.

With the story of a run the chunks are those that were run, and the first wrong row is marked, with an arrow from the place
where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plumbline import closed_form
from plumbline.closed_form import Truth
from plumbline.item_names import name_of, names_of
from plumbline.markup import Html, tag
from plumbline.scenario import AFTER_FAILURE, ItemRecipe, Op, RequestRecipe, Scenario, seated

CELL, HEIGHT, LEFT, ACROSS = 16, 17, 30, 40
"""Width and height of a token, room for position numbers, tokens in a line. Pixels."""

WRONG = "#d1242f"
"""Legible on light and dark ground."""

_HATCHES = ("", "M0 17L16 0", "M0 0L16 17", "M0 17L16 0M0 0L16 17", "M0 8.5H16", "M8 0V17")

Planned = tuple[int, int, int]
"""Step, and the half-open range of positions that it prefills."""


@dataclass(frozen=True)
class Bracket:
    """A chunk below a strip. said: its step, and how it ended. hit: what lies before it was a prefix hit."""

    lo: int
    hi: int
    said: str
    hit: bool = False


def draw(scenario: Scenario, story: Mapping[str, Any] | None = None) -> Html:
    """An SVG element, readable on light and dark ground. Equal items share letter and colour; near-duplicates share the
    letter and have a number and a hatch of their own. story: plain data, as ``Story.data`` gives it."""
    names = names_of(scenario)
    ran = bool(story and story["ran"])
    lines = ran_lines(scenario, story["ran"]) if story and ran else planned_lines(scenario)
    canvas = _Canvas()
    for k in range(len(scenario.requests)):
        canvas.request(scenario, k, lines[k], names)
    if story and story["wrong"]:
        canvas.mark(scenario, story["wrong"])
    canvas.notes(scenario, names, ran)
    if story and story["wrong"]:
        canvas.line("framed: the first wrong row; dashed: where the row belongs that stands there", opacity="0.7")
    label = f"{len(scenario.requests)} requests, cut into chunks, with their items"
    return canvas.svg(label)


def planned_lines(scenario: Scenario) -> list[list[list[Bracket]]]:
    """[request][line below it] -> brackets: one line for each copy."""
    return [[[Bracket(lo, hi, str(step)) for step, lo, hi in chunks] for chunks in copies] for copies in plan(scenario)]


def ran_lines(scenario: Scenario, ran: Sequence[Mapping[str, Any]]) -> list[list[list[Bracket]]]:
    """[request][line below it] -> brackets: one line for each time that a copy started anew."""
    copies: list[dict[int, list[list[Bracket]]]] = [{} for _ in scenario.requests]
    for chunk in ran:
        lines = copies[chunk["request"]].setdefault(chunk["copy"], [])
        anew = not lines or chunk["hit"] or chunk["lo"] != lines[-1][-1].hi
        bracket = Bracket(chunk["lo"], chunk["hi"], f"{chunk['step']}{'' if chunk['ok'] else '✗'}", chunk["hit"])
        if anew:
            lines.append([])
        lines[-1].append(bracket)
    return [[line for _, lines in sorted(of.items()) for line in lines] for of in copies]


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
    leaves_at: dict[tuple[int, int, str, int], int] = {}
    while waiting or running:
        running = [entry for entry in running if leaves_at.get(entry, step + 1) > step]
        for entry in list(waiting):
            if len(running) < max(1, scenario.running) and entry[2] not in [other[2] for other in running]:
                waiting.remove(entry)
                running.append(entry)
        due = [entry for entry in sorted(running, key=order.index) if entry not in leaves_at]
        for entry in seated(due, scenario.seats, step):
            k, c, _, length = entry
            lo = chunks[k][c][-1][2] if chunks[k][c] else 0
            hi = min(lo + max(1, scenario.chunks[cursor % len(scenario.chunks)]), length)
            chunks[k][c].append((step, lo, hi))
            cursor += 1
            if hi == length:
                leaves_at[entry] = step + 1 + scenario.linger
                if not scenario.linger:
                    running.remove(entry)
        step += 1
    return chunks


class _Canvas:
    """Shapes from top to bottom. y: the next free line."""

    def __init__(self) -> None:
        self.shapes: list[Html] = []
        self.y = 0
        self.width = 300
        self.places: dict[tuple[int, int], tuple[int, int]] = {}
        """By request and position, the upper left corner of its cell."""

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
        number: int,
        lines: list[list[Bracket]],
        names: dict[Truth, tuple[int, int]],
    ) -> None:
        request = scenario.requests[number]
        prompt = closed_form.lay_out(scenario.tower, request)
        marks = [names[closed_form.truth(scenario.tower, item)] for item in request.items]
        self.line(_headline(scenario, request, len(prompt.token_ids), marks), font_weight="bold")
        for first in range(0, len(prompt.token_ids), ACROSS):
            last = min(first + ACROSS, len(prompt.token_ids))
            self.y += 13
            self.text(LEFT - 6, self.y + 12.5, str(first), text_anchor="end", opacity="0.65")
            for p in range(first, last):
                self.places[number, p] = LEFT + (p - first) * CELL, self.y
                self._token(prompt.owner, marks, p, LEFT + (p - first) * CELL)
            self.y += HEIGHT
            for line in lines:
                self._brackets(line, first, last)
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
            self.text(x + 1, self.y - 3, name_of(*marks[at[0]]), font_weight="bold", text_anchor="start")

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

    def _brackets(self, line: list[Bracket], first: int, last: int) -> None:
        """One bracket below the strip for each chunk, with the number of its step. Open where the chunk goes on."""
        y = self.y + 4
        for one in line:
            if one.hit and first < one.lo:
                b = LEFT + (min(one.lo, last) - first) * CELL - 1
                self.shapes.append(
                    tag(
                        "path", d=f"M{LEFT + 1} {y + 4}H{b}", stroke="currentColor", stroke_dasharray="2 3", fill="none"
                    )
                )
                self.text((LEFT + b) / 2, y + 13, "hit", text_anchor="middle", font_size="10", opacity="0.8")
            if one.lo >= last or one.hi <= first:
                continue
            a = LEFT + (max(one.lo, first) - first) * CELL + 1
            b = LEFT + (min(one.hi, last) - first) * CELL - 1
            path = (f"M{a} {y}v4" if one.lo >= first else f"M{a} {y + 4}") + f"H{b}" + ("v-4" if one.hi <= last else "")
            self.shapes.append(tag("path", d=path, stroke="currentColor", fill="none"))
            self.text((a + b) / 2, y + 13, one.said, text_anchor="middle", font_size="10", opacity="0.8")
        self.y += 19

    def mark(self, scenario: Scenario, wrong: Mapping[str, Any]) -> None:
        """The cell of the wrong row, and an arrow to it from the one whose row it is, if that is another one."""
        wanted, found = wrong["wanted"], wrong["found"]
        here = self.places[wanted["request"], wrong["position"]]
        there = self._place_of(scenario, found) if found else None
        frame = {"width": CELL, "height": HEIGHT, "fill": "none", "class_": "wrong", "stroke": WRONG}
        self.shapes.append(tag("rect", x=here[0], y=here[1], stroke_width="3", **frame))
        if there is None or there == here:
            return
        self.shapes.append(tag("rect", x=there[0], y=there[1], stroke_width="2", stroke_dasharray="3 2", **frame))
        x, y, to, at = there[0] + CELL / 2, there[1], here[0] + CELL / 2, here[1]
        bend = min(max(abs(to - x) / 4, 12), 26)  # no higher than the strip's headings
        start, end = (y + HEIGHT, at) if at > y else (y, at + HEIGHT) if at < y else (y, at)
        away = 0 if at != y else -bend
        path = f"M{x} {start}C{x} {start + (away or (end - start) / 2)} {to} {end + (away or (start - end) / 2)} {to} {end}"
        self.shapes.append(tag("path", d=path, fill="none", stroke=WRONG, stroke_width="2", class_="wrong"))
        tip = 5 if end == at else -5
        head = f"M{to - 4} {end - tip}L{to} {end}L{to + 4} {end - tip}"
        self.shapes.append(tag("path", d=head, fill="none", stroke=WRONG, stroke_width="2", class_="wrong"))

    def _place_of(self, scenario: Scenario, row: Mapping[str, Any]) -> tuple[int, int]:
        owner = closed_form.lay_out(scenario.tower, scenario.requests[row["request"]]).owner
        return self.places[row["request"], owner.index((row["item"], row["row"]))]

    def notes(self, scenario: Scenario, names: dict[Truth, tuple[int, int]], ran: bool) -> None:
        for op in sorted(scenario.ops, key=lambda op: op.step):
            when = "after the first failure" if op.step == AFTER_FAILURE else f"before step {op.step}"
            self.line(f"{when}: {_said(op, scenario)}", font_weight="bold")
        self.y += 4 if scenario.ops else 0
        items = {
            closed_form.truth(scenario.tower, i): i for r in reversed(scenario.requests) for i in reversed(r.items)
        }
        for truth, name in names.items():
            self.y += HEIGHT + 4
            self._cell(1, self.y - HEIGHT, *name)
            self.text(CELL + 7, self.y - 4.5, f"{name_of(*name)} {', '.join(_described(items[truth]))}")
        self.y += 4
        for line in _settings(scenario):
            self.line(line)
        self.line(f"cell: row of its item; bracket: chunk, with its step{'' if ran else ','}", opacity="0.7")
        if not ran:
            self.line("where nothing is hit, refused, retracted or aborted", opacity="0.7")


def _headline(scenario: Scenario, request: RequestRecipe, tokens: int, marks: list[tuple[int, int]]) -> str:
    parts = [f"{request.name}: {tokens} tokens"]
    empty = [
        name_of(*mark)
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
    if scenario.settle_late:
        yield "each step settled when the next has begun"
    if scenario.seats < scenario.running:
        yield f"chunks of {scenario.seats} requests in a step, in turns"
    if scenario.linger:
        yield f"requests stay for {scenario.linger} steps when they have all their rows"
    if scenario.hiccups:
        calls = ", ".join(map(str, scenario.hiccups))
        yield f"the tower fails in call {calls}; chunks sent again up to {scenario.retries} times"


def _said(op: Op, scenario: Scenario) -> str:
    if op.kind in ("retract", "abort") and scenario.requests:
        return f"{op.kind} {scenario.requests[op.request % len(scenario.requests)].name}"
    if op.kind == "epoch":
        return f"weights of epoch {op.epoch}"
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
    if item.fence:
        yield "fenced off when it is read"
    if item.gone:
        yield "its payload is gone"
    if item.on_device:
        yield "comes on the device, if there is one"
