"""transformers' towers as an oracle, and how far another evaluation of the same weights may be from it.

**The bound.** Nothing here is a tolerance that was tried until it passed. A dot product of K terms, summed in any order
with unit roundoff u, is the exact product of slightly different weights, each off by a relative error that grows like
sqrt(K) * u where roundings are independent (Higham and Mary 2019; the guaranteed bound grows like K * u). So a correct
float32 evaluation is the exact network with weights off by about that much, and the distance to expect is how far the
*oracle*, transformers in float64, moves when its weights are moved so. K is

- for a linear or convolution its inputs, which leaves room for the few roundings of what follows it (a residual sum,
  an activation, exp, the rotation); for queries, keys and values at least the longest segment, as long as the sums of
  attention;
- for a norm the size that is normalised; for a bias 1;
- for the table of positions its entries: places are rounded relative to the table's side, which is sqrt(K).

Each weight moves up or down by a fixed pattern. sigma is the root mean square of the movement over all patterns and all
numbers of a row: where scales of channels or scores are uneven, one row moves tens of times as far as another. An
evaluation's error, in units of its rows' sigmas, must have a root mean square within 1, and nowhere exceed what a normal
distribution exceeds once in 10^9 outputs. The distance of two evaluations is the difference of two such errors: the root
of the sum of their squares.

A tower in 16 bits adds up in float32, and rounds what it stores: by at most u of it (2^-8 in bfloat16, 2^-11 in float16),
and in the root mean square by u / sqrt(3) at most. So a weight that moves by a whole u leaves room for three roundings, and
no more follow a weight before the next one: for a query the product, the rotation and the score; for a value the product, its
share and the mixture; for others the product, an activation and a gate, or a residual sum. K is 1. Weights and patches are
those that the dtype has.

The oracle in float64 is not exact: it rotates queries and keys, places patches, and divides by the root mean square (where
that is the norm) in float32. That is its own sigma, and by itself the bound for the plain tower in float64.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plumbline.interface import Packed
from plumbline.resolve import load
from plumbline.small_tower import values

U = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
"""Unit roundoffs."""
PATTERNS = 4

Terms = Callable[[str, Tensor, int], int]
"""(name, weight, longest segment) -> K, how many terms are added up with this weight."""


class Oracle:
    """transformers' tower from a folder, in float64 and in float32. Raises SpecError: it is not
    installed; BadCheckpoint: it knows no such."""

    def __init__(self, folder: Path, family: str) -> None:
        self.family, self.folder = family, folder
        self.exact = self.model(folder, torch.float64)

    @cached_property
    def single(self) -> Any:
        return self.model(self.folder, torch.float32)

    def model(self, folder: Path, dtype: torch.dtype) -> Any:
        name = self.family if self.family in load("adapters.transformers", "MODELS") else f"{self.family}_vision"
        model, info = load("adapters.transformers", "model_class")(name).from_pretrained(
            folder, dtype=dtype, attn_implementation="sdpa", output_loading_info=True
        )
        assert not any(info.values()), info  # a weight that was not found would have been drawn at random
        return model.requires_grad_(False)

    def run(self, model: Any, call: Packed) -> list[Tensor]:
        """Rows, then side rows. The oracle gets no segments, but finds them itself."""
        grids = torch.tensor([item.grid_thw for item in call.items])
        patches = call.patches.to(model.dtype)
        if self.family == "kimi_k25":  # one clip at a time, since it pools no clips of different lengths together
            clips = zip(torch.split(patches, grids.prod(1).tolist()), grids, strict=True)
            pooled = [model.vision_tower(clip, grid_thw=grid[None]).pooler_output for clip, grid in clips]
            return [model.mm_projector(torch.cat(pooled)).squeeze(1)]
        found = model(patches, grid_thw=grids)
        return [found.pooler_output, *getattr(found, "deepstack_features", ())]

    def weights(self, model: Any) -> Iterable[tuple[str, Tensor]]:
        return model.named_parameters()  # type: ignore[no-any-return]

    def sigmas(self, call: Packed, terms: Terms, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """For each output, float64 [R]: the root mean square distance of the rows of an evaluation in ``dtype`` to the exact
        ones (see the top of the file)."""
        longest = int(call.cu_seqlens.diff().max())
        exact = self.run(self.exact, call)
        squares = [torch.zeros(len(level), dtype=torch.float64) for level in exact]
        for pattern in range(PATTERNS):
            moved = copy.deepcopy(self.exact)
            for name, weight in self.weights(moved):
                direction = values(weight.shape, f"{name} {pattern}").sign()
                weight *= 1 + math.sqrt(terms(name, weight, longest)) * U[dtype] * direction
            for level, (there, here) in enumerate(zip(self.run(moved, call), exact, strict=True)):
                squares[level] += (there - here).square().mean(1) / PATTERNS
        return [square.sqrt() for square in squares]

    def terms_of_itself(self, name: str, weight: Tensor, longest: int) -> int:
        """What is float32 in its float64. A rotation rounds four times: the input, two products, a sum."""
        if is_table(name) or (is_norm(name) and self.family == "qwen2_5_vl"):
            return terms_of_float32(name, weight, longest)
        return 4 if is_looked_up(name) else 0


def terms_of_float32(name: str, weight: Tensor, longest: int) -> int:
    if is_table(name):
        return weight[..., 0].numel()
    if is_norm(name):
        return len(weight)
    if name.endswith("bias"):
        return 1
    return max(weight[0].numel(), longest if is_looked_up(name) else 1)


def terms_of_16_bits(name: str, weight: Tensor, longest: int) -> int:
    return 1


TERMS: dict[torch.dtype, Terms] = {
    torch.float32: terms_of_float32,
    torch.bfloat16: terms_of_16_bits,
    torch.float16: terms_of_16_bits,
}
"""Of a tower in that dtype."""


def is_table(name: str) -> bool:
    return name in ("pos_embed.weight", "vision_tower.patch_embed.pos_emb.position_embeddings")


def is_norm(name: str) -> bool:
    return "norm" in name or "ln_q" in name


def is_looked_up(name: str) -> bool:
    return any(f".{part}." in name for part in ("qkv", "q_proj", "k_proj", "v_proj"))


@dataclass(frozen=True)
class Distance:
    """Of two evaluations of one output: root mean square and largest, in units of the last place of the output's largest
    number and as shares of what is allowed. Nothing is allowed to exceed 1."""

    rms_ulp: float
    largest_ulp: float
    rms_share: float
    largest_share: float

    @property
    def share(self) -> float:
        return max(self.rms_share, self.largest_share)

    def __str__(self) -> str:
        return (
            f"rms {self.rms_ulp:,.1f} ulp ({self.rms_share:,.2f} of the bound), "
            f"largest {self.largest_ulp:,.1f} ulp ({self.largest_share:,.2f})"
        )


def distances(found: Sequence[Tensor], wanted: Sequence[Tensor], *sigmas: Sequence[Tensor]) -> Iterator[Distance]:
    """Of each output. sigmas: of either evaluation."""
    for a, b, *parts in zip(found, wanted, *sigmas, strict=True):
        assert a.shape == b.shape
        error = a.double() - b.double()
        shares = error / torch.stack(parts).square().sum(0).sqrt()[:, None]
        ulp = 2.0 ** (math.frexp(b.abs().max().item())[1] - 24)
        factor = math.sqrt(2 * math.log(2 * error.numel() * 1e9))
        (rms, largest), (rms_share, largest_share) = map(rms_and_largest, (error, shares))
        yield Distance(rms / ulp, largest / ulp, rms_share, largest_share / factor)


def rms_and_largest(x: Tensor) -> tuple[float, float]:
    return x.square().mean().sqrt().item(), x.abs().max().item()
