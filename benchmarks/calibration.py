"""How often a comparison is wrong on this machine: of the same code with itself, and with planted slowdowns and copies.

    python -m benchmarks.calibration --out FILE        # hours; each result is kept at once

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
from plumbline.speed.__main__ import FULL, IN_TURNS, PARTS
from plumbline.speed.compare import AGAIN, Change, Verdict, compare, settle
from plumbline.speed.measure import Side, measure_in_turns
from plumbline.speed.record import Record, parse

BENCHMARKS_OF = {"encoder": "encode"}
"""What the benchmarks of a part are called, where not as the part."""
DRIVEN_BY = {"encoder": ("embed",), "cache": ("embed",)}


def side(impl: str, only: Sequence[str], *more: str) -> Side:
    return Side([PARTS, f"--impl={impl}", f"--seconds={FULL[1]}", *(f"--only={name}" for name in only), *more])


def records(sides: Sequence[Side], processes: int) -> list[Record]:
    return [parse(data, "calibration") for data in measure_in_turns(sides, processes, lambda *_: None)]


def both(impl: str, only: Sequence[str], processes: int, *more: str) -> tuple[Record, Record]:
    """Of the base's code, and of ``impl``."""
    before, after = records([side("optimized", only, *more), side(impl, only, *more)], processes)
    return before, after


def changes(impl: str) -> list[Change]:
    """As ``nox -s bench -- --compare`` does it: in turns with the base's code, and what is suspected once more."""
    return settle(compare(*both(impl, [], IN_TURNS)), lambda suspects: both(impl, suspects, AGAIN, "--times-only"))


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
        options.out.write_text(
            json.dumps(result | {"full": FULL, "in_turns": IN_TURNS, "again": AGAIN}, indent=1) + "\n"
        )

    for k in range(max(options.same, options.planted, options.copies)):
        if k < options.planted:
            part = SLOW[k % len(SLOW)]
            impl = f"benchmarks/planted.py:slow_{part}"
            found = changes(impl)
            keep("slower", impl, found, is_right(part, found))
        if k < options.copies:
            part = ("identify", "merge", "encoder")[k % 3]
            impl = f"benchmarks/planted.py:copying_{part}"
            found = compare(*both(impl, [BENCHMARKS_OF.get(part, part)], 1))
            keep("copy", impl, found, any(c.verdict is Verdict.COUNTER_GREW and "cop" in c.counter for c in found))
        if k < options.same:
            found = changes("optimized")
            keep("same", "optimized", found, not any(c.fails for c in found))
    for kind in ("same", "slower", "copy"):
        mine = [row["right"] for row in rows if row["kind"] == kind]
        console.print(f"{kind}: right in {sum(mine)} of {len(mine)}")


if __name__ == "__main__":
    main()
