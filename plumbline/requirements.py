"""Reads conformance.md: the requirements, their sections and levels, and what they need."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from plumbline.interface import Capability

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "conformance.md"

_HEADING = re.compile(r"^### ([A-Z]+-\d{3}) \((MUST|SHOULD|MAY)\)$")


@dataclass(frozen=True)
class Requirement:
    """One obligation. needs: the capability without which it is not claimed; None for the core. planned: when its tests come."""

    id: str
    level: str
    section: str
    text: str
    why: str
    reference: str
    needs: Capability | None
    planned: str


class DocumentError(ValueError):
    """conformance.md is not in its own format."""


@cache
def requirements() -> dict[str, Requirement]:
    """All requirements by id, in the order of the document. Raises DocumentError."""
    return parse(DOCUMENT.read_text())


def parse(text: str) -> dict[str, Requirement]:
    found: dict[str, Requirement] = {}
    section = ""
    lines = text.splitlines()
    for k, line in enumerate(lines):
        if line.startswith("## "):
            section = line[3:].strip()
        heading = _HEADING.match(line)
        if line.startswith("### ") and not heading:
            raise DocumentError(f"line {k + 1}: {line!r} is not '### ID (LEVEL)'")
        if heading:
            name, level = heading.groups()
            if name in found:
                raise DocumentError(f"line {k + 1}: {name} is used twice")
            block = lines[k + 1 :]
            end = next((e for e, other in enumerate(block) if other.startswith("#")), len(block))
            found[name] = _requirement(name, level, section, block[:end])
    return found


def _requirement(name: str, level: str, section: str, block: list[str]) -> Requirement:
    fields = dict(re.findall(r"^- (\w+): (.*)$", "\n".join(block), re.MULTILINE))
    text = " ".join(line for line in block if line and not line.startswith("- "))
    unknown = set(fields) - {"why", "reference", "needs", "planned"}
    if not text or "why" not in fields or unknown:
        raise DocumentError(f"{name}: needs one sentence and a why; unknown fields: {sorted(unknown)}")
    needs = Capability(fields["needs"]) if "needs" in fields else None
    return Requirement(
        name, level, section, text, fields["why"], fields.get("reference", "none"), needs, fields.get("planned", "")
    )


def document_sha256() -> str:
    return hashlib.sha256(DOCUMENT.read_bytes()).hexdigest()
