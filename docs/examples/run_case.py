"""Runs one saved case once, for a debugger: no watchdog, no search for the cause.

python -m docs.examples.run_case SPEC CASE [PART=SPEC ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from plumbline.engine import run
from plumbline.judge import judge
from plumbline.resolve import resolve
from plumbline.scenario import loads


def main(spec: str, case: str, *replace: str) -> None:
    implementation = resolve(spec, replace).implementation
    trace = run(loads(json.dumps(json.loads(Path(case).read_text())["scenario"])), implementation)
    for violation in judge(trace, implementation.capabilities).violations:
        print(violation.requirement, violation.message)


if __name__ == "__main__":
    main(*sys.argv[1:])
