"""How small a planted fault each comparison of towers sees, and how far from each bound the towers without one are.

    python -m tests.numerics.sensitivity --out FILE          # two minutes on an idle core

Small fast towers of every family in float32 and bfloat16, by the comparisons of the suite and by customary ones.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from optimized.towers import load
from plumbline.certify import certify, join, same_bits
from plumbline.interface import Checkpoint, LoadedTower
from plumbline.oracle import TERMS, Oracle, distances, is_norm, terms_of_float32
from plumbline.photos import one_thread
from plumbline.results import commit, environment
from plumbline.rig import HostPort
from plumbline.small_tower import FAMILIES, checkpoint
from tests.numerics.bounds import PlainOracle
from tests.numerics.faults import FAULTS, of_family, planted
from tests.numerics.towers import CALLS, COUNTS, Grid, items_of, outputs, rewrite_weights, tower_of

Levels = Sequence[Tensor]

CUSTOMARY: dict[str, Callable[[Tensor, Tensor], bool]] = {
    "allclose 1e-2": lambda found, wanted: not torch.allclose(found, wanted, rtol=1e-2, atol=1e-2),
    "cosine 0.99": lambda found, wanted: torch.cosine_similarity(found.flatten(), wanted.flatten(), 0).item() <= 0.99,
    "mean difference 1e-2": lambda found, wanted: (found - wanted).abs().mean().item() >= 1e-2,
}
"""Whether a fault is seen beside the plain tower in the same dtype, at tolerances that are usual for bfloat16."""

BITWISE = "alone, bitwise"
HALVINGS = 30
"""The smallest size that is tried is 2 ** -HALVINGS."""


class Bench:
    """A small tower, a call, and what every yardstick makes of it. grids: of the call's items. theirs: for float32.

    bounds: (wanted, sigma of either evaluation) by name, as ``distances`` takes them.
    """

    def __init__(
        self,
        folder: Path,
        family: str,
        grids: Sequence[Grid],
        dtype: torch.dtype = torch.float32,
        theirs: Oracle | None = None,
    ) -> None:
        self.tower = load(Checkpoint(folder, dtype, 151655, 151656, 151936), HostPort())
        self.items = [replace(item, patches=item.patches.to(dtype)) for item in items_of(self.tower, grids)]
        self.call = join(self.items)
        self.plain = outputs(tower_of(folder, dtype)(self.call))
        oracle = PlainOracle(folder, family)
        own = oracle.sigmas(self.call, TERMS[dtype], dtype)
        self.bounds: dict[str, tuple[Levels, tuple[Levels, ...]]] = {
            "plain": (self.plain, (own, own)),
            "plain float64": (oracle.run(oracle.exact, self.call), (own,)),
        }
        if theirs:
            own, rest = (theirs.sigmas(self.call, terms) for terms in (terms_of_float32, theirs.terms_of_itself))
            self.bounds["transformers"] = theirs.run(theirs.single, self.call), (own, own)
            self.bounds["transformers float64"] = theirs.run(theirs.exact, self.call), (own, rest)

    def shares(self, found: Levels) -> dict[str, float]:
        """How much of each bound an evaluation takes."""
        return {
            name: max(distance.share for distance in distances(found, wanted, *sigmas))
            for name, (wanted, sigmas) in self.bounds.items()
        }

    def seen(self, found: Levels) -> dict[str, bool]:
        """Whether an evaluation is taken for wrong, by each comparison but the bitwise one."""
        by_bound = {name: not share <= 1 for name, share in self.shares(found).items()}
        pairs = [(a.float(), b.float()) for a, b in zip(found, self.plain, strict=True)]
        return by_bound | {name: any(differ(a, b) for a, b in pairs) for name, differ in CUSTOMARY.items()}

    def differs_alone(self, tower: LoadedTower) -> bool:
        """Whether an item has other bits in the call than by itself."""
        alone = [torch.cat(parts) for parts in zip(*(outputs(tower(item)) for item in self.items), strict=True)]
        return not all(map(same_bits, outputs(tower(self.call)), alone))


def smallest(seen: Callable[[int], bool]) -> float | None:
    """The smallest size that is seen, to a factor of sqrt(2). seen: by half the number of halvings. None: not even 1."""
    if not seen(0):
        return None
    least, most = 0, 2 * HALVINGS + 1
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if seen(middle) else (least, middle)
    return 2.0 ** (-least / 2)


def sensitivity(bench: Bench, name: str, bitwise: bool) -> dict[str, float | None]:
    """By comparison: the smallest size at which a fault is seen. bitwise: that comparison, too."""
    sized = FAULTS[name].sized

    @cache
    def seen(halves: int) -> dict[str, bool]:
        wrong = planted(bench.tower, name, 2.0 ** (-halves / 2))
        found = bench.seen(outputs(wrong(bench.call)))
        return found | ({BITWISE: bench.differs_alone(wrong)} if bitwise else {})

    if not sized:
        return {comparison: 1.0 if found else None for comparison, found in seen(0).items()}
    return {comparison: smallest(lambda halves, by=comparison: seen(halves)[by]) for comparison in seen(0)}  # type: ignore[misc]


def drawn(folder: Path, family: str, seed: int, spread: float = 0.0, dtype: torch.dtype = torch.float32) -> Path:
    """A checkpoint with other weights: those of ``checkpoint`` shuffled, as ``dtype`` has them.

    spread: standard deviation of the logarithms of factors on norms' scales. At 0 channels are alike.
    """
    draw = torch.Generator().manual_seed(seed)
    checkpoint(folder, family=family)
    weights = {
        name: weight.flatten()[torch.randperm(weight.numel(), generator=draw)].view(weight.shape)
        for name, weight in load_file(folder / "model.safetensors").items()
    }
    for name, weight in weights.items():
        if is_norm(name) and name.endswith("weight"):
            weight *= (spread * torch.randn(len(weight), generator=draw)).exp()
    rewrite_weights(folder, **{name: weight.to(dtype).float() for name, weight in weights.items()})
    return folder


# ------------------------------------------------------------------------------------------------------------ the report

SPREADS, SEEDS = (0.0, 1.0, 2.0), 20


def sizes_of(family: str, dtype: torch.dtype, folder: Path) -> list[dict[str, Any]]:
    """For each fault the smallest size that is seen, and whether the tower without a fault is taken for wrong."""
    single = dtype is torch.float32
    drawn(folder, family, 0, dtype=dtype)
    bench = Bench(folder, family, CALLS["several"], dtype, Oracle(folder, family) if single else None)
    if single:
        assert certify(bench.tower, COUNTS).invariant, "the bitwise comparison says nothing here"
    right = bench.seen(outputs(bench.tower(bench.call))) | (
        {BITWISE: bench.differs_alone(bench.tower)} if single else {}
    )
    found: list[dict[str, Any]] = [{"fault": None, "seen": right}]
    for name in of_family(family):
        found.append({"fault": name, "smallest": sensitivity(bench, name, bitwise=single)})
        print(f"{dtype!s:15} {family:10} {name:24}", *map(shown, found[-1]["smallest"].values()), flush=True)
    return found


def shown(size: float | None) -> str:
    return f"{'-' if size is None else format(size, '.1e'):>8}"


def margins_of(family: str, dtype: torch.dtype, spread: float, root: Path) -> dict[str, list[float]]:
    """By comparison: the shares of the bound that towers without a fault take, in increasing order."""
    found: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        folder = drawn(root / str(seed), family, seed, spread, dtype)
        bench = Bench(folder, family, CALLS["several"], dtype)
        for name, share in bench.shares(outputs(bench.tower(bench.call))).items():
            found.setdefault(name, []).append(round(share, 3))
    print(
        f"{dtype!s:15} {family:10} spread {spread}", {name: max(shares) for name, shares in found.items()}, flush=True
    )
    return {name: sorted(shares) for name, shares in found.items()}


@one_thread()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    result: dict[str, Any] = {
        "commit": commit(),
        "environment": environment() | {"threads": 1},
        "sizes": [],
        "shares": [],
    }
    for dtype in TERMS:
        for family in FAMILIES:
            where = {"dtype": str(dtype), "family": family}
            with tempfile.TemporaryDirectory() as scratch:
                result["sizes"] += [where | line for line in sizes_of(family, dtype, Path(scratch) / "sizes")]
                for spread in SPREADS:
                    shares = margins_of(family, dtype, spread, Path(scratch) / str(spread))
                    result["shares"].append(where | {"spread": spread, "shares": shares})
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
