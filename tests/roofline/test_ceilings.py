"""Ceilings are data that follow from raw results, and a file that is none is refused."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ceilings import rounded, text
from plumbline.roofline.ceilings import FILE, ROOT, CeilingsError, Table, read


def test_the_file_follows_from_the_raw_results() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run python -m benchmarks.ceilings"


def test_every_source_that_is_cited_is_there() -> None:
    ceilings = read()
    sources = [rate.source for rate in ceilings.rates.values() if rate.source]
    sources += [source for table in ceilings.tables.values() for source in table.sources]
    assert len(sources) >= len(ceilings.rates) + len(ceilings.tables) - 1
    assert all((ROOT / source).is_file() for source in sources)


def test_between_points_a_rate_is_linear_in_the_logarithm_and_beyond_them_constant() -> None:
    table = Table("B/s", "bytes", "", ((100.0, 10.0), (10_000.0, 30.0), (20_000.0, 30.0)), ())
    found = [table.at(size) for size in (1, 100, 1_000, 10_000, 15_000, 20_000, 10**9)]
    assert found == pytest.approx([10, 10, 20, 30, 30, 30, 30])


def test_rates_are_rounded_up() -> None:
    assert [rounded(rate) for rate in (12341.0, 1.23401, 9.9999e12, 5e9)] == [12350.0, 1.235, 1e13, 5e9]
    assert all(rounded(math.pi * 10**power) >= math.pi * 10**power for power in range(-3, 15))


def broken(change: Callable[[dict[str, Any]], object]) -> str:
    content = json.loads(FILE.read_text(encoding="utf-8"))
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "truncated"),
        ("[]", "object"),
        (broken(lambda file: file["rates"].pop("NVLink")), "no ceiling of NVLink"),
        (broken(lambda file: file["tables"].pop("linears")), "no ceiling of linears"),
        (broken(lambda file: file["rates"]["HBM"].update(value=-1.0)), "positive"),
        (broken(lambda file: file["rates"]["HBM"].update(value="fast")), "rates"),
        (broken(lambda file: file["tables"]["linears"].update(points=[])), "has points"),
        (broken(lambda file: file["tables"]["linears"]["points"].reverse()), "rise"),
        (broken(lambda file: file["tables"]["linears"]["points"].append([1e9, 1.0])), "never fall"),
    ],
)
def test_a_file_that_is_none_is_refused(content: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "ceilings.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(CeilingsError, match=says):
        read(file)


def test_the_command_says_what_is_wrong_with_a_file_and_loads_no_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "plumbline.roofline"]
    options = ["--ceilings", str(tmp_path / "none.json"), "--out", str(tmp_path / "page.html")]
    child = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert child.returncode == 2
    assert "none.json cannot be read: No such file or directory" in child.stderr
    assert re.search(r"\| +plumbline.roofline.page$", child.stderr, re.MULTILINE)
    assert not re.search(r"\| +torch$", child.stderr, re.MULTILINE)
    assert not (tmp_path / "page.html").exists()
