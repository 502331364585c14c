"""The part of the page on real photos: the images, where they lie in the prompts, and what the runs cost."""

from __future__ import annotations

from typing import Any

from plumbline.markup import Html, join, tag

_MEASURES = {
    "seconds": "time",
    "prepare_seconds": "of it preparing",
    "tower_calls": "tower calls",
    "items_encoded": "items encoded",
    "patches": "patches encoded",
    "largest_call": "patches in the largest call",
    "bytes_moved": "bytes moved",
    "bytes_hashed": "bytes hashed",
}
_PROCESSES = {
    "workers": "workers",
    "ranks": "ranks",
    "requests": "requests",
    "payload_bytes": "payload bytes published",
    "pool_bytes": "bytes of the pool",
    "pooled_bytes": "payload bytes in the pool",
    "pooled_payloads": "payloads in the pool",
    "message_payloads": "payloads in messages",
    "seconds": "time, with the start of the processes",
    "identical": "bit-identical to one process",
}


def photos(found: dict[str, Any] | None) -> Html:
    """The section, or nothing where the run had no photos."""
    if not found:
        return Html()
    tower = found["tower"]
    about = (
        f"{found['rows']:,} rows in {found['steps']:,} steps, chunks of {found['chunk']:,} tokens. "
        f"Tower {tower['name']}: "
        f"{tower['parameters']:,} parameters, {tower['layers']} layers, hidden size {tower['hidden']:,}, "
        f"{tower['side_levels']} side levels, row floor {tower['row_floor']:,}."
    )
    same = "✓ every embedding bit-identical" if found["identical"] else f"✗ first difference: {found['difference']}"
    # Each thumbnail is in the page once, as a style, however often it is shown.
    styles = "".join(f".photo-{k}{{background-image:url({i['thumbnail']})}}\n" for k, i in enumerate(found["images"]))
    return tag(
        "section",
        tag("h2", "Photos"),
        tag("style", Html(styles)),
        tag("p", same, class_="banner " + ("held" if found["identical"] else "failed")),
        tag("p", about, class_="note"),
        tag("ol", *(_image(k, image) for k, image in enumerate(found["images"])), class_="thumbs"),
        tag("h3", "Requests"),
        tag("p", "A bar is a prompt: images in place, text between them, ticks where chunks end.", class_="note"),
        tag("div", *(_request(request, found) for request in found["requests"]), class_="requests"),
        tag("h3", "Work"),
        tag("div", _table(found["runs"], _MEASURES), class_="scroll"),
        _processes(found.get("processes", [])),
        _towers(found.get("towers", [])),
        id="photos",
    )


def _processes(runs: list[dict[str, Any]]) -> Html:
    """Nothing where everything ran in one process."""
    if not runs:
        return Html()
    about = (
        "The same requests, prepared and published by workers and embedded by every rank, each a process of its own. "
        "The pool is too small for all payloads: what finds no room travels in its message."
    )
    table = tag("div", _table(runs, _PROCESSES), class_="scroll")
    return join([tag("h3", "Processes"), tag("p", about, class_="note"), table])


def _towers(towers: list[dict[str, Any]]) -> Html:
    """Nothing in a report from before there were any."""
    if not towers:
        return Html()
    shots = ", ".join(towers[0]["shots"])
    about = (
        f"{shots}, through each implementation's own encoder and tower, a small one. How far its rows are from others': "
        "the largest distance, in units of the last place of the largest number, and the share that is used up of the "
        "bound for two correct evaluations."
    )
    others = list(dict.fromkeys(distance["to"] for tower in towers for distance in tower["distances"]))
    names = ["Family", "Implementation", "Alone and together", *(f"To {other}" for other in others)]
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    rows = (_tower(tower, others) for tower in towers)
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="work towers")
    wrong = [
        tag(
            "p",
            f"✗ {tower['family']} of {tower['implementation']}: {'; '.join(tower['wrong'])}",
            class_="banner failed",
        )
        for tower in towers
        if tower["wrong"]
    ]
    return join([tag("h3", "Towers"), tag("p", about, class_="note"), *wrong, tag("div", table, class_="scroll")])


def _tower(tower: dict[str, Any], others: list[str]) -> Html:
    same = {True: "✓ same bits", False: "✗ other bits", None: "not claimed"}[tower["identical"]]
    distances = {distance["to"]: distance for distance in tower["distances"]}
    family = tag("th", tower["family"], " ", tag("small", f"{tower['patches']:,} patches"), scope="row")
    return tag(
        "tr",
        family,
        tag("td", tower["implementation"]),
        tag("td", same),
        *(tag("td", _distance(distances[other])) if other in distances else tag("td", "—") for other in others),
    )


def _distance(distance: dict[str, Any]) -> Html:
    share = max(distance["rms_share"], distance["largest_share"])
    said = f"{'✗ ' if share > 1 else ''}{100 * share:,.0f} %"
    return join([f"{distance['largest_ulp']:,.1f} ulp ", tag("small", said)])


def _image(index: int, image: dict[str, Any]) -> Html:
    look = f"aspect-ratio:{image['width']}/{image['height']};{_hue(index)}"
    shown = tag("div", class_=f"photo photo-{index}", style=look, role="img", aria_label=image["file"])
    size = f"{image['width']} × {image['height']} {image['mode']}"
    return tag(
        "li", shown, tag("b", str(index + 1), style=_hue(index)), " ", tag("span", image["file"]), tag("small", size)
    )


def _hue(index: int) -> str:
    return f"--hue:{(205 + index * 137) % 360}"


def _request(request: dict[str, Any], found: dict[str, Any]) -> Html:
    tokens, chunk = request["tokens"], found["chunk"]

    def at(position: int) -> str:
        return f"{100 * position / tokens:.3f}%"

    spans = sorted(zip(request["spans"], request["images"], strict=True))
    marks = [
        tag(
            "span",
            tag("b", str(index + 1)),
            class_=f"span photo-{index}",
            style=f"left:{at(lo)};width:{at(hi - lo)};{_hue(index)}",
            title=f"{found['images'][index]['file']}: tokens {lo} to {hi}",
        )
        for (lo, hi), index in spans
    ]
    ticks = [tag("i", style=f"left:{at(end)}") for end in range(chunk, tokens, chunk)]
    order = " ".join(str(index + 1) for _, index in spans) or "none"
    label = f"{request['id']}: {tokens} tokens, images {order}"
    name = tag("div", tag("code", request["id"]), " ", tag("small", f"{tokens:,} tokens, {len(ticks) + 1} chunks"))
    longest = max(other["tokens"] for other in found["requests"])
    width = f"width:{100 * tokens / longest:.2f}%"
    bar = tag("div", *marks, *ticks, class_="bar", role="img", aria_label=label, style=width)
    return tag("div", name, tag("div", bar), class_="request")


def _table(runs: list[dict[str, Any]], measures: dict[str, str]) -> Html:
    head = tag("tr", tag("td"), *(tag("th", run["implementation"], scope="col") for run in runs))
    rows = [
        tag("tr", tag("th", words, scope="row"), *(tag("td", _shown(key, run.get(key))) for run in runs))
        for key, words in measures.items()
        if any(key in run for run in runs)
    ]
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="work")


def _shown(key: str, value: float | None) -> Html:
    if value is None:
        return join(["not counted"])
    if isinstance(value, bool):
        return join(["yes" if value else "no"])
    return join([f"{value:.3f} s" if key.endswith("seconds") else f"{value:,}"])
