"""The report of a conformance run: what is allowed in it, and how it reaches the disk."""

from __future__ import annotations

import json
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import best_match

from plumbline import page
from plumbline.report_folder import PAGE, REPORT, SUMMARY, put
from plumbline.summary import summarize

Report = dict[str, Any]
SCHEMA = Path(__file__).with_name("report.schema.json")


class ReportError(ValueError):
    """A report that its readers could misread. The message begins with the place in the report."""


@cache
def _validator() -> Any:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def validate(report: Report) -> None:
    """Holds a report against ``report.schema.json`` and against itself. Raises ReportError."""
    error = best_match(_validator().iter_errors(report))
    if error is not None:
        raise ReportError(f"{error.json_path}: {_shortened(error.message)}")
    ids = [requirement["id"] for requirement in report["requirements"]]
    for k, implementation in enumerate(report["implementations"]):
        listed = [outcome["id"] for outcome in implementation["requirements"]]
        if listed != ids:
            wrong = next(i for i, (a, b) in enumerate(zip_longest(listed, ids)) if a != b)
            raise ReportError(
                f"$.implementations[{k}].requirements[{wrong}]: every requirement of the report must be listed once, "
                f"in its order; expected {(ids[wrong:] or ['the end'])[0]}, found {(listed[wrong:] or ['the end'])[0]}"
            )
    _validate_photos(report["photos"])


def _validate_photos(photos: Report | None) -> None:
    for k, request in enumerate(photos["requests"] if photos else []):
        at = f"$.photos.requests[{k}]"
        if len(request["images"]) != len(request["spans"]):
            raise ReportError(f"{at}: {len(request['images'])} images for {len(request['spans'])} spans")
        if any(index >= len(photos["images"]) for index in request["images"]):  # type: ignore[index]
            raise ReportError(f"{at}.images: an index is beyond the list of images")
        if any(not lo < hi <= request["tokens"] for lo, hi in request["spans"]):
            raise ReportError(f"{at}.spans: a span is empty or ends beyond {request['tokens']} tokens")


def _shortened(message: str, limit: int = 300) -> str:
    return message if len(message) <= limit else f"{message[: limit // 2]} ... {message[-limit // 2 :]}"


def write(report: Report, folder: Path) -> None:
    """Validates, then writes ``conformance.json``, ``index.html`` and ``summary.md``. Readers see old or new, never half."""
    validate(report)
    data = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    put(folder, {REPORT: data, PAGE: page.render(report), SUMMARY: summarize(report)})
