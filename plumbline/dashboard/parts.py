"""Small parts that several sections of the dashboard have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from plumbline.dashboard.series import Series
from plumbline.dashboard.units import digits
from plumbline.markup import Html, join, tag
from plumbline.speed.history import Point
from plumbline.speed.record import Record


def filters(group: str, choices: Mapping[str, tuple[str, Iterable[str]]], what: str) -> Html:
    """A form that the script shows, and that hides elements whose ``data-group`` is group. choices: by the name of the data
    attribute: its label, and the values that occur. what: is counted."""
    fields = [
        tag("label", label, " ", tag("select", tag("option", "all", value=""), *map(_option, values), name=name))
        for name, (label, values) in choices.items()
    ]
    search = tag("label", "Find ", tag("input", type="search", name="find", autocomplete="off", spellcheck="false"))
    count = tag("output", "", class_="count", data_what=what)
    return tag(
        "form", *fields, search, count, class_="filters", data_for=group, aria_label=f"Filter {what}", hidden=True
    )


def _option(value: str) -> Html:
    return tag("option", value, value=value)


def table(head: Iterable[Html], rows: Iterable[Html], caption: str, **attributes: object) -> Html:
    """caption: read to those who do not see what stands around it."""
    return grouped(head, [tag("tbody", *rows)], caption, **attributes)


def grouped(head: Iterable[Html], bodies: Iterable[Html], caption: str, **attributes: object) -> Html:
    """The same of several bodies."""
    return tag("table", tag("caption", caption, class_="unseen"), tag("thead", tag("tr", *head)), *bodies, **attributes)


def heads(*names: str) -> list[Html]:
    return [tag("th", name, scope="col") for name in names]


def commit(of: Record | Point) -> Html:
    return tag("code", of.commit or "no commit")


def raw_of(name: str) -> str:
    """Where the copy of a file lies, from the page."""
    return f"dashboard/raw/{quote(name)}"


def raw(name: str, words: str = "raw JSON") -> Html:
    return tag("a", words, href=raw_of(name))


def identity(series: Series) -> dict[str, object]:
    """What the filters ask of an element that shows a series."""
    key = series.key
    said = (key.benchmark, key.implementation, key.hardware, key.driver, key.torch)
    return {
        "data_group": "series",
        "data_hardware": key.hardware,
        "data_part": series.part,
        "data_implementation": key.implementation,
        "data_find": " ".join(said).lower(),
    }


def machine(series: Series) -> str:
    key = series.key
    driver = f", driver {key.driver}" if key.driver else ""
    return f"{key.hardware}{driver}, torch {key.torch}"


def ratio(point: Point, named: bool = True) -> Html:
    """Over the baseline, with the interval and, if named, what the baseline is."""
    if point.ratio is None:
        return tag("span", "–", class_="none", title="Nothing was measured in turns with it")
    low, high = digits(point.ratio.low), digits(point.ratio.high)
    of = f" of {point.baseline}" if named and point.baseline else ""
    return join([tag("b", digits(point.ratio.middle)), " ", tag("small", f"[{low}, {high}]{of}")])


def choices(series: Sequence[Series]) -> dict[str, tuple[str, Iterable[str]]]:
    return {
        "hardware": ("Hardware", sorted({s.key.hardware for s in series})),
        "part": ("Part", sorted({s.part for s in series})),
        "implementation": ("Implementation", sorted({s.key.implementation for s in series})),
    }
