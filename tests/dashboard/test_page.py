"""The page as text: whole without a script, escaped, linked to what is there, and the same for the same files."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from plumbline.dashboard.__main__ import main
from plumbline.dashboard.site import HERE, UPLOT
from plumbline.page import STYLE
from tests.dashboard.histories import Line, record, write
from tests.dashboard.sites import MUTANTS, OURS, REPORTS, Page, history, site

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a site with everything in it."""
    place = tmp_path_factory.mktemp("dashboard")
    write(place / "history", runs=12, series=8)
    (place / "report").mkdir()
    (place / "report" / "roofline.html").write_text("<!doctype html>")
    site(place / "report", place / "history", [OURS, *REPORTS], MUTANTS)
    return place


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report" / "dashboard.html").read_text())


def row(page: Page, start: str) -> list[str]:
    return next(cells for cells in page.rows if cells and cells[0].startswith(start))


def test_elements_nest_and_no_id_occurs_twice(page: Page) -> None:
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []


def test_all_links_resolve_and_none_leaves_the_folder(page: Page, folder: Path) -> None:
    assert page.broken(folder / "report" / "dashboard.html") == []
    assert not [link for link in page.links if link.startswith(("http", "/", ".."))]
    assert "roofline.html" in page.links
    raw = {path.name for path in (folder / "report" / "dashboard" / "raw").iterdir()}
    assert raw == {link.removeprefix("dashboard/raw/") for link in page.links if link.startswith("dashboard/raw/")}


def test_the_same_files_give_the_same_site(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "roofline.html").write_text("<!doctype html>")
    site(tmp_path, folder / "history", [OURS, *REPORTS], MUTANTS)

    def files(of: Path) -> dict[str, bytes]:
        return {str(path.relative_to(of)): path.read_bytes() for path in of.rglob("*") if path.is_file()}

    assert files(tmp_path) == files(folder / "report")


def test_tables_hold_the_numbers(tmp_path: Path) -> None:
    line = Line("identify/36 MiB", machine="h200", seconds=100e-6, noise=0, steps={6: 1.5}, ratio=0.5, ceiling=60e-6)
    shown = Page(site(tmp_path, history(tmp_path / "h", *(record(run, [line]) for run in range(12)))).read_text())
    name, _, now, moved, ratio, ceiling, verdict = row(shown, "identify/36 MiB")
    assert name == "identify/36 MiBoptimized · NVIDIA H200"
    assert now == "150 µs"
    assert moved.startswith("▲ +50 % since ")
    assert moved.endswith(", 6 runs")
    assert ratio == "0.750 [0.750, 0.750] of reference"
    assert ceiling == "2.50× 60.0 µs, a bare copy"
    assert verdict == "✓ held"
    assert [cells[1:] for cells in shown.rows if len(cells) == 5 and "2026" in cells[0]][1][:2] == ["6", "150 µs"]


def test_exact_counters_that_grew_stand_on_top_in_words(tmp_path: Path) -> None:
    line = Line("embed/b", counters={"tower calls": (4, 3, 6)})
    text = Page(site(tmp_path, history(tmp_path / "h", *(record(run, [line]) for run in range(5)))).read_text()).text
    said = "tower calls grew from 4 to 6 in embed/b of optimized on Intel(R) Xeon(R) Processor, 2 cores"
    assert said in text
    assert text.index(said) < text.index("Last change")


def test_a_withheld_speed_is_said_with_its_reason(tmp_path: Path) -> None:
    refusal = {"benchmark": "identify/b", "implementation": "acme", "reason": "breaks IDENT-004"}
    records = [record(0, [Line("identify/b", "acme")]), record(1, [Line("embed/c")], withheld=[refusal])]
    shown = Page(site(tmp_path, history(tmp_path / "h", *records)).read_text())
    assert "identify/b of acme: no speed: breaks IDENT-004" in shown.text
    assert "no speed: breaks IDENT-004" in row(shown, "identify/b")[-1]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    line = Line(f"part/{HOSTILE}", HOSTILE, counters={HOSTILE: (1, 1, 2)})
    refusal = {"benchmark": HOSTILE, "implementation": HOSTILE, "reason": HOSTILE}
    records = [record(run, [line], withheld=[refusal]) for run in range(3)]
    for data in records:
        data["benchmarks"][0]["extra_info"] |= {"baseline": HOSTILE, "ceiling": {"seconds": 1e-4, "of": HOSTILE}}
    report = json.loads(OURS.read_text())
    report["requirements"][0]["text"] = report["implementations"][0]["name"] = HOSTILE
    mutants = json.loads(MUTANTS.read_text())
    mutants["mutants"][0]["mutant"] = HOSTILE
    for name, data in (("r", report), ("m", mutants)):
        (tmp_path / name).write_text(json.dumps(data))
    made = site(tmp_path / "report", history(tmp_path / "h", *records), [tmp_path / "r"], tmp_path / "m")
    shown = Page(made.read_text())
    assert "img" not in shown.tags
    assert not [name for name in shown.attributes if name.startswith("on")]
    assert shown.tags.count("script") == 3
    assert shown.text.count(HOSTILE) > 5
    assert shown.broken(made) == []
    script = (made.parent / "dashboard" / "data.js").read_text()
    assert "img src" in script
    assert "<" not in script


def test_empty_states_say_what_to_do(tmp_path: Path) -> None:
    text = Page(site(tmp_path, tmp_path / "missing").read_text()).text
    for said in (
        "No record of speed yet. nox -s bench",
        "No conformance report yet. nox -s",
        "No kill matrix yet. nox",
    ):
        assert said in text


def test_one_run_is_in_the_table_and_has_no_chart(tmp_path: Path) -> None:
    made = site(tmp_path, history(tmp_path / "h", record(0, [Line("a/b", seconds=2e-3, noise=0)])))
    shown = Page(made.read_text())
    assert row(shown, "a/b")[1].startswith("1 run: ")
    assert row(shown, "a/b")[2] == "2.00 ms"
    assert "charts" not in shown.ids
    assert shown.broken(made) == []


def test_unreadable_files_are_named_and_hide_no_others(tmp_path: Path) -> None:
    folder = history(tmp_path / "h", record(0, [Line("a/b")]))
    (folder / "torn-speed.json").write_text('{"benchmarks": [')
    (tmp_path / "torn-conformance.json").write_text('{"requirements": [{}]}')
    (tmp_path / "torn-mutants.json").write_text("[]")
    made = site(tmp_path / "r", folder, [tmp_path / "torn-conformance.json", OURS], tmp_path / "torn-mutants.json")
    shown = Page(made.read_text())
    assert "3 files could not be read" in shown.text
    for name in ("torn-speed.json", "torn-conformance.json", "torn-mutants.json"):
        assert name in shown.text
    assert row(shown, "a/b")
    assert row(shown, "ITEM-001")
    assert shown.broken(made) == []


def test_the_matrix_shows_each_outcome_of_each_implementation(page: Page) -> None:
    """Each release of SGLang beside ours, and not run in other words than held."""
    head = next(cells for cells in page.rows if cells[0] == "Requirement" and len(cells) == 6)
    names = ["reference 0.1.0", "optimized 0.1.0", "sglang 0.5.12.post1", "sglang 0.5.23", "vLLM 0.33.0"]
    assert head[1:] == names
    words = {"held": "✓ held", "failed": "✗ failed", "not-claimed": "– not claimed", "not-run": "○ not run"}
    told: list[dict[str, str]] = [{} for _ in names]
    for number, path in enumerate([OURS, *REPORTS]):
        for k, implementation in enumerate(json.loads(path.read_text())["implementations"]):
            told[number + 1 if number else k] = {o["id"]: words[o["status"]] for o in implementation["requirements"]}
    rows = {cells[0][:12].split(" ")[0]: cells for cells in page.rows if len(cells) == 6}
    for name in told[0]:
        cells = next(cells for start, cells in rows.items() if start.startswith(name))
        assert cells[1:] == [of.get(name, "· not in its suite") for of in told]


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_of_several_reports_the_newest_counts(tmp_path: Path, names: str) -> None:
    old, new = json.loads(OURS.read_text()), json.loads(OURS.read_text())
    old["run"]["started"], new["run"]["started"] = "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"
    new["suite"]["commit"] = "abcdef0"
    for name, data in (("a", new), ("b", old)):
        (tmp_path / name).write_text(json.dumps(data))
    text = Page(site(tmp_path / "r", tmp_path / "none", [tmp_path / name for name in names]).read_text()).text
    assert "abcdef0, 2027-01-01" in text
    assert "2026-01-01" not in text


def test_single_points_of_failure_come_first(page: Page) -> None:
    mutants = json.loads(MUTANTS.read_text())["mutants"]
    alone = Counter(m["killed_by"][0] for m in mutants if len(m["killed_by"]) == 1)
    kills = Counter(i for m in mutants for i in m["killed_by"])
    rows = [cells for cells in page.rows if len(cells) == 4 and re.fullmatch(r"[A-Z]+-\d{3}", cells[0])]
    assert {cells[0]: (int(cells[1]), int(cells[2])) for cells in rows} == {i: (alone[i], kills[i]) for i in kills}
    assert [int(cells[1]) for cells in rows] == sorted((int(cells[1]) for cells in rows), reverse=True)


def test_mutants_that_live_are_named(page: Page) -> None:
    alive = [m["mutant"] for m in json.loads(MUTANTS.read_text())["mutants"] if not m["killed"]]
    assert f"Not killed: {', '.join(alive)}" in page.text


def test_the_command_finds_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = history(tmp_path / "h", record(0, [Line("a/b")]))
    assert main(["--history", str(folder), "--report", str(tmp_path / "r")]) == 0
    said = capsys.readouterr().out
    assert said.endswith(f"Open {tmp_path / 'r' / 'dashboard.html'}\n")
    assert said.startswith("1 record of speed, 3 implementations.")  # SGLang's two and vLLM's


def test_uplot_is_as_it_was_published() -> None:
    sums = dict(reversed(line.split("  ")) for line in (UPLOT / "SHA256SUMS").read_text().splitlines())
    assert {path.name for path in UPLOT.iterdir()} == {*sums, "SHA256SUMS", "README.md"}
    for name, expected in sums.items():
        assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == expected


def test_the_script_fetches_nothing() -> None:
    assert not re.search(r"\bfetch\(|XMLHttpRequest|import\(|https?:", (HERE / "dashboard.js").read_text())


PAIRS = [("text", "ground"), ("text", "sunken"), ("text", "raised"), ("soft", "ground"), ("soft", "raised")]
PAIRS += [("soft", "sunken"), ("link", "ground"), ("link", "bad-ground"), ("good", "good-ground"), ("good", "ground")]
PAIRS += [("bad", "bad-ground"), ("bad", "ground"), ("bad", "raised"), ("warn", "warn-ground"), ("ground", "bad")]


def schemes() -> dict[str, dict[str, str]]:
    """Custom properties of the light and the dark scheme."""
    found: dict[str, dict[str, str]] = {"light": {}, "dark": {}}
    for style in (STYLE, HERE / "dashboard.css"):
        for dark, body in re.findall(
            r"(prefers-color-scheme: dark\) \{\s*)?:root \{(.*?)\}", style.read_text(), re.DOTALL
        ):
            found["dark" if dark else "light"] |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", body))
    return found


def luminance(color: str) -> float:
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "paper"), PAIRS)
def test_contrast_is_that_of_wcag_aa(scheme: str, ink: str, paper: str) -> None:
    colors: dict[str, Any] = schemes()[scheme]
    light, dark = sorted((luminance(colors[ink]), luminance(colors[paper])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
