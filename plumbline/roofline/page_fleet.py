"""The page's sections on hosts x GPUs: what saturates when, and paper beside simulation."""

from __future__ import annotations

from dataclasses import replace

from plumbline.markup import Html, join, tag
from plumbline.roofline import units
from plumbline.roofline.ceilings import Ceilings
from plumbline.roofline.fleet import Fleet, Plan, plan
from plumbline.roofline.presets import CONFIGURATIONS, OUT, PRESETS, compare
from plumbline.roofline.request import Request
from plumbline.roofline.services import services

RESOURCES = ("workers", "NVLink", "PCIe", "ViT")
SEED = 1
LOAD = 0.8
LATE = 0.005
GPUS = 8
IMAGE = PRESETS[0].request.grids


def _cases() -> list[tuple[str, Request]]:
    chat, document = PRESETS[0].request, PRESETS[1].request
    from_host = replace(chat, origin="pageable", staged=True, payload_bytes=4)
    return [
        ("chat image, 1 rank", chat),
        ("4 chat images, 8 ranks share them", Request("qwen3_vl", IMAGE * 4, 64, OUT, ranks=8)),
        ("chat image, each of 8 ranks encodes it", replace(chat, ranks=8, shared=False)),
        ("document, 1 rank", document),
        ("document, 8 ranks share it", replace(document, ranks=8)),
        ("document, each of 8 ranks encodes it", replace(document, ranks=8, shared=False)),
        ("chat image, float32 from the host, 1 rank", from_host),
        ("document, float32 from the host, 8 ranks share it", replace(from_host, grids=document.grids, ranks=8)),
    ]


def fleets(ceilings: Ceilings) -> Html:
    text = (
        "Requests a second at which each resource of one engine is busy all the time, with one worker, and what a host of "
        f"{GPUS} GPUs takes at most. The pool is for {100 * LOAD:.0f} % of that, ranks that read {1e3 * LATE:.0f} ms late on "
        "average (each exponentially distributed, the last one counts), leases that end with encoding, and is found full by one "
        "request in a thousand. The workers hash, and copy where payloads are staged."
    )
    titles = ("request", "saturates first", "next, at", f"{GPUS} GPUs", *RESOURCES, "pool of an engine")
    rows = []
    for title, request in _cases():
        needs = services(request, ceilings)
        bare = plan(Fleet(rate=1e-3, gpus=GPUS, ranks=request.ranks), needs)
        most = min(rate for rate in bare.saturation.values() if rate is not None)
        loaded = plan(Fleet(rate=LOAD * most, gpus=GPUS, ranks=request.ranks, late=LATE), needs)
        cells = [
            tag("td", units.per_second(rate), class_="most" if name == bare.bottleneck else None)
            for name, rate in bare.saturation.items()
        ]
        pool = (
            f"{loaded.slots} x {units.nbytes(needs.payload)} = {units.nbytes(loaded.pool_bytes or 0)}"
            if loaded.slots
            else units.NONE
        )
        first = [tag("td", text) for text in (bare.bottleneck or "", _next(bare), units.per_second(bare.fleet_rate))]
        cells = [*first, *cells, tag("td", pool)]
        rows.append(tag("tr", tag("th", title, scope="row"), *cells))
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in titles)))
    table = tag("div", tag("table", head, tag("tbody", *rows), class_="numbers"), class_="scroll")
    return join([tag("p", text, class_="note"), table])


def _next(found: Plan) -> str:
    """What saturates next, and at how many times the rate of the first."""
    (_, first), (name, rate) = sorted(
        ((name, rate) for name, rate in found.saturation.items() if rate is not None), key=lambda pair: pair[1]
    )[:2]
    return f"{name}, {units.digits(rate / first)} x"


def checks(ceilings: Ceilings, requests: int) -> Html:
    text = (
        f"The same engine played event by event, {requests:,} requests a run, which shares no formula with the paper's: a mean "
        "with its standard error, how often a request meets as many payloads as paper makes room for (in a pool without end, and "
        "in one of that size, where others go another way), and what gets done when all requests come at once."
    )
    titles = ["configuration", "leased: paper", "simulated", "slots", "as many met: paper", "simulated", "in that pool"]
    titles += ["saturates: paper", "flooded", "busiest then"]
    rows = []
    for configuration in CONFIGURATIONS:
        found = compare(configuration, ceilings, requests=requests, seed=SEED)
        paper = found.paper
        assert paper.slots is not None
        assert paper.bottleneck
        busiest = max(found.flooded.busy, key=lambda name: found.flooded.busy[name])
        cells = [
            f"{paper.leased:.2f}",
            f"{found.seen.leased:.2f} ± {found.seen.error:.2f}",
            str(paper.slots),
            f"{paper.beyond:.4f}",
            "{:.4f} ± {:.4f}".format(*found.seen.met(paper.slots)),
            f"{found.finite.full:.4f}",
            f"{paper.bottleneck}, {units.per_second(paper.saturation[paper.bottleneck])}",
            units.per_second(found.flooded.throughput),
            f"{busiest}, {100 * found.flooded.busy[busiest]:.0f} %",
        ]
        rows.append(tag("tr", tag("th", configuration.title, scope="row"), *(tag("td", cell) for cell in cells)))
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in titles)))
    table = tag("div", tag("table", head, tag("tbody", *rows), class_="numbers"), class_="scroll")
    return join([tag("p", text, class_="note"), table])
