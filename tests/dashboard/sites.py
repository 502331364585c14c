"""Sites of synthetic histories, and what a reader of HTML sees in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from plumbline.dashboard.site import collect, write
from plumbline.markup import _VOID
from plumbline.requirements import ROOT

REPORTS = sorted((ROOT / "adapters" / "scorecards").glob("*/conformance.json"))
OURS = max((ROOT / "benchmarks" / "history").glob("*-conformance.json"))
MUTANTS = ROOT / "benchmarks" / "history" / "2026-11-21-2bf4313-mutants.json"


def site(folder: Path, history: Path, reports: Sequence[Path] = (), mutants: Path | None = None) -> Path:
    """The page of a site that is written into the folder."""
    return write(collect(history, reports, mutants), folder)


def history(folder: Path, *records: dict[str, Any]) -> Path:
    """A folder of these records, in the order of their names."""
    folder.mkdir(parents=True)
    for number, data in enumerate(records):
        (folder / f"{number:03d}-speed.json").write_text(json.dumps(data))
    return folder


class Page(HTMLParser):
    """Raises ValueError for elements that do not nest. links: href and src of all; ids; rows: texts of each table row."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.rows: list[list[str]] = []
        self._texts: list[str] = []
        self.feed(text)
        self.close()
        if self.open:
            raise ValueError(f"never closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if len(given) != len(attrs):
            raise ValueError(f"{tag} has an attribute twice: {attrs}")
        self.tags.append(tag)
        self.attributes += given
        self.links += [value for name in ("href", "src") if (value := given.get(name)) is not None]
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            raise ValueError(f"</{tag}> closes another element, at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        if self.rows and self.rows[-1] and ("td" in self.open or "th" in self.open):
            self.rows[-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ")

    @cached_property
    def text(self) -> str:
        return "".join(self._texts).replace("\N{NO-BREAK SPACE}", " ")

    def broken(self, page: Path) -> list[str]:
        """Links that lead nowhere; links to elsewhere are among them."""
        return [link for link in self.links if not self._resolves(link, page)]

    def _resolves(self, link: str, page: Path) -> bool:
        if link.startswith("#"):
            return link[1:] in self.ids
        return (page.parent / unquote(link)).is_file()
