"""How often a comparison is wrong on this machine: runs of the same code against its record, and of planted slowdowns and copies.

    python -m benchmarks.calibration --out FILE        # two hours

No verdict of the suite is asked for: what is timed is optimized, and what was planted changes no result.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.planted import SLOW
from plumbline.results import commit, environment
from plumbline.speed.__main__ import FULL, PARTS, kept
from plumbline.speed.compare import Change, Verdict, compare, settle
from plumbline.speed.measure import measure
from plumbline.speed.record import Record, parse

BASE_PROCESSES, RUNS_OF_BASE = 8, 5
"""A new base after so many rounds, since the error of a base stays in all that is compared with it."""
BENCHMARKS_OF = {"encoder": "encode"}
"""What the benchmarks of a part are called, where not as the part."""
DRIVEN_BY = {"encoder": ("embed",), "cache": ("embed",)}


def record(impl: str, processes: int, only: Sequence[str] = ()) -> Record:
    given = [PARTS, f"--impl={impl}", f"--seconds={FULL[1]}", *(f"--only={name}" for name in only)]
    return parse(measure(given, processes, lambda *_: None), impl)


def changes(base: Record, impl: str, only: Sequence[str] = ()) -> list[Change]:
    """As ``nox -s bench -- --compare`` does it: what is suspected is measured again."""
    found = compare(kept(base, only), record(impl, FULL[0], only))
    return settle(found, lambda suspects: record(impl, FULL[0], suspects))


def is_right(part: str, found: Sequence[Change]) -> bool:
    """Whether the part's own benchmarks fail, and no others but those of what drives it."""
    flagged = {c.key.benchmark.partition("/")[0] for c in found if c.fails}
    own = BENCHMARKS_OF.get(part, part)
    return own in flagged and flagged <= {own, *DRIVEN_BY.get(part, ())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("report/calibration.json"))
    parser.add_argument("--same", type=int, default=20, help="runs of the same code")
    parser.add_argument("--planted", type=int, default=10, help="runs with a slowdown, of one part after the other")
    parser.add_argument("--copies", type=int, default=9, help="runs with a copy more")
    options = parser.parse_args()
    console = Console(highlight=False, width=160, soft_wrap=True)
    began = time.time()
    rows: list[dict[str, Any]] = []

    def keep(kind: str, impl: str, found: Sequence[Change], right: bool) -> None:
        failed = [str(c) for c in found if c.fails]
        rows.append({"kind": kind, "impl": impl, "failed": failed, "right": right, "load": os.getloadavg()[0]})
        console.print(
            f"{time.time() - began:5.0f} s {kind} {impl}: {'right' if right else 'WRONG'}; {'; '.join(failed)}"
        )
        result = {"commit": commit(), "environment": environment(), "seconds": round(time.time() - began), "rows": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result | {"full": FULL, "base": BASE_PROCESSES}, indent=1) + "\n")

    for k in range(max(options.same, options.planted, options.copies)):
        if k % RUNS_OF_BASE == 0:
            base = record("optimized", BASE_PROCESSES)
        if k < options.planted:
            part = SLOW[k % len(SLOW)]
            impl = f"benchmarks/planted.py:slow_{part}"
            found = changes(base, impl)
            keep("slower", impl, found, is_right(part, found))
        if k < options.copies:
            part = ("identify", "merge", "encoder")[k % 3]
            impl = f"benchmarks/planted.py:copying_{part}"
            found = changes(base, impl, [BENCHMARKS_OF.get(part, part)])
            keep("copy", impl, found, any(c.verdict is Verdict.COUNTER_GREW and "cop" in c.counter for c in found))
        if k < options.same:
            found = changes(base, "optimized")
            keep("same", "optimized", found, not any(c.fails for c in found))
    for kind in ("same", "slower", "copy"):
        mine = [row["right"] for row in rows if row["kind"] == kind]
        console.print(f"{kind}: right in {sum(mine)} of {len(mine)}")


if __name__ == "__main__":
    main()
