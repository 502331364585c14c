"""Workloads or towers on a simulated device, deliveries or ranks on several, or what processors leave there, in this process.

Prints what was found as JSON.

    python -m plumbline.sim [deliveries | collecting | towers | ranks] --impl SPEC [--replace PART=SPEC] [--cases N] [--seed N]

Exit status 1 if a requirement was broken.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections import Counter
from dataclasses import asdict

import torch

from plumbline.resolve import resolve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m plumbline.sim", description=__doc__.splitlines()[0])
    parser.add_argument(
        "what", nargs="?", choices=["workloads", "deliveries", "collecting", "towers", "ranks"], default="workloads"
    )
    parser.add_argument("--impl", metavar="SPEC", default="optimized")
    parser.add_argument("--replace", metavar="PART=SPEC", action="append", default=[])
    parser.add_argument(
        "--cases",
        metavar="N",
        type=int,
        default=100,
        help="drawn cases; each runs several times",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    module = importlib.import_module(f"plumbline.sim.{options.what}")  # registers a device
    report = module.explore(resolve(options.impl, options.replace), options.cases, options.seed)
    findings = [asdict(finding) for finding in report.findings.values()]
    counts = {name: dict(value) for name, value in vars(report).items() if isinstance(value, Counter)}
    json.dump({**vars(report), **counts, "findings": findings}, sys.stdout, indent=1)
    return 1 if report.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
