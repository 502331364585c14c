"""The summary of a report: what it says, that nothing breaks out of it, its length, and that no older one is left behind."""

from __future__ import annotations

import copy
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from plumbline import report, report_folder
from plumbline.conformance import main
from plumbline.requirements import requirements
from plumbline.summary import LIMIT, MOST, nothing_said, summarize

SAMPLE = runpy.run_path(str(Path(__file__).with_name("test_report.py")))
COMMENT = 65_536
"""What GitHub takes."""

HOSTILE = [
    "</code></details><script>alert(1)</script><img src=x onerror=alert(2)>",
    "` `` ``` ```` ~~~~ | a | b |",
    "```\n~~~ </pre></code>\n# Heading\n- @everyone #1 GH-2 acme/engine#3",
    "[a](https://example.org) <https://example.org> www.example.org https://example.org ![i](//example.org/i.png)",
    "@octocat &#64;octocat \\| | **bold** <!-- hidden",
    "\u202e\u2066reversed\u2069 \x00\x1b[31m \u2028 \r\n\n\n\t\ttabbed",
    "$(touch x) ${{ secrets.TOKEN }} ::error::no :tada: $x$",
]


@pytest.fixture
def whole() -> dict[str, Any]:
    found: dict[str, Any] = SAMPLE["sample"]()
    return found


class Shown(HTMLParser):
    """What a host makes of Markdown: its elements, and which of its words stand outside code, where names become links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.outside = ""
        self.inside = ""
        # raw HTML is let through: more than hosts do
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [k for k, _ in attrs if k != "class"], (tag, attrs)
        self.tags.append(tag)
        if tag != "hr":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        if {"code", "pre"} & set(self.open):
            self.inside += data
        else:
            self.outside += data


BLOCKS = {"h2", "h3", "ul", "li", "p", "pre", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
ALLOWED = BLOCKS | {"code", "em", "strong"}


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def words(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------------------------------------------------------- content


def test_the_first_line_is_the_verdict(whole: dict[str, Any]) -> None:
    assert summarize(whole).splitlines()[0] == "## Plumbline: FAILS"
    whole["verdict"] = "conforms"
    assert summarize(whole).splitlines()[0] == "## Plumbline: CONFORMS"
    assert nothing_said("no such file").splitlines()[0] == "## Plumbline: NOTHING COULD BE SAID"


def test_a_failure_is_told_whole_and_can_be_repeated(whole: dict[str, Any]) -> None:
    text = summarize(whole)
    shown = Shown(text)
    for name in ("ITEM-003", "CACHE-001"):
        assert f"### {name} (MUST) <code>acme" in text
        assert words(requirements()[name].text) in words(shown.outside)
        assert SAMPLE["LONG"].format(name) in text.splitlines(), "a line to copy"
    assert SAMPLE["MESSAGE"] in shown.inside
    assert "no cache; each prompt in one chunk" in shown.inside
    assert "before that, in the same run, broke" in shown.outside
    assert SAMPLE["BEYOND"] in shown.inside
    assert "copies by design" in shown.inside
    assert "PREP-016" in shown.outside
    for said in ("seed 7", "128 s"):
        assert said in shown.outside
    for said in ("default", "e0712090123456", "3.11.2", "2.13.0", "a cpu", whole["run"]["command"]):
        assert said in shown.inside
    assert "Left out" not in text


def test_the_table_has_each_section_and_implementation(whole: dict[str, Any]) -> None:
    text = summarize(whole)
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {3}
    names = [r.section for r in requirements().values()]
    assert len(rows) == len(set(names)) + 3
    musts = sum(r.section == "Graphs" and r.level == "MUST" for r in requirements().values())
    (graphs,) = [row for row in rows if row[0] == "Graphs"]
    assert graphs[2] == f"{musts - 1} / {musts - 1} / {musts}, 1 not run"
    (items,) = [row for row in rows if row[0].startswith("Items")]
    assert "**1 failed**" in items[2]
    assert "failed" not in items[1]
    assert Shown(text).tags.count("table") == 1


def test_a_verdict_without_a_failure_says_why(whole: dict[str, Any]) -> None:
    whole["implementations"] = whole["implementations"][:1]
    whole["implementations"][0]["verdict"] = "fails"
    assert "nothing judged what it must or claims to do" in summarize(whole)
    whole["implementations"][0]["verdict"] = "conforms"
    whole["photos"] |= {"identical": False, "difference": "row 3 of album"}
    assert "**FAILS** on photos: <code>row 3 of album</code>" in summarize(whole)


def test_many_lines_are_folded(whole: dict[str, Any]) -> None:
    message = "AssertionError: rows differ\n" + "\n".join(f"row {k}" for k in range(40))
    failed = next(o for o in whole["implementations"][1]["requirements"] if o["status"] == "failed")
    failed["failures"][0]["message"] = message
    text = summarize(whole)
    assert f"<summary><code>AssertionError&#58; rows differ</code></summary>\n\n```text\n{message}\n```" in text


# ------------------------------------------------------------------------------------------------------- hostile texts


def places(whole: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Where a text stands that an implementation, its files or its machine choose."""
    found: list[tuple[Any, ...]] = [("run", "command"), ("environment", "cpu"), ("environment", "gpu")]
    found += [("photos", "towers", 1, key) for key in ("family", "implementation")] + [
        ("photos", "towers", 1, "wrong", 0)
    ]
    for k, implementation in enumerate(whole["implementations"]):
        found += [("implementations", k, key) for key in ("name", "version", "spec")]
        for n, outcome in enumerate(implementation["requirements"]):
            at = ("implementations", k, "requirements", n)
            for m, failure in enumerate(outcome["failures"]):
                found += [(*at, "failures", m, key) for key in ("message", "replay", "test")]
                found += [(*at, "failures", m, "without", w) for w in range(len(failure["without"]))]
            if outcome["deviation"]:
                found += [(*at, "deviation", key) for key in ("kind", "reason", "link")]
    return found


def with_everywhere(whole: dict[str, Any], text: str) -> dict[str, Any]:
    changed = copy.deepcopy(whole)
    for *path, last in places(whole):
        at: Any = changed
        for key in path:
            at = at[key]
        at[last] = text
    report.validate(changed)
    return changed


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_stay_code(whole: dict[str, Any], text: str) -> None:
    made = summarize(with_everywhere(whole, text))
    clean, shown = Shown(summarize(whole)), Shown(made)
    assert set(shown.tags) <= ALLOWED
    for tag in ("table", "tr", "td", "details", "h2", "h3", "li"):
        assert shown.tags.count(tag) == clean.tags.count(tag), tag
    for sign in ("@", "#", "http", "www", "octocat", "example", "GH-", "tada", "secrets", "hidden", "bold"):
        assert sign not in shown.outside, sign
    unfenced = re.sub(r"^(`{3,})text\n.*?^\1$", "", made, flags=re.MULTILINE | re.DOTALL)
    for sign in ("@", "://", "www.", "](", "${{", "::"):
        assert sign not in unfenced, f"{sign}: some hosts look for it before they know what is code"
    assert not re.search("[\x00-\x08\x0b-\x1f\u2028\u202e\u2066\u2069]", shown.outside + shown.inside)
    if text.isprintable():
        assert words(text) in words(shown.inside), "and is all there"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_reasons_stay_code(text: str) -> None:
    shown = Shown(nothing_said(text))
    assert shown.tags == ["h2", "pre", "code", "p"]
    assert "@" not in shown.outside


# -------------------------------------------------------------------------------------------------------------- length


def test_a_comment_is_never_too_long_and_says_what_it_leaves_out(whole: dict[str, Any]) -> None:
    acme = whole["implementations"][1]
    failure = next(o for o in acme["requirements"] if o["status"] == "failed")["failures"][0]
    for outcome in acme["requirements"]:
        outcome |= {"status": "failed", "failures": [copy.deepcopy(failure)], "deviation": None}
        outcome["failures"][0]["message"] = "m\n" * 5000
    report.validate(whole)
    text = summarize(whole)
    assert COMMENT // 2 < units(text) <= LIMIT < COMMENT
    (said,) = [line for line in text.splitlines() if line.startswith("**Left out here**")]
    count = int(re.search(r"(\d+) parts", said)[1])  # type: ignore[index]
    assert count == len(requirements()) - text.count("\n### ")
    assert "`index.html` and `conformance.json`" in said
    assert text.splitlines()[0] == "## Plumbline: FAILS"
    assert "seed 7" in text


@pytest.mark.parametrize("sign", ["|", "\x01", "\U0001f600", "\U000e0001", "a\n"])
def test_the_longest_texts_still_fit(whole: dict[str, Any], sign: str) -> None:
    whole["implementations"] += [copy.deepcopy(whole["implementations"][1]) for _ in range(MOST)]
    whole["photos"]["towers"] *= 9
    text = summarize(with_everywhere(whole, sign * 6000))
    assert units(text) <= LIMIT
    assert text.startswith("## Plumbline: FAILS\n")
    assert "more implementations, in the report" in text
    assert set(Shown(text).tags) <= ALLOWED


# -------------------------------------------------------------------------------------------------------------- folder

FILES = ["conformance.json", "index.html", "summary.md"]


def earlier(folder: Path, whole: dict[str, Any]) -> Path:
    """The folder of a run that came to a verdict, with a saved case."""
    report.write(whole, folder)
    (folder / "cases").mkdir()
    (folder / "cases" / "acme.json").write_text("{}")
    assert sorted(p.name for p in folder.iterdir()) == ["cases", *FILES]
    return folder


def test_the_summary_is_written_beside_the_page(whole: dict[str, Any], tmp_path: Path) -> None:
    report.write(whole, tmp_path)
    assert (tmp_path / "summary.md").read_text() == summarize(whole)


CORE = "import reference\nimplementation = reference.implementation\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--impl", "no_such_module:x"], "No module named"),
        (["--impl", "{folder}/core.py", "--deviations", "{folder}/none.toml"], "none.toml"),
        (["--impl", "{folder}/core.py", "--images", "{folder}/none"], "photos: "),
        (["--impl", "{folder}/core.py", "--replace", "nothing"], "--replace 'nothing'"),
    ],
)
def test_a_run_without_a_verdict_leaves_none_of_another(
    whole: dict[str, Any], tmp_path: Path, words: list[str], why: str
) -> None:
    (tmp_path / "core.py").write_text(CORE)
    folder = earlier(tmp_path / "report", whole)
    assert main([*(w.format(folder=tmp_path) for w in words), "--report", str(folder)]) == 2
    assert sorted(p.name for p in folder.iterdir()) == ["cases", "summary.md"]
    text = (folder / "summary.md").read_text()
    assert text.startswith("## Plumbline: NOTHING COULD BE SAID")
    assert why in text
    assert (folder / "cases" / "acme.json").is_file()


@pytest.mark.parametrize("how", ["errors", "missing", "raises"])
def test_a_suite_without_results_leaves_no_verdict(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from plumbline.suite import Collector, Outcome

    def suite(*_: object, **__: object) -> Collector:
        if how == "raises":
            raise RuntimeError("of the harness")
        outcome = Outcome("tests/a.py::test_a", None, (), "passed", "", 0.0)
        return Collector(errors=["it broke"]) if how == "errors" else Collector(outcomes=[outcome], total=2)

    monkeypatch.setattr("plumbline.conformance.run_suite", suite)
    folder = earlier(tmp_path / "report", whole)
    assert main(["--impl", "reference", "--quick", "--report", str(folder)]) == 2
    assert sorted(p.name for p in folder.iterdir()) == ["cases", "summary.md"]
    said = {"errors": "it broke", "missing": "1 of 2 tests gave no result", "raises": "RuntimeError: of the harness"}
    assert said[how] in (folder / "summary.md").read_text()


def test_a_replay_leaves_the_report_alone(whole: dict[str, Any], tmp_path: Path) -> None:
    folder = earlier(tmp_path / "report", whole)
    case = str(folder / "cases" / "acme.json")
    assert main(["--impl", "reference", "--replay", case, "--report", str(folder)]) == 2
    assert sorted(p.name for p in folder.iterdir()) == ["cases", *FILES]


def test_nothing_is_left_of_what_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "summary.md").mkdir()
    with pytest.raises(IsADirectoryError):
        report_folder.put(tmp_path, {"summary.md": "text"})
    assert [p.name for p in tmp_path.iterdir()] == ["summary.md"]
