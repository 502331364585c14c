"""The report: what is allowed in it, that its page shows all of it and nothing smuggled in, and the scorecard."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from plumbline import page, report
from plumbline.reach import FLOORS
from plumbline.requirements import document_sha256, requirements
from plumbline.scenario import Content, GivenRecipe, ItemRecipe, Op, RequestRecipe, Scenario, compact
from plumbline.scorecard import print_scorecard

PHOTOS = Path(__file__).resolve().parents[2] / "fixtures" / "photos"
HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)> & </style>"

A = ItemRecipe(grid=(1, 2, 2), parts=(4,))
SCENARIO = Scenario(
    requests=(
        RequestRecipe("r0", (A, ItemRecipe(grid=(1, 2, 2), parts=(4,), content=Content(0, "swap", 1))), gaps=(2, 1)),
        RequestRecipe(
            "r1", (A, ItemRecipe("video", grid=(3, 1, 2), parts=(6,), content=Content(7))), gaps=(3,), copies=2
        ),
        RequestRecipe("r2", (A,), malformed="token beyond vocabulary"),
    ),
    chunks=(3, 5),
    running=2,
    cache_rows=4,
    prefix_cache=True,
    ops=(Op(1, "retract", 0), Op(2, "epoch", 1), Op(3, "abort", 1)),
)
BEYOND = "NUM-006: beyond the bound, to plain float32: rms 2.5 ulp (7.50 of the bound), largest 123.4 ulp (3.75)"
MESSAGE = "request r1, item 0, row 2 (token 5): holds row 0 of item 1 of request r0, in lanes 0 to 7"
LONG = (
    "nox -s conformance -- --impl acme/fast.py:implementation "
    "--replace identify=acme.hash:identify --replay report/cases/{}.json"
)
STORY = {
    "moments": [
        {"title": "prepare", "lines": ["r0: 11 tokens, A A2"], "wrong": []},
        {"title": "step 0", "lines": ["asks for r0 [0, 3): row 0 of A"], "wrong": []},
        {"title": "step 1", "lines": ["the cache has A"], "wrong": [MESSAGE]},
        {"title": "step 2", "lines": ["tower call: A with another grid, which nobody sent"], "wrong": []},
    ],
    "broken": {"CACHE-008": 0, "rows": 2},
    "ran": [
        {"request": 0, "copy": 0, "step": 0, "lo": 0, "hi": 3, "ok": True, "hit": False},
        {"request": 1, "copy": 1, "step": 1, "lo": 2, "hi": 7, "ok": False, "hit": True},
    ],
    "wrong": {
        "step": 1,
        "request": "r1#1",
        "position": 5,
        "wanted": {"request": 1, "item": 0, "row": 2, "level": 0, "epoch": 0},
        "found": {"request": 0, "item": 1, "row": 0, "level": 0, "epoch": 0},
        "zeros": False,
    },
}
STATUS = {  # for the second implementation of the sample; the first fails nothing, and was not asked for the last
    "ITEM-003": "failed",
    "CACHE-001": "failed",
    "IDENT-013": "not-claimed",
    "PREP-016": "deviation",
    "GRAPH-006": "not-run",
}


def _failure(name: str, scenario: Scenario | None, without: list[str]) -> dict[str, Any]:
    test = f"tests/conformance/test_workloads.py::test_requirement[{name}]"
    shown = compact(scenario) if scenario else None
    return {
        "kind": "workload" if scenario else "test",
        "message": MESSAGE,
        "without": without,
        "scenario": shown,
        "story": STORY if scenario else None,
        "where": [] if scenario else ["tests/cache/test_cache.py:31", "acme/fast.py:7"],
        "replay": LONG.format(name),
        "test": test,
    }


def _outcome(name: str, status: str) -> dict[str, Any]:
    asked = requirements()[name]
    failures: list[dict[str, Any]] = []
    if status == "failed":
        failures = [_failure(name, SCENARIO, ["no cache", "each prompt in one chunk"]), _failure(name, None, [])]
    return {
        "id": name,
        "level": asked.level,
        "section": asked.section,
        "status": status,
        "core": asked.needs is None,
        "judged": 1234 if status in ("held", "failed") else 0,
        "tests": ["tests/conformance/test_workloads.py::test_requirement"] if status != "not-run" else [],
        "failures": failures,
        "deviation": {"kind": "", "reason": "copies by design", "link": "https://example.org/7"}
        if status == "deviation"
        else None,
    }


def _implementation(name: str, statuses: dict[str, str]) -> dict[str, Any]:
    outcomes = [_outcome(i, statuses.get(i, "not-run" if r.planned else "held")) for i, r in requirements().items()]
    sections = []
    for section in dict.fromkeys(r.section for r in requirements().values()):
        musts = [o for o in outcomes if o["section"] == section and o["level"] == "MUST"]
        count = {s: sum(o["status"] == s for o in musts) for s in page.STATUSES}
        claimed = len(musts) - count["not-claimed"] - count["not-run"]
        sections.append(
            {
                "section": section,
                "held": count["held"],
                "claimed": claimed,
                "all": len(musts),
                "failed": count["failed"],
                "not_run": count["not-run"],
            }
        )
    fails = "failed" in statuses.values()
    return {
        "name": name,
        "version": "0.1.0",
        "spec": f"{name}:implementation",
        "replaced": ["identify=acme.hash:identify"] if fails else [],
        "filled": ["merge"] if fails else [],
        "capabilities": ["video", "tiles", "several-spans", "cache", "extras", "lazy"],
        "retention": "rows" if fails else "lease",
        "requirements": outcomes,
        "sections": sections,
        "workloads": {
            "cases": 4000,
            "seconds": 61.5,
            "cases_per_second": 65.04,
            "first_failure": 0.8 if fails else None,
            "reach": {k: min(1.0, (f * 3 if k != "bundle" else f / 2)) for k, f in FLOORS.items()},
            "floors": dict(FLOORS),
        },
        "verdict": "fails" if fails else "conforms",
    }


def _tower(name: str, share: float, wrong: list[str]) -> dict[str, Any]:
    distance = {"rms_ulp": 2.5, "largest_ulp": 123.4, "rms_share": share, "largest_share": share / 2}
    others = {"plain float32": "NUM-006", "transformers float64": "NUM-006"}
    return {
        "family": "kimi_k25",
        "implementation": name,
        "processor": "Kimi_K25ImageProcessor",
        "shots": ["cat.png", "3 frames of cat.png"],
        "patches": 456,
        "row_floor": None if wrong else 16,
        "identical": None if wrong else True,
        "distances": [{"to": other, "requirement": asked, **distance} for other, asked in others.items()],
        "wrong": wrong,
    }


def _photos() -> dict[str, Any]:
    files = sorted(p for p in PHOTOS.iterdir() if p.suffix in (".jpg", ".png"))
    images = []
    for path in files:
        kind = "jpeg" if path.suffix == ".jpg" else "png"
        data = base64.b64encode(path.read_bytes()).decode()
        images.append(
            {
                "file": path.name,
                "width": 400,
                "height": 240,
                "mode": "RGB",
                "thumbnail": f"data:image/{kind};base64,{data}",
            }
        )
    run = {
        "seconds": 1.5,
        "prepare_seconds": 0.125,
        "tower_calls": 9,
        "items_encoded": 9,
        "patches": 5120,
        "largest_call": 900,
        "bytes_moved": 31457280,
    }
    return {
        "images": images,
        "requests": [
            {"id": "album", "tokens": 640, "images": [0, 2, 1], "spans": [[8, 160], [180, 400], [410, 560]]},
            {"id": "again", "tokens": 300, "images": [0, 0], "spans": [[4, 124], [150, 270]]},
        ],
        "tower": {"name": "qwen3-vl small", "parameters": 1234567, "hidden": 64, "layers": 4, "side_levels": 2,
                  "row_floor": 16},
        "chunk": 128, "steps": 6, "rows": 762, "identical": True, "difference": None,
        "runs": [{"implementation": "reference", **run},
                 {"implementation": "acme", **run, "tower_calls": 2, "bytes_hashed": 7}],
        "towers": [_tower("optimized", 0.25, []), _tower("acme", 7.5, [BEYOND])],
    }  # fmt: skip


def sample() -> dict[str, Any]:
    """A whole report: one implementation that holds everything that ran, one with every status."""
    asked = [
        {"id": r.id, "section": r.section, "level": r.level, "text": r.text, "why": r.why,
         "needs": r.needs and str(r.needs), "planned": r.planned or None, "reference": r.reference}
        for r in requirements().values()
    ]  # fmt: skip
    return {
        "schema": 2,
        "suite": {"version": "0.1.0", "commit": "e0712090123456", "conformance_sha256": document_sha256()},
        "run": {"started": "2025-03-01T10:20:30Z", "seconds": 128.4, "seed": 7, "profile": "default",
                "command": "nox -s conformance -- --impl optimized --impl acme/fast.py:implementation"},
        "environment": {"python": "3.11.2", "torch": "2.13.0", "platform": "Linux", "cpu": "a cpu", "cores": 2,
                        "gpu": None},
        "requirements": asked,
        "implementations": [_implementation("optimized", {"GRAPH-006": "not-run"}), _implementation("acme", STATUS)],
        "photos": _photos(),
        "verdict": "fails",
    }  # fmt: skip


@pytest.fixture
def whole() -> dict[str, Any]:
    return sample()


class _Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    VOID = frozenset({"meta", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.details: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({k for k, _ in attrs}) == len(attrs), f"{tag} has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def _strings(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all strings below a value."""
    if isinstance(value, str):
        yield at
    elif isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _strings(inner, (*at, key))


def _put(whole: dict[str, Any], at: tuple[Any, ...], value: Any) -> None:
    inner: Any = whole
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value


def _card(whole: dict[str, Any], width: int = 80, color: bool = False) -> str:
    out = io.StringIO()
    print_scorecard(
        whole, Console(file=out, width=width, force_terminal=color, color_system="standard" if color else None)
    )
    return out.getvalue()


# ----------------------------------------------------------------------------------------------------------- schema


def test_whole_report_is_valid_and_written(whole: dict[str, Any], tmp_path: Path) -> None:
    report.write(whole, tmp_path / "report")
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == ["conformance.json", "index.html", "summary.md"]
    assert json.loads((tmp_path / "report" / "conformance.json").read_text()) == whole


def test_refused_report_leaves_the_old_one(whole: dict[str, Any], tmp_path: Path) -> None:
    report.write(whole, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    whole["verdict"] = "perhaps"
    with pytest.raises(report.ReportError):
        report.write(whole, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("at", "value", "place"),
    [
        (("implementations", 1, "requirements", 2, "status"), "passed", "$.implementations[1].requirements[2].status"),
        (("implementations", 0, "sections", 0, "held"), -1, "$.implementations[0].sections[0].held"),
        (("run", "started"), "yesterday", "$.run.started"),
        (("suite", "extra"), 1, "$.suite"),
        (("photos", "images", 0, "thumbnail"), "https://example.org/a.png", "$.photos.images[0].thumbnail"),
        (("photos", "images", 0, "thumbnail"), "data:image/png;base64,A)}</style>", "$.photos.images[0].thumbnail"),
        (("photos", "difference"), "row 3", "$.photos.difference"),
        (("photos", "requests", 1, "images"), [0], "$.photos.requests[1]"),
        (("photos", "requests", 1, "images"), [0, 99], "$.photos.requests[1].images"),
        (("photos", "requests", 1, "spans"), [[4, 124], [150, 301]], "$.photos.requests[1].spans"),
        (("photos", "towers", 0, "distances", 1, "rms_share"), -1, "$.photos.towers[0].distances[1].rms_share"),
        (("implementations", 0, "requirements"), [], "$.implementations[0].requirements[0]"),
    ],
)
def test_broken_report_is_refused_with_its_place(
    whole: dict[str, Any], at: tuple[Any, ...], value: Any, place: str
) -> None:
    report.validate(whole)
    _put(whole, at, value)
    with pytest.raises(report.ReportError, match=f"^{re.escape(place)}: "):
        report.validate(whole)


def test_held_needs_something_that_judged_it(whole: dict[str, Any]) -> None:
    outcome = whole["implementations"][0]["requirements"][0]
    outcome["judged"] = 0
    report.validate(whole)
    outcome["tests"] = []
    with pytest.raises(report.ReportError, match=r"implementations\[0\]\.requirements\[0\]"):
        report.validate(whole)


# ------------------------------------------------------------------------------------------------------------- page


def test_page_is_well_formed_and_shows_everything(whole: dict[str, Any]) -> None:
    read = _Page(page.render(whole))
    shown = {attrs.get("id") for tag, attrs in read.tags if tag == "details"}
    for requirement in whole["requirements"]:
        assert requirement["id"] in shown
        assert requirement["text"] in read.text
        assert requirement["why"] in read.text
    for said in (MESSAGE, LONG.format("ITEM-003"), "no cache", "copies by design", *FLOORS, "✗ below 5 %", "merge"):
        assert said in read.text
    for said in (BEYOND, "123.4 ulp", "25 %", "✗ 750 %", "✓ same bits", "not claimed"):
        assert said in read.text
    targets = {attrs["href"][1:] for _, attrs in read.tags if (attrs.get("href") or "").startswith("#")}  # type: ignore[index]
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert targets <= set(ids)
    assert len(ids) == len(set(ids))


def test_page_needs_no_network(whole: dict[str, Any]) -> None:
    text = page.render(whole)
    loading = [a for t, a in _Page(text).tags if "src" in a or (t in ("link", "script", "iframe", "object"))]
    assert loading == []
    assert re.findall(r"url\((?!data:)|@import", text) == []


def test_page_without_failures_and_photos(whole: dict[str, Any]) -> None:
    whole["implementations"], whole["photos"], whole["verdict"] = whole["implementations"][:1], None, "conforms"
    report.validate(whole)
    read = _Page(page.render(whole))
    assert not {"failures", "photos"} & {attrs.get("id") for _, attrs in read.tags}
    assert "✓ conforms" in read.text


def test_failures_come_before_the_matrix(whole: dict[str, Any]) -> None:
    ids = [attrs["id"] for tag, attrs in _Page(page.render(whole)).tags if tag == "section" and "id" in attrs]
    assert ids.index("failures") < ids.index("photos") < ids.index("requirements")


def test_every_status_differs_in_symbol_word_and_style(whole: dict[str, Any]) -> None:
    symbols, words = zip(*page.STATUSES.values(), strict=True)
    assert len(set(symbols)) == len(set(words)) == len(page.STATUSES)
    text, style = page.render(whole), page.STYLE.read_text()
    rules = [re.findall(rf"\.status\.{status} {{(.*)}}", style) for status in page.STATUSES]
    assert all(len(found) == 1 for found in rules)
    assert len({found[0] for found in rules}) == len(rules)
    for status, (_, said) in page.STATUSES.items():
        count = sum(o["status"] == status for i in whole["implementations"] for o in i["requirements"])
        badges = re.findall(
            rf'<span class="cell"><span class="who">\w+</span> <span class="status {status}">.*?{said}<', text
        )
        assert len(badges) == count > 0


def test_hostile_strings_stay_text(whole: dict[str, Any]) -> None:
    clean = _Page(page.render(whole))
    fixed = (
        "level",
        "retention",
        "status",
        "verdict",
        "thumbnail",
        "started",
        "conformance_sha256",
        "section",
        "id",
        "scenario",
        "link",
        "requirement",
    )
    places = [at for at in _strings(whole) if not set(fixed) & set(at) and at[-3:][::2] != ("failures", "kind")]
    for at in places:
        _put(whole, at, HOSTILE)
    report.validate(whole)
    text = page.render(whole)
    assert "<script" not in text
    assert "<img" not in text
    read = _Page(text)
    assert HOSTILE in read.text
    assert {t for t, _ in read.tags} <= {t for t, _ in clean.tags} | {"i"}
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)


def test_hostile_scenario_and_link_stay_text(whole: dict[str, Any]) -> None:
    acme = whole["implementations"][1]["requirements"]
    failed = next(o for o in acme if o["status"] == "failed")
    named = copy.deepcopy(SCENARIO)
    given = ItemRecipe(content=Content(5), given=GivenRecipe(HOSTILE, HOSTILE, True))
    named = Scenario(requests=(RequestRecipe(HOSTILE, (given,)), *named.requests))
    failed["failures"][0]["scenario"] = compact(named)
    failed["failures"][1]["scenario"] = {HOSTILE: HOSTILE}
    next(o for o in acme if o["status"] == "deviation")["deviation"]["link"] = "javascript:alert(1)"
    report.validate(whole)
    read = _Page(page.render(whole))
    assert HOSTILE in read.text
    assert "Not drawn" in read.text
    assert not {"script", "img"} & {t for t, _ in read.tags}
    assert not any((attrs.get("href") or "").startswith("javascript") for _, attrs in read.tags)


# -------------------------------------------------------------------------------------------------------- scorecard


@pytest.mark.parametrize("width", [80, 60, 120])
def test_scorecard_is_complete(whole: dict[str, Any], width: int) -> None:
    text = _card(whole, width)
    lines = text.splitlines()
    assert "…" not in text
    for name in ("ITEM-003", "CACHE-001"):
        assert f"FAILED {name} (MUST) acme" in lines
        assert LONG.format(name) in lines
        assert requirements()[name].text in " ".join(text.split())
    assert MESSAGE in " ".join(text.split())
    assert "goes away with: no cache; each prompt in one chunk" in " ".join(text.split())
    assert f"photos through kimi_k25 of acme: {BEYOND}" in " ".join(text.split())
    assert "photos through kimi_k25 of optimized: same bits alone and together; within 0.25 of the bound" in " ".join(
        text.split()
    )
    commands = {LONG.format(name) for name in ("ITEM-003", "CACHE-001")}
    assert max(len(line) for line in lines if line not in commands) <= width
    for section in whole["implementations"][0]["sections"]:
        assert section["section"] in " ".join(text.split())


def test_scorecard_shows_not_run_apart_from_held(whole: dict[str, Any]) -> None:
    lines = _card(whole).splitlines()
    graphs = next(line for line in lines if line.startswith("Graphs"))
    count = sum(r.section == "Graphs" and r.level == "MUST" for r in requirements().values())
    assert graphs.split()[1:6] == [str(count - 1), str(count - 1), str(count), "-", "1"]
    held = next(line for line in lines if line.startswith("Preparation"))
    musts = str(sum(r.section == "Preparation" and r.level == "MUST" for r in requirements().values()))
    assert held.split()[1:6] == [musts, musts, musts, "-", "-"]
    not_run = sum(o["status"] == "not-run" for o in whole["implementations"][1]["requirements"])
    verdict = next(line for line in lines if line.startswith("FAILS acme"))
    assert "2 failed" in " ".join(lines[lines.index(verdict) :])
    assert f"{not_run} not run" in " ".join(lines[lines.index(verdict) :])


def test_scorecard_marks_failures_red(whole: dict[str, Any]) -> None:
    assert "\x1b[1;31m" in _card(whole, color=True)
    assert "\x1b" not in _card(whole)
