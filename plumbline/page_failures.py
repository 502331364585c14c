"""The failures of a report on its page: what is broken and why it matters, where, what happened, and how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from plumbline.consequences import before, case_key, first_shown, in_order, in_words, where_to_begin
from plumbline.markup import Html, tag
from plumbline.page_parts import chips, command
from plumbline.picture import draw
from plumbline.scenario import loads

Part = dict[str, Any]


def failures(report: Part) -> Html:
    """A section: what broke first comes first, and a case that shows several failures is shown once."""
    requirements = {r["id"]: r for r in report["requirements"]}
    found: list[Html] = []
    count = 0
    for number, implementation in enumerate(report["implementations"]):
        failed = in_order(implementation["requirements"])
        count += len(failed)
        if said := where_to_begin(failed):
            found.append(tag("p", " ".join(said), class_="begin"))
        shown = first_shown(failed)
        found += [_failed(implementation["name"], number, o, requirements[o["id"]], shown) for o in failed]
    return tag("section", tag("h2", "Failures ", tag("small", str(count))), *found, id="failures")


def _failed(name: str, number: int, outcome: Part, requirement: Part, shown: Mapping[str, str]) -> Html:
    title = tag(
        "h3", tag("a", outcome["id"], href=f"#{outcome['id']}"), " ", tag("small", f"{outcome['level']} · {name}")
    )
    sentence = tag("p", requirement["text"], class_="sentence")
    why = tag("p", tag("b", "Why: "), requirement["why"], class_="why")
    cases = [_failure(outcome["id"], number, failure, shown) for failure in outcome["failures"]]
    if len(cases) > 1:
        cases[1:] = [tag("details", tag("summary", f"{len(cases) - 1} more"), *cases[1:], class_="others")]
    return tag("article", title, sentence, why, *cases, class_="card failure", id=f"failed-{number}-{outcome['id']}")


def _failure(name: str, number: int, failure: Part, shown: Mapping[str, str]) -> Html:
    parts = [tag("p", f"The test: {in_words(failure['test'])}")] if failure["kind"] == "test" else []
    parts.append(tag("p", failure["message"], class_="message"))
    if failure["where"]:
        parts.append(tag("p", "At ", tag("code", " → ".join(failure["where"])), class_="where"))
    if earlier := before(name, failure):
        parts.append(tag("p", f"Before that, in the same run, broke {', '.join(earlier)}.", class_="earlier"))
    if failure["without"]:
        parts.append(tag("p", "Goes away with: ", chips(failure["without"], "cure"), class_="without"))
    first = shown.get(case_key(failure) or "", name)
    if first != name:
        same = tag("a", first, href=f"#failed-{number}-{first}")
        return tag("div", *parts, tag("p", "The case is that of ", same, ".", class_="earlier"), class_="case")
    parts += _case(failure)
    parts += [tag("p", "Repeat it", class_="label"), command(failure["replay"])]
    parts.append(tag("p", "Found by ", tag("code", failure["test"]), class_="found"))
    return tag("div", *parts, class_="case")


def _case(failure: Part) -> list[Html]:
    parts: list[Html] = []
    if failure["scenario"]:
        if failure["kind"] not in ("transport", "faults"):
            parts.append(_picture(failure["scenario"].get("scenario", failure["scenario"]), failure["story"]))
        if failure["story"]:
            parts.append(_story(failure["story"]))
        parts.append(tag("details", tag("summary", "Scenario"), tag("pre", tag("code", pretty(failure["scenario"])))))
    return parts


def _picture(scenario: Part, story: Part | None) -> Html:
    """An older report may hold a scenario that today's recipes do not read; its JSON still stands beside."""
    try:
        drawn = draw(loads(json.dumps(scenario)), story)
    except (ValueError, TypeError, KeyError, AssertionError, IndexError, AttributeError) as error:
        return tag("p", f"Not drawn: {error}", class_="note")
    return tag("figure", drawn, class_="picture", tabindex="0")


def _story(story: Part) -> Html:
    """What happened, in order; what was wrong stands where it happened."""
    again = (
        "What happened" if story["broken"] else "It ran once more, and nothing was wrong: it does not fail each time"
    )
    moments = [_moment(moment) for moment in story["moments"]]
    first = min(story["broken"].values(), default=len(moments))
    shown, rest = moments[: first + 1], moments[first + 1 :]
    steps = "moments steps" if story["ran"] else "moments"
    parts = [tag("p", again, class_="label"), tag("ol", *shown, class_=steps)]
    if rest:
        more = tag("ol", *rest, class_=steps, start=str(len(shown) + 1))
        parts.append(tag("details", tag("summary", f"{len(rest)} more moments, after the first wrong one"), more))
    return tag("div", *parts, class_="story")


def _moment(moment: Part) -> Html:
    lines = [tag("li", line) for line in moment["lines"]]
    lines += [tag("li", tag("b", "✗"), " ", line, class_="broke") for line in moment["wrong"]]
    inside = tag("ul", *lines) if lines else Html()
    return tag("li", moment["title"], inside, class_="wrong" if moment["wrong"] else None)


def pretty(value: object, indent: int = 0, width: int = 76) -> str:
    """JSON that breaks a line only where it does not fit."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= width or not isinstance(value, (dict, list)):
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        lines = [f"{pad}{json.dumps(k, ensure_ascii=False)}: {pretty(v, indent + 2, width)}" for k, v in value.items()]
    else:
        lines = [pad + pretty(v, indent + 2, width) for v in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{' ' * indent}{closing}"
