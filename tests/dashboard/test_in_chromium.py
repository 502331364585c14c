"""The site as a browser shows it, from a file: it loads, draws, filters, remembers, and fits a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.chromium import Chromium
from tests.dashboard.histories import lines, write
from tests.dashboard.sites import MUTANTS, OURS, REPORTS, site

RUNS, SERIES = 200, 60
SECONDS = 1.0
"""Until the page of that history has loaded: the quickest of LOADS, since what else the machine does is not the page's."""
LOADS = 5
VISIBLE = "(e) => e.checkVisibility()"
ROWS = f"[...document.querySelectorAll('#series-table tbody tr')].filter({VISIBLE})"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        said = "NO CHROMIUM: nobody looked at the dashboard as a browser shows it; install Debian's package chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(said)
    opened = Chromium(binary)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dashboard")
    write(place / "history", RUNS, SERIES)
    return site(place / "report", place / "history", [OURS, *REPORTS], MUTANTS)


@pytest.fixture(autouse=True)
def desk(browser: Chromium) -> None:
    browser.scripts(True)
    browser.emulate(1280)


def look(browser: Chromium, page: Path, fragment: str = "") -> None:
    """Opens the page, which must log no error, miss no file, and ask the network for nothing."""
    browser.open(page, fragment)
    assert browser.problems == []


def at_chart(browser: Chromium, number: int = 0) -> None:
    """Brings a chart into view and waits until it is drawn."""
    browser.run(f"document.querySelectorAll('.chart')[{number}].scrollIntoView({{block: 'center'}})")
    browser.wait(f"document.querySelectorAll('.chart')[{number}].querySelector('canvas')")


def inked(number: int, name: str) -> str:
    """How many pixels of a chart have a custom property's colour."""
    return f"""(() => {{
        const canvas = document.querySelectorAll('.chart')[{number}].querySelector('canvas');
        const [width, height] = [canvas.width, canvas.height];
        const copy = Object.assign(document.createElement('canvas'), {{ width, height }});
        const probe = copy.getContext('2d', {{ willReadFrequently: true }});
        probe.fillStyle = getComputedStyle(document.body).getPropertyValue('--{name}').trim();
        probe.fillRect(0, 0, 1, 1);
        const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
        probe.clearRect(0, 0, 1, 1);
        probe.drawImage(canvas, 0, 0);
        const {{ data }} = probe.getImageData(0, 0, width, height);
        let count = 0;
        for (let k = 0; k < data.length; k += 4) count += data[k] === r && data[k + 1] === g && data[k + 2] === b;
        return count;
    }})()"""


def test_a_history_of_200_runs_loads_in_under_a_second(browser: Chromium, page: Path) -> None:
    seconds = []
    for _ in range(LOADS):
        look(browser, page)
        seconds.append(browser.run("performance.getEntriesByType('navigation')[0].loadEventStart") / 1000)
    assert browser.run(f"{ROWS}.length") == SERIES
    assert 0 < min(seconds) < SECONDS, seconds


def test_charts_draw_once_they_are_in_view(browser: Chromium, page: Path) -> None:
    look(browser, page)
    count = browser.run("document.querySelectorAll('.chart').length")
    assert count == SERIES
    assert browser.run("document.querySelectorAll('canvas').length") < 10
    for number in (0, 1, count - 1):
        at_chart(browser, number)
        assert browser.run(inked(number, "mark")) > 100
        assert browser.run(inked(number, "band")) > 50
    assert browser.run("document.querySelectorAll('canvas').length") < count
    assert browser.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_change_points_and_ceilings_are_drawn(browser: Chromium, page: Path, dark: bool) -> None:
    browser.emulate(1280, dark=dark)
    look(browser, page, "#series.find=identify%2F36+MiB")
    number = browser.run("[...document.querySelectorAll('.chart')].findIndex((e) => e.checkVisibility())")
    at_chart(browser, number)
    assert browser.run(inked(number, "bad")) > 20  # slower
    assert browser.run(inked(number, "good")) > 20  # the ceiling


def test_a_run_under_the_pointer_is_read_out(browser: Chromium, page: Path) -> None:
    look(browser, page)
    at_chart(browser)
    readout = "document.querySelector('.chart').parentElement.querySelector('.readout')"
    last = browser.run(f"{readout}.textContent")
    x, y = browser.run(
        "(() => { const r = document.querySelector('.chart .u-over').getBoundingClientRect();"
        "return [r.left + r.width / 4, r.top + r.height / 2] })()"
    )
    browser.hover(x, y)
    browser.wait(f"{readout}.textContent !== {last!r}")
    (k,) = browser.run(
        f"PLUMBLINE.runs.flatMap((r, k) => {readout}.querySelector('a').getAttribute('href').includes(r[0]) ? [k] : [])"
    )
    name, commit, when = browser.run(f"PLUMBLINE.runs[{k}]")
    said = browser.run(f"{readout}.textContent")
    assert said.startswith(f"{commit} {when[:10]}")
    for words in ("quartiles", "of reference", "\N{NO-BREAK SPACE}ms"):
        assert words in said
    assert (page.parent / "dashboard" / "raw" / name).is_file()


def test_keys_step_through_runs(browser: Chromium, page: Path) -> None:
    look(browser, page)
    at_chart(browser)
    readout = "document.querySelector('.chart').parentElement.querySelector('.readout').textContent"
    browser.run("document.querySelector('.chart').focus()")
    said = []
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
        browser.press(key)
        browser.run("new Promise((done) => setTimeout(done, 50))")
        said.append(browser.run(readout))
    assert said[0] == said[2] != said[1]


def test_ratios_stand_in_the_place_of_times(browser: Chromium, page: Path) -> None:
    look(browser, page)
    at_chart(browser)
    browser.run("document.querySelector('form.switch input[value=ratio]').click()")
    assert "show=ratio" in browser.run("location.hash")
    look(browser, page, "#show=ratio")
    at_chart(browser)
    assert browser.run("document.querySelector('form.switch').elements.show.value") == "ratio"
    assert browser.run(inked(0, "mark")) > 100
    without = next(line.benchmark for line in lines(SERIES) if line.ratio is None)
    browser.run(
        f"[...document.querySelectorAll('.card.series')].find((e) => e.dataset.find.startsWith({without!r})).scrollIntoView()"
    )
    browser.wait("document.body.textContent.includes('No ratio: nothing was measured in turns with it.')")
    assert browser.problems == []


def pick(browser: Chromium, group: str, name: str, value: str) -> None:
    browser.run(
        f"(() => {{ const field = document.querySelector('form[data-for={group}]').elements[{name!r}];"
        f"field.value = {value!r}; field.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("hardware", "NVIDIA H200"), ("part", "encode"), ("implementation", "sglang"), ("find", "Workload 3")],
)
def test_filters_filter_and_stay_in_the_address(browser: Chromium, page: Path, name: str, value: str) -> None:
    look(browser, page)
    pick(browser, "series", name, value)
    drawn = lines(SERIES)
    fits = {
        "hardware": lambda line: line.machine == "h200",
        "part": lambda line: line.benchmark.startswith("encode/"),
        "implementation": lambda line: line.implementation == "sglang",
        "find": lambda line: "workload 3" in line.benchmark,
    }[name]
    expected = sorted(line.benchmark for line in drawn if fits(line))
    names = f"{ROWS}.map((row) => row.cells[0].firstChild.textContent)"
    assert 0 < len(expected) < SERIES
    assert sorted(browser.run(names)) == expected
    cards = f"[...document.querySelectorAll('.card.series')].filter({VISIBLE}).length"
    assert browser.run(cards) == len(expected)
    assert browser.run("document.querySelector('form[data-for=series] output').textContent").startswith(
        f"{len(expected)} of {SERIES}"
    )
    fragment = browser.run("location.hash")
    look(browser, page, fragment)
    assert sorted(browser.run(names)) == expected
    pick(browser, "series", name, "")
    assert browser.run(f"{ROWS}.length") == SERIES


def test_the_matrix_filters_by_section_status_and_words(browser: Chromium, page: Path) -> None:
    look(browser, page)
    browser.run("document.getElementById('conformance').scrollIntoView()")
    seen = "[...document.querySelectorAll('.requirements tr[data-group]')].filter((e) => !e.hidden)"
    everything = browser.run(f"{seen}.length")
    for name, value, held in (
        ("section", "Cache", "row.id.startsWith('CACHE-')"),
        ("status", "failed", "row.querySelector('.status.failed')"),
        (
            "status",
            "differ",
            "new Set([...row.querySelectorAll('.status:not(.absent)')].map((e) => e.className)).size > 1",
        ),
        ("find", "patch budget", "row.textContent.toLowerCase().includes('patch budget')"),
    ):
        pick(browser, "conformance", name, value)
        assert 0 < browser.run(f"{seen}.length") < everything
        assert browser.run(f"{seen}.every((row) => {held})"), (name, value)
        hidden = "[...document.querySelectorAll('.requirements tr[data-group]')].filter((e) => e.hidden)"
        assert not browser.run(f"{hidden}.some((row) => {held})"), (name, value)
        pick(browser, "conformance", name, "")


def test_headings_sort(browser: Chromium, page: Path) -> None:
    look(browser, page)
    values = f"{ROWS}.map((row) => row.dataset.now).map(Number)"
    before = browser.run(values)
    now = "[...document.querySelectorAll('#series-table th button')].find((e) => e.textContent === 'Now').click()"
    browser.run(now)
    assert browser.run(values) == sorted(before, reverse=True) != before
    assert browser.run("document.querySelector('#series-table [aria-sort]').ariaSort") == "descending"
    look(browser, page, browser.run("location.hash"))
    assert browser.run(values) == sorted(before, reverse=True)
    browser.run(now)
    assert browser.run(values) == before


def test_a_link_to_a_hidden_chart_shows_it(browser: Chromium, page: Path) -> None:
    look(browser, page)
    pick(browser, "series", "part", "merge")
    target: Any = browser.run("document.querySelector('.card.series[hidden]').id")
    look(browser, page, f"#series.part=merge&at={target}")
    browser.wait(f"document.getElementById({target!r}).checkVisibility()")
    top = browser.run(f"document.getElementById({target!r}).getBoundingClientRect().top")
    assert 0 <= top < 900


def test_without_a_script_tables_and_drawings_are_there_and_dead_controls_are_not(
    browser: Chromium, page: Path
) -> None:
    browser.scripts(False)
    look(browser, page)
    browser.scripts(True)  # to ask; the page's own have not run, and will not
    assert browser.run(f"{ROWS}.length") == SERIES
    assert browser.run("document.querySelectorAll('.requirements tr[data-group]').length") > 150
    assert browser.run("document.querySelectorAll('.chart > svg').length") == SERIES
    assert browser.run(f"[...document.querySelectorAll('form, button')].filter({VISIBLE}).length") == 0


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_screen(browser: Chromium, page: Path, width: int, dark: bool) -> None:
    browser.emulate(width, dark=dark)
    look(browser, page)
    for name in ("speed", "charts", "conformance", "kills", "files"):
        browser.run(f"document.querySelector('nav a[href=\"#{name}\"]').click()")
        assert browser.run("document.documentElement.scrollWidth") <= width, name
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(22, 24, 26)") == dark


def test_headings_of_the_matrix_stay_in_sight(browser: Chromium, page: Path) -> None:
    look(browser, page)
    browser.run("document.getElementById('ENC-005').scrollIntoView()")
    head = browser.run("document.querySelector('.requirements thead th').getBoundingClientRect().top")
    nav = browser.run("document.querySelector('nav').getBoundingClientRect().bottom")
    row = browser.run("document.getElementById('ENC-005').getBoundingClientRect().top")
    assert nav - 5 <= head < row
