"""The requests that the page shows, and the fleets in which paper and simulation are compared."""

from __future__ import annotations

from dataclasses import dataclass

from plumbline.roofline.ceilings import Ceilings
from plumbline.roofline.fleet import Fleet, Plan, plan
from plumbline.roofline.request import Request
from plumbline.roofline.services import services
from plumbline.roofline.simulate import Flood, Seen, flood, simulate

OUT = 4096
"""Hidden size of Qwen3-VL-8B."""
IMAGE = (1, 32, 32)


@dataclass(frozen=True)
class Preset:
    key: str
    title: str
    note: str
    request: Request


PRESETS = (
    Preset(
        "chat",
        "A chat with one image of 1,024 patches",
        "In place in the pool of the worker's GPU, read by one rank on another GPU.",
        Request("qwen3_vl", (IMAGE,), 64, OUT),
    ),
    Preset(
        "document",
        "A document of 32 pages of 1,024 patches",
        "The same, on one rank.",
        Request("qwen3_vl", (IMAGE,) * 32, 512, OUT),
    ),
    Preset(
        "document-4",
        "The document on 4 ranks that share its pages",
        "Each page is read and encoded by one rank, and all ranks gather the rows.",
        Request("qwen3_vl", (IMAGE,) * 32, 512, OUT, ranks=4),
    ),
    Preset(
        "large",
        "One large image, 36 MiB of float32",
        "64 x 96 patches, copied into the pool, read by one rank on another GPU.",
        Request("qwen3_vl", ((1, 64, 96),), 64, OUT, payload_bytes=4, staged=True),
    ),
    Preset(
        "video",
        "A video of 64 frames, from the host",
        "32 pairs of frames of 24 x 40 patches, from pageable memory through a pinned buffer.",
        Request("qwen3_vl", ((32, 24, 40),), 64, OUT, origin="pageable", staged=True),
    ),
    Preset(
        "cached",
        "64 requests with 4 cached images each",
        "All 256 images of 1,024 patches are known by their digests: nothing is sent or encoded.",
        Request("qwen3_vl", (IMAGE,) * 256, 64 * 8, OUT, cached=256),
    ),
)


@dataclass(frozen=True)
class Configuration:
    """A fleet in which paper and simulation are compared. Its ``full`` is what the pool is made for."""

    title: str
    request: Request
    fleet: Fleet


CHAT = PRESETS[0].request
CONFIGURATIONS = (
    Configuration("a rank reads 50 ms late on average", CHAT, Fleet(rate=100, late=0.05, full=0.05)),
    Configuration("payloads stay leased for half a second", CHAT, Fleet(rate=200, late=0.001, kept=0.5, full=0.05)),
    Configuration("arrivals at 78 % of what saturates the ViT", CHAT, Fleet(rate=440, late=0.002, full=0.05)),
    Configuration(
        "4 ranks share 4 images, each 10 ms late",
        Request("qwen3_vl", (IMAGE,) * 4, 64, OUT, ranks=4),
        Fleet(rate=200, ranks=4, late=0.01, full=0.05),
    ),
    Configuration("4 ranks share a document", PRESETS[2].request, Fleet(rate=40, ranks=4, late=0.005, full=0.05)),
)


@dataclass(frozen=True)
class Comparison:
    """paper and seen: in a pool without end. finite: the same in a pool of as many slots as paper asks for.

    flooded: with all requests at once.
    """

    paper: Plan
    seen: Seen
    finite: Seen
    flooded: Flood


def compare(of: Configuration, ceilings: Ceilings, *, requests: int, seed: int) -> Comparison:
    needs, fleet = services(of.request, ceilings), of.fleet
    paper = plan(fleet, needs)

    def played(slots: int | None, number: int) -> Seen:
        return simulate(
            needs,
            rate=fleet.rate,
            requests=requests,
            seed=number,
            ranks=fleet.ranks,
            workers=fleet.workers,
            late=fleet.late,
            kept=fleet.kept,
            slots=slots,
        )

    flooded = flood(needs, requests=requests, seed=seed, ranks=fleet.ranks, workers=fleet.workers, late=fleet.late)
    return Comparison(paper, played(None, seed), played(paper.slots, seed + 1), flooded)
