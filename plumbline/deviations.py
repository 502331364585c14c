"""An implementer's file of known failures: requirement, reason, link, and a witness that must still fail.

    [[deviation]]
    requirement = "ITEM-004"
    kind = "unstated precondition"      # may be left out
    reason = "rows are dealt in the order of the prompt"
    link = "https://github.com/acme/engine/issues/12"
    witness = "interleaved.json"        # a saved case beside this file, or a test's node id

A witness that no longer fails, an entry without one, or an unknown requirement is an error: the file cannot rot.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plumbline.cases import AnyCase, read_case
from plumbline.interface import Implementation
from plumbline.replay import broken_by
from plumbline.requirements import requirements

KINDS = ("wrong result", "weaker guarantee", "unstated precondition", "difference of interface")
"""What a deviation is to a user: he gets something wrong; less than is promised here; something wrong only from an input
that the engine's own code never makes; or nothing, because the engine does it elsewhere."""


class DeviationError(Exception):
    """The file of deviations does not say what it must, or something in it is no longer true."""


@dataclass(frozen=True)
class Deviation:
    """scenario: the witness, if it is a case; else ``witness`` is a test's node id."""

    requirement: str
    reason: str
    link: str
    witness: str
    scenario: AnyCase | None
    kind: str = ""


def read(path: Path) -> list[Deviation]:
    """All entries of a file. Raises DeviationError naming the entry."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DeviationError(f"{path}: {error}") from error
    unknown = set(data) - {"deviation"}
    if unknown:
        raise DeviationError(f"{path}: unknown tables {sorted(unknown)}; entries are [[deviation]]")
    return [_entry(path, k, entry) for k, entry in enumerate(data.get("deviation", []), 1)]


def _entry(path: Path, number: int, entry: dict[str, str]) -> Deviation:
    fields = {"requirement", "reason", "link", "witness"}
    if set(entry) - {"kind"} != fields:
        raise DeviationError(
            f"{path}, entry {number}: has {sorted(entry)}, needs exactly {sorted(fields)}, and may have kind"
        )
    if entry.get("kind", KINDS[0]) not in KINDS:
        raise DeviationError(f"{path}, entry {number}: kind {entry['kind']!r} is none of {', '.join(KINDS)}")
    if entry["requirement"] not in requirements():
        raise DeviationError(f"{path}, entry {number}: conformance.md has no requirement {entry['requirement']}")
    scenario = None
    if "::" not in entry["witness"]:
        witness = path.parent / entry["witness"]
        try:
            scenario = read_case(json.loads(witness.read_text())["scenario"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeviationError(f"{path}, entry {number}: witness {witness} is not a saved case: {error}") from error
    return Deviation(**entry, scenario=scenario)


def check(deviations: Sequence[Deviation], implementation: Implementation, failed_tests: Sequence[str]) -> None:
    """Runs each witness. Raises DeviationError for one that does not fail as its entry says."""
    for d in deviations:
        if d.scenario is None:
            shows = any(nodeid.split("[")[0] == d.witness.split("[")[0] for nodeid in failed_tests)
        else:
            shows = d.requirement in broken_by(d.scenario, implementation)
        if not shows:
            raise DeviationError(
                f"the deviation from {d.requirement} ({d.reason}) does not show in its witness {d.witness}: "
                "if it was mended, delete the entry"
            )
