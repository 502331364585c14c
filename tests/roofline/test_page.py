"""The page: complete without JavaScript, no network; and its JavaScript, which calculates what Python does."""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any

import pytest

from plumbline.real_sizes import SIZES
from plumbline.roofline import page
from plumbline.roofline.ceilings import ROOT, read
from plumbline.roofline.fleet import Fleet, plan
from plumbline.roofline.request import ORIGINS, WHY, Request, model
from plumbline.roofline.services import services

CASES = 50
NODE = """
const { roofline } = require(process.argv[1]);
let text = "";
process.stdin.on("data", (part) => { text += part; }).on("end", () => {
  const { data, cases } = JSON.parse(text), made = roofline(data);
  process.stdout.write(JSON.stringify(cases.map(({ request, fleet }) => {
    const services = made.services(request);
    return { model: made.model(request), services, plan: made.plan(fleet, services) };
  })));
});
"""


def drawn(draw: random.Random) -> tuple[Request, Fleet]:
    """Any request, small enough to be calculated in milliseconds, and a fleet for it."""
    ranks = draw.choice([1, 2, 3, 4, 8])
    grids = tuple(
        (draw.choice([1, 1, 2, 5]), 2 * draw.randint(1, 40), 2 * draw.randint(1, 40)) for _ in range(draw.randint(0, 4))
    )
    request = Request(
        family=draw.choice(list(SIZES)),
        grids=grids,
        text=draw.randint(1, 2000),
        hidden=draw.choice([1024, 3584, 4096, 7168]),
        payload_bytes=draw.choice([2, 4]),
        origin=draw.choice(ORIGINS),
        ranks=ranks,
        staged=draw.random() < 0.5,
        shared=draw.random() < 0.5,
        own_gpu=draw.random() < 0.5,
        cached=draw.randint(0, len(grids)),
    )
    fleet = Fleet(
        rate=10 ** draw.uniform(-1, 3),
        hosts=draw.randint(1, 4),
        gpus=8,
        ranks=ranks,
        workers=draw.randint(1, 4),
        late=draw.choice([0.0, 0.001, 0.05]),
        kept=draw.choice([0.0, 0.3]),
        full=10 ** draw.uniform(-6, -1),
    )
    return request, fleet


def same(one: Any, other: Any, where: str) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            same(a, b, f"{where}[{place}]")
    elif isinstance(one, float) and isinstance(other, int | float):
        assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-14), f"{where}: {one} here, {other} in JavaScript"
    else:
        assert one == other, f"{where}: {one} here, {other} in JavaScript"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node to run the page's JavaScript")
def test_the_form_calculates_what_the_model_does() -> None:
    draw, ceilings = random.Random(20), read()
    cases, wanted = [], []
    for _ in range(CASES):
        request, fleet = drawn(draw)
        of = services(request, ceilings)
        cases.append({"request": asdict(request), "fleet": asdict(fleet)})
        stages = [asdict(stage) for stage in model(request, ceilings)]
        wanted.append({"model": stages, "services": asdict(of), "plan": asdict(plan(fleet, of))})
    text = json.dumps({"data": page.data(ceilings), "cases": cases})
    script = str(page.SCRIPT)
    child = subprocess.run(["node", "-e", NODE, script], input=text, capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout)
    wanted = json.loads(json.dumps(wanted))
    assert sum(case["plan"]["slots"] is not None for case in wanted) > CASES / 4
    assert sum(case["plan"]["slots"] is None for case in wanted) > 3
    for number, (here, there) in enumerate(zip(wanted, found, strict=True)):
        same(here, there, f"case {number}")


def test_the_document_s_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    document = (ROOT / "docs" / "roofline.md").read_text(encoding="utf-8")
    exec(document.split("```python\n")[1].split("```")[0], {})
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[:-1]] == list(WHY)
    assert "bottleneck='ViT'" in shown


class Reader(HTMLParser):
    """The text of all cells, and all addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden = tag in ("script", "style")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action")]

    def handle_endtag(self, tag: str) -> None:
        self.hidden = False

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.text += data + "\n"


@pytest.fixture(scope="module")
def written() -> str:
    return page.render(read(), requests=2000)


def test_the_page_is_complete_without_javascript_and_fetches_nothing(written: str) -> None:
    reader = Reader()
    reader.feed(written)
    assert all(address.startswith("#") for address in reader.addresses)
    assert "url(" not in written
    assert "@import" not in written
    for preset in page.PRESETS:
        assert preset.title in reader.text
    for sentence in WHY.values():
        assert sentence in reader.text
    for rate in read().rates.values():
        assert rate.what in reader.text


def test_the_embedded_data_cannot_end_the_script(written: str) -> None:
    inside = written.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    assert json.loads(inside) == json.loads(json.dumps(page.data(read())))
