"""The page's form, whose fields are the parameters of a request and of a fleet."""

from __future__ import annotations

from plumbline.markup import Html, join, tag
from plumbline.real_sizes import SIZES
from plumbline.roofline.request import HBM, HOST, NVLINK, ORIGINS, PCIE

NUMBERS: dict[str, tuple[str, str, dict[str, object]]] = {
    "images": ("images", "1", {"min": 0, "max": 512}),
    "cached": ("of them cached", "0", {"min": 0, "max": 512}),
    "frames": ("frames of each (pairs for Qwen)", "1", {"min": 1, "max": 1024}),
    "height": ("height in patches", "32", {"min": 2, "max": 512, "step": 2}),
    "width": ("width in patches", "32", {"min": 2, "max": 512, "step": 2}),
    "text": ("text tokens", "64", {"min": 0, "max": 1_000_000}),
    "hidden": ("hidden size of the language model", "4096", {"min": 1, "max": 65_536}),
    "payload_bytes": ("bytes of a number in a payload", "2", {"min": 1, "max": 8}),
    "ranks": ("ranks of an engine", "1", {"min": 1, "max": 64}),
}
FLEET: dict[str, tuple[str, str, dict[str, object]]] = {
    "hosts": ("hosts", "1", {"min": 1, "max": 10_000}),
    "gpus": ("GPUs of a host", "8", {"min": 1, "max": 64}),
    "workers": ("workers of an engine", "1", {"min": 1, "max": 64}),
    "rate": ("requests a second, each engine", "100", {"min": 0.001, "max": 100_000, "step": "any"}),
    "late": ("a rank reads late by, ms on average", "5", {"min": 0, "max": 10_000, "step": "any"}),
    "kept": ("leased after encoding, ms", "0", {"min": 0, "max": 100_000, "step": "any"}),
    "full": ("accepted chance of a full pool", "0.001", {"min": 1e-9, "max": 0.5, "step": "any"}),
}
CHECKS = {
    "staged": ("copied into the pool", False),
    "shared": ("ranks share the images", True),
    "own_gpu": ("rank 0 on the worker's GPU", False),
}
PLACES = {"gpu": "the worker's GPU", "pinned": "pinned memory", "pageable": "pageable memory"}


def form() -> Html:
    fields = [_choice("family", "tower", {family: family for family in SIZES})]
    fields += [_number(name, *what) for name, what in NUMBERS.items()]
    fields += [_choice("origin", "payloads start in", {origin: PLACES[origin] for origin in ORIGINS})]
    fields += [
        tag("label", tag("input", type="checkbox", name=name, checked=on), text, class_="check")
        for name, (text, on) in CHECKS.items()
    ]
    request = tag("fieldset", tag("legend", "Request"), *fields)
    fleet = tag("fieldset", tag("legend", "Fleet"), *(_number(name, *what) for name, what in FLEET.items()))
    titles = [tag("th", text, scope="col") for text in ("stage", "floor", "")]
    titles += [tag("th", "bound by", scope="col", class_="words")]
    titles += [tag("th", text, scope="col") for text in ("operations", NVLINK, PCIE, HBM, HOST)]
    foot = tag("tfoot", tag("tr", tag("th", "all", scope="row"), tag("td", id="whole"), tag("td", colspan=7)))
    body = tag("tbody", id="stages")
    table = tag("table", tag("thead", tag("tr", *titles)), body, foot, class_="numbers")
    answer = tag(
        "div", tag("div", table, class_="scroll"), tag("div", id="plan", class_="big"), id="answer", class_="answer"
    )
    wrong = tag("p", id="wrong", class_="wrong", role="status")
    shown = tag("div", tag("form", request, fleet, id="parameters"), wrong, answer, id="try", class_="try", hidden=True)
    without = tag("noscript", tag("p", "This form needs JavaScript; everything else here does not.", class_="note"))
    return join([without, shown])


def _number(name: str, text: str, value: str, limits: dict[str, object]) -> Html:
    return tag("label", text, tag("input", type="number", name=name, value=value, required=True, **limits))


def _choice(name: str, text: str, options: dict[str, str]) -> Html:
    return tag(
        "label", text, tag("select", *(tag("option", shown, value=of) for of, shown in options.items()), name=name)
    )
