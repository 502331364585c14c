"""The report as one static page: no network, complete without JavaScript, everything from the report escaped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from plumbline.markup import Html, join, tag
from plumbline.page_failures import failures
from plumbline.page_parts import chips, command
from plumbline.page_photos import photos

Part = dict[str, Any]
STYLE = Path(__file__).with_name("page.css")

STATUSES = {
    "held": ("✓", "held"),
    "failed": ("✗", "failed"),
    "deviation": ("≈", "deviation"),
    "not-claimed": ("–", "not claimed"),
    "not-run": ("○", "not run"),
}
"""Symbol and words of each status; its colour is the style sheet's. No two share any of the three."""

_FILTERS = {
    "all": "all",
    "failed": "failed",
    "deviation": "deviations",
    "not-claimed": "not claimed",
    "not-run": "not run",
    "held": "held",
}


def render(report: Part) -> Html:
    """The whole document. report: as ``plumbline.report.validate`` accepts it."""
    failed = any(outcome["status"] == "failed" for i in report["implementations"] for outcome in i["requirements"])
    links = {"implementations": "Implementations", "failures": "Failures" if failed else None}
    links |= {"photos": "Photos" if report["photos"] else None, "requirements": "Requirements", "reach": "Reach"}
    links |= {"environment": "Environment"}
    main = [_summaries(report), failures(report) if failed else Html(), photos(report["photos"])]
    main += [_matrix(report), _reach(report["implementations"]), _environment(report)]
    names = ", ".join(i["name"] for i in report["implementations"])
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{names}: {report['verdict']} · Plumbline"),
        tag("style", Html(STYLE.read_text(encoding="utf-8"))),
    )
    nav = tag(
        "nav", *(tag("a", text, href=f"#{at}") for at, text in links.items() if text), aria_label="Parts of this page"
    )
    body = tag("body", _header(report), nav, tag("main", *main))
    return Html("<!doctype html>\n") + tag("html", head, body, lang="en") + "\n"  # type: ignore[return-value]


def _badge(status: str) -> Html:
    symbol, words = STATUSES[status]
    return tag("span", tag("b", symbol, aria_hidden="true"), " ", words, class_=f"status {status}")


def _verdict(verdict: str) -> Html:
    return tag("span", "✓ conforms" if verdict == "conforms" else "✗ fails", class_=f"verdict {verdict}")


def _facts(facts: dict[str, str | None], **attributes: object) -> Html:
    rows = (tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items() if value is not None)
    return tag("dl", *rows, **attributes)


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 100 else f"{seconds:.3g} s"


def _header(report: Part) -> Html:
    run, suite = report["run"], report["suite"]
    started = run["started"].replace("T", " ").split(".")[0].removesuffix("Z").removesuffix("+00:00")
    facts = {"started": f"{started} UTC", "took": _seconds(run["seconds"]), "profile": run["profile"]}
    facts |= {"seed": str(run["seed"]), "suite": suite["version"], "commit": suite["commit"] and suite["commit"][:12]}
    facts["conformance.md"] = suite["conformance_sha256"][:12]
    return tag(
        "header",
        tag("p", "Plumbline conformance", class_="eyebrow"),
        tag("h1", _verdict(report["verdict"])),
        *(tag("p", tag("b", i["name"]), f" {_sentence(i)}", class_="lead") for i in report["implementations"]),
        _facts(facts, class_="line"),
        command(run["command"]),
    )


def _counts(implementation: Part) -> Counter[str]:
    return Counter(outcome["status"] for outcome in implementation["requirements"])


def _sentence(implementation: Part) -> str:
    n = _counts(implementation)
    rest = [f"{n[status]} {STATUSES[status][1]}" for status in ("deviation", "not-claimed", "not-run") if n[status]]
    start = f"fails {n['failed']} and holds {n['held']}" if n["failed"] else f"holds {n['held']}"
    return f"{start} of {n.total()} requirements" + (f"; {', '.join(rest)}" if rest else "") + "."


# -------------------------------------------------------------------------------------------------- implementations


def _summaries(report: Part) -> Html:
    needed = list(dict.fromkeys(r["needs"] for r in report["requirements"] if r["needs"]))
    cards = [_summary(i, needed) for i in report["implementations"]]
    return tag("section", tag("h2", "Implementations"), tag("div", *cards, class_="cards"), id="implementations")


def _summary(implementation: Part, needed: list[str]) -> Html:
    n, work, claims = _counts(implementation), implementation["workloads"], implementation["capabilities"]
    title = tag(
        "h3",
        implementation["name"],
        " ",
        tag("small", implementation["version"]),
        " ",
        _verdict(implementation["verdict"]),
    )
    bar = tag(
        "div",
        *(tag("i", class_=status, style=f"flex-grow:{n[status]}") for status in STATUSES if n[status]),
        class_="share",
        aria_hidden="true",
    )
    counts = tag(
        "p", join((tag("span", tag("b", str(n[s])), " ", _badge(s)) for s in STATUSES if n[s]), " "), class_="counts"
    )
    filled = Html()
    if implementation["filled"]:
        filled = tag(
            "p",
            tag("b", "Filled in from the reference: "),
            chips(implementation["filled"]),
            " These parts are not this implementation’s own.",
            class_="filled",
        )
    failure = work["first_failure"]
    ran = f"{work['cases']:,} cases in {_seconds(work['seconds'])}, {work['cases_per_second']:,.0f} a second"
    ran += f"; first failure after {_seconds(failure)}" if failure is not None else ""
    facts: dict[str, str | None] = {
        "spec": tag("code", implementation["spec"]),
        "replaced": join((tag("code", r) for r in implementation["replaced"]), " ")
        if implementation["replaced"]
        else None,
        "claims": chips(claims),
        "does not claim": chips([name for name in needed if name not in claims], "off"),
        "keeps of a lazy payload": chips([implementation["retention"]]) if "lazy" in claims else None,
        "workloads": ran,
    }
    return tag("article", title, bar, counts, filled, _facts(facts), class_="card")


# ----------------------------------------------------------------------------------------------------- requirements


def _matrix(report: Part) -> Html:
    implementations = report["implementations"]
    outcomes = [{o["id"]: o for o in i["requirements"]} for i in implementations]
    sections = dict.fromkeys(r["section"] for r in report["requirements"])
    choices = (
        tag("label", tag("input", type="radio", name="show", id=f"show-{key}", checked=key == "all"), " ", words)
        for key, words in _FILTERS.items()
    )
    blocks = []
    for section in sections:
        rows = [_row(r, implementations, outcomes) for r in report["requirements"] if r["section"] == section]
        names = (tag("span", i["name"]) for i in implementations)
        head = tag("div", tag("h3", section), *names, class_="row head")
        blocks.append(tag("section", head, *rows, class_="group"))
    return tag(
        "section",
        tag("h2", "Requirements ", tag("small", str(len(report["requirements"])))),
        _overview(implementations),
        tag("fieldset", tag("legend", "Show"), *choices, class_="filter"),
        tag("div", *blocks, class_="matrix", style=f"--n:{len(implementations)}"),
        id="requirements",
    )


def _overview(implementations: list[Part]) -> Html:
    columns = {"held": "held", "claimed": "claimed", "all": "all", "failed": "failed", "not run": "not_run"}
    first = tag(
        "tr", tag("td"), *(tag("th", i["name"], colspan=len(columns), scope="colgroup") for i in implementations)
    )
    second = tag(
        "tr", tag("th", "Section", scope="col"), *(tag("th", c, scope="col") for _ in implementations for c in columns)
    )
    sections = [{s["section"]: s for s in i["sections"]} for i in implementations]
    names = list(dict.fromkeys(name for of in sections for name in of))
    rows = []
    for name in [*names, None]:
        cells = []
        for of in sections:
            chosen = [s for s in of.values() if name is None or s["section"] == name]
            for key in columns.values():
                count = sum(s[key] for s in chosen)
                kind = f"{key} some" if count and key in ("failed", "not_run") else key if count else f"{key} zero"
                cells.append(tag("td", str(count), class_=kind))
        rows.append(tag("tr", tag("th", name or "All MUSTs", scope="row"), *cells, class_=None if name else "total"))
    note = tag("p", "MUSTs only; claimed: core or of a claimed capability, and tested by this version.", class_="note")
    table = tag("table", tag("thead", first, second), tag("tbody", *rows), class_="overview")
    return join([note, tag("div", table, class_="scroll")])


def _row(requirement: Part, implementations: list[Part], outcomes: list[dict[str, Part]]) -> Html:
    name = requirement["id"]
    here = [of[name] for of in outcomes]
    cells = [
        tag("span", tag("span", i["name"], class_="who"), " ", _badge(o["status"]), class_="cell")
        for i, o in zip(implementations, here, strict=True)
    ]
    level = tag("small", requirement["level"]) if requirement["level"] != "MUST" else Html()
    summary = tag(
        "summary", tag("code", name, " ", level), tag("span", requirement["text"], class_="text"), *cells, class_="row"
    )
    facts: dict[str, str | None] = {
        "why": requirement["why"],
        "level": requirement["level"],
        "needs": tag("span", requirement["needs"], class_="chip") if requirement["needs"] else "nothing: it is core",
        "planned": f"not tested yet, waits for {requirement['planned']}" if requirement["planned"] else None,
        "reference": tag("code", requirement["reference"]),
    }
    results = (_result(k, i["name"], o) for k, (i, o) in enumerate(zip(implementations, here, strict=True)))
    kinds = " ".join(sorted({f"has-{o['status']}" for o in here}))
    return tag("details", summary, tag("div", _facts(facts), *results, class_="more"), class_=kinds, id=name)


def _result(index: int, name: str, outcome: Part) -> Html:
    parts: list[str] = [tag("h4", name, " ", _badge(outcome["status"]))]
    if outcome["judged"]:
        parts.append(tag("p", f"judged {outcome['judged']:,} times"))
    if outcome["deviation"]:
        kind, reason, link = (outcome["deviation"][key] for key in ("kind", "reason", "link"))
        said = f"declared ({kind}): {reason} " if kind else f"declared: {reason} "
        web = link and link.startswith(("https://", "http://"))
        parts.append(tag("p", said, tag("a", link, href=link, rel="noreferrer") if web else link or ""))
    for failure in outcome["failures"]:
        parts.append(tag("p", failure["message"], class_="message"))
    if outcome["status"] == "failed":
        parts.append(tag("p", tag("a", "the failing case", href=f"#failed-{index}-{outcome['id']}")))
    parts.append(
        tag("ul", *(tag("li", tag("code", test)) for test in outcome["tests"])) if outcome["tests"] else Html()
    )
    return tag("div", *parts, class_="result")


# --------------------------------------------------------------------------------------------- reach and environment


def _reach(implementations: list[Part]) -> Html:
    works = [i["workloads"] for i in implementations]
    names = list(dict.fromkeys(name for w in works for name in (*w["floors"], *w["reach"])))
    head = tag("tr", tag("th", "Situation", scope="col"), *(tag("th", i["name"], scope="col") for i in implementations))
    rows = (
        tag(
            "tr", tag("th", name, scope="row"), *(_share(w["reach"].get(name, 0), w["floors"].get(name)) for w in works)
        )
        for name in names
    )
    note = "How many of the generated cases reached a situation that brings out bugs, and the least share that counts."
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="reach")
    return tag(
        "section", tag("h2", "Reach"), tag("p", note, class_="note"), tag("div", table, class_="scroll"), id="reach"
    )


def _share(share: float, floor: float | None) -> Html:
    low = floor is not None and share < floor
    said = "no floor" if floor is None else f"{'✗ below' if low else 'floor'} {_percent(floor)}"
    meter = tag(
        "span",
        tag("i", style=f"width:{100 * share:.2f}%"),
        tag("u", style=f"left:{100 * floor:.2f}%") if floor else "",
        class_="meter",
        aria_hidden="true",
    )
    return tag("td", tag("b", _percent(share)), " ", tag("small", said), meter, class_="low" if low else None)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _environment(report: Part) -> Html:
    suite = report["suite"]
    facts: dict[str, str | None] = {
        name: "none" if value is None else str(value) for name, value in report["environment"].items()
    }
    facts |= {"suite": suite["version"], "commit": suite["commit"] or "none"}
    facts |= {"conformance.md": f"sha256 {suite['conformance_sha256']}"}
    return tag("section", tag("h2", "Environment"), _facts(facts, class_="environment"), id="environment")
