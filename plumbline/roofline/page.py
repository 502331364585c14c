"""One static page of the model: no network, complete without JavaScript, which only adds a form with other sizes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import plumbline
from plumbline.markup import Html, join, tag
from plumbline.real_sizes import SIZES
from plumbline.roofline import units
from plumbline.roofline.ceilings import Ceilings
from plumbline.roofline.measured import FOLDER, Measured, measurements, spent
from plumbline.roofline.page_fleet import checks, fleets
from plumbline.roofline.page_form import form
from plumbline.roofline.presets import PRESETS, Preset
from plumbline.roofline.request import HBM, HOST, NVLINK, PCIE, WHY, Stage, model, total
from plumbline.roofline.tower import tower

HERE = Path(__file__).parent
SCRIPT = HERE / "page.js"
LINKS = (NVLINK, PCIE, HBM, HOST)
COLOURS = "abcdef"
SECTIONS = {
    "request": "One request",
    "sizes": "Other sizes",
    "measured": "Beside measurements",
    "spent": "Where time goes",
    "fleet": "Hosts x GPUs",
    "check": "Simulation",
    "ceilings": "Ceilings",
}


def data(ceilings: Ceilings) -> dict[str, Any]:
    """What the page's JavaScript calculates with."""
    return {"ceilings": asdict(ceilings), "towers": {family: asdict(tower(family)) for family in SIZES}}


def render(ceilings: Ceilings, *, requests: int = 40_000) -> Html:
    """The whole document. requests: of each simulation that paper is compared with."""
    style = (Path(plumbline.__file__).parent / "page.css", HERE / "page.css")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "Roofline · Plumbline"),
        tag("style", Html("\n".join(path.read_text(encoding="utf-8") for path in style))),
    )
    nav = tag("nav", *(tag("a", text, href=f"#{at}") for at, text in SECTIONS.items()), aria_label="Parts of this page")
    main = tag(
        "main",
        section("request", "One request, alone, at the ceilings", _presets(ceilings)),
        section("sizes", "Other sizes", form()),
        section("measured", "Floors beside what was measured", _measured(ceilings)),
        section("spent", "Where the measured time goes", _spent()),
        section("fleet", "Hosts x GPUs, on paper", fleets(ceilings)),
        section("check", "Paper against a simulation", checks(ceilings, requests)),
        section("ceilings", "Ceilings, and how the numbers come about", _ceilings(ceilings)),
    )
    embedded = json.dumps(data(ceilings)).replace("<", "\\u003c")
    scripts = [tag("script", Html(embedded), type="application/json", id="data")]
    scripts += [tag("script", Html((HERE / name).read_text(encoding="utf-8"))) for name in (SCRIPT.name, "form.js")]
    body = tag("body", _header(ceilings), nav, main, *scripts)
    return Html("<!doctype html>\n" + tag("html", head, body, lang="en") + "\n")


def section(at: str, title: str, content: Html) -> Html:
    return tag("section", tag("h2", title), content, id=at)


def _header(ceilings: Ceilings) -> Html:
    lead = (
        "What the vision path could take at best, from bytes over each link, operations on each unit, and ceilings that were "
        "measured. A floor is what a stage would take at its ceiling, with nothing in between: no launch, no message, no wait."
    )
    where = f"{ceilings.device}, torch {ceilings.torch}, driver {ceilings.driver}"
    return tag(
        "header",
        tag("p", "Plumbline", class_="eyebrow"),
        tag("h1", "Roofline"),
        tag("p", lead, class_="lead"),
        tag("p", where, class_="note"),
    )


KEY = tag(
    "p",
    tag("span", "floor", class_="floor"),
    tag("span", "measured, where a raw result has this very case", class_="measured"),
    class_="key",
)


def _presets(ceilings: Ceilings) -> Html:
    return join([KEY, tag("div", *(_preset(preset, ceilings) for preset in PRESETS), class_="presets")])


def _preset(preset: Preset, ceilings: Ceilings) -> Html:
    stages = model(preset.request, ceilings)
    found = [one for one in measurements() if one.fits(preset.request)]
    floor = f"floor {units.time(total(stages))}"
    summary = tag("summary", tag("b", preset.title), tag("span", floor))
    parts = [tag("p", preset.note, class_="note"), stage_table(stages)]
    if found:
        parts.append(tag("div", _beside(found, ceilings), class_="scroll measurements"))
    else:
        parts.append(tag("p", "Nothing of this very request was measured.", class_="note measurements"))
    return tag("details", summary, *parts, open=preset in PRESETS[:2])


def stage_table(stages: Sequence[Stage]) -> Html:
    most = max(stage.floor or 0.0 for stage in stages)
    rows = []
    for stage in stages:
        width = 100 * (stage.floor or 0.0) / most if most else 0.0
        cells = [tag("td", units.time(stage.floor), class_=_class(stage.floor == 0, "most" if width == 100 else ""))]
        cells += [gauge(width), tag("td", stage.bound if stage.floor else "", class_="words")]
        cells += [_amount(units.operations(sum(stage.operations.values())))]
        cells += [_amount(units.nbytes(stage.nbytes.get(link, 0.0))) for link in LINKS]
        rows.append(tag("tr", tag("th", stage.name, scope="row", title=stage.why), *cells))
    last = [tag("td", units.time(total(stages))), tag("td"), tag("td", "one after the other", class_="words")]
    last += [tag("td", units.operations(sum(sum(stage.operations.values()) for stage in stages)))]
    last += [tag("td", units.nbytes(sum(stage.nbytes.get(link, 0.0) for stage in stages))) for link in LINKS]
    foot = tag("tfoot", tag("tr", tag("th", "all", scope="row"), *last))
    return tag("div", tag("table", STAGE_HEAD, tag("tbody", *rows), foot, class_="numbers"), class_="scroll")


STAGE_HEAD = tag(
    "thead",
    tag(
        "tr",
        *(tag("th", text, scope="col") for text in ("stage", "floor")),
        tag("th", scope="col"),
        tag("th", "bound by", scope="col", class_="words"),
        *(tag("th", text, scope="col") for text in ("operations", *LINKS)),
    ),
)


def gauge(floor: float, measured: float | None = None) -> Html:
    """Percent of the column: a filled bar, in an outlined one."""
    outlined = [tag("u", style=f"width:{measured:.2f}%")] if measured is not None else []
    return tag("td", tag("span", tag("i", style=f"width:{floor:.2f}%"), *outlined), class_="gauge")


def _class(none: bool, otherwise: str = "") -> str | None:
    return "none" if none else otherwise or None


def _amount(text: str) -> Html:
    return tag("td", text, class_=_class(text == units.NONE))


def _measured(ceilings: Ceilings) -> Html:
    text = (
        "Every committed measurement of a case that the model has. Each outline is what was measured, its filling the part "
        "that the floor explains; the rest is the host's, launches, waits, and kernels below their ceiling. Small work is "
        "far from its floor, since it is bound by launches and by the host."
    )
    table = tag("div", _beside(measurements(), ceilings), class_="scroll")
    return join([tag("p", text, class_="note"), KEY, table])


def _beside(found: Iterable[Measured], ceilings: Ceilings) -> Html:
    titles = ("case", "", "of floor", "floor", "measured")
    head = [tag("th", text, scope="col") for text in titles]
    head += [tag("th", "stages", scope="col", class_="words")]
    rows = []
    for one in found:
        floor = total(model(one.request, ceilings), one.stages)
        cells = [gauge(100 * floor / one.microseconds, 100.0)]
        cells += [_amount(f"{one.microseconds / floor:.2f}" if floor else units.NONE)]
        cells += [tag("td", units.time(floor)), tag("td", units.time(one.microseconds))]
        cells += [tag("td", ", ".join(one.stages), class_="words")]
        rows.append(tag("tr", tag("th", one.case, scope="row", title=f"{FOLDER}/{one.source}"), *cells))
    return tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="numbers")


def _spent() -> Html:
    text = "Medians of parts that were timed on their own, and the kernels of one call as a profiler saw them."
    parts = [tag("p", text, class_="note")]
    for case in spent():
        shares = [(what, took, 100 * took / case.microseconds) for what, took in case.parts]
        coloured = list(zip(shares, COLOURS, strict=False))
        bar = (tag("i", style=f"width:{share:.2f}%;background:var(--{at})") for (_, _, share), at in coloured)
        words = (
            tag("li", f"{what} {units.time(took)}, {share:.0f} %", style=f"--at:var(--{at})")
            for (what, took, share), at in coloured
        )
        title = f"{case.case}: {units.time(case.microseconds)}"
        parts += [tag("h3", title), tag("div", *bar, class_="stack"), tag("ul", *words, class_="parts")]
    sources = ", ".join(dict.fromkeys(f"{FOLDER}/{case.source}" for case in spent()))
    return join([*parts, tag("p", f"From {sources}.", class_="note")])


def _ceilings(ceilings: Ceilings) -> Html:
    rows = []
    for name, rate in ceilings.rates.items():
        source = tag("code", rate.source) if rate.source else "no raw result"
        rows.append(_ceiling(name, units.rate(rate.value, rate.unit), rate.what, source))
    for name, table in ceilings.tables.items():
        points = [f"{size:,.0f}: {units.rate(rate, table.unit)}" for size, rate in table.points]
        what = f"{table.what}; by {table.by}, linear in the logarithm between, constant beyond"
        sources = join([tag("code", source) for source in table.sources], " ")
        rows.append(_ceiling(name, join([Html(point) for point in points], " | "), what, sources))
    head = [tag("th", "ceiling", scope="col")]
    head += [tag("th", text, scope="col", class_="words") for text in ("rate", "what was measured", "raw result")]
    shown = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="numbers sources")
    stages = (tag("div", tag("dt", name), tag("dd", text)) for name, text in WHY.items())
    return join(
        [tag("div", shown, class_="scroll"), tag("h3", "Stages", class_="label"), tag("dl", *stages, class_="whys")]
    )


def _ceiling(name: str, rate: str, what: str, source: str) -> Html:
    return tag("tr", tag("th", name, scope="row"), *(tag("td", text, class_="words") for text in (rate, what, source)))
