"""Golden vectors: requests by recipe, and the digests, prefix keys, spans and rows that every implementation must give.

A vector is a JSON file; ``manifest.json`` holds the checksums of all, ``provenance.json`` says what wrote them and is
outside the checksums, so that writing them again on another machine changes nothing that matters.
"""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import torch

from plumbline import __version__, closed_form
from plumbline.build import build_request
from plumbline.engine import run
from plumbline.interface import Failure, Implementation, Prepared
from plumbline.malformed import FAULTS
from plumbline.parts import rig_of
from plumbline.requirements import ROOT
from plumbline.scenario import (
    Content,
    ExtraRecipe,
    GivenRecipe,
    ItemRecipe,
    RequestRecipe,
    Scenario,
    TowerRecipe,
    compact,
)

FOLDER = ROOT / "fixtures" / "golden" / "v1"
_PLAIN = ItemRecipe(grid=(1, 1, 4), parts=(4,), content=Content(1))
_TILES = TowerRecipe(image="tiles", rows_per_tile=2, patch_shape=(2, 2))
_MERGED = TowerRecipe(merge=2, side_levels=1, row_dtype="bfloat16")


def _with(**changes: Any) -> ItemRecipe:
    return ItemRecipe(**{"grid": (1, 1, 4), "parts": (4,), "content": Content(1), **changes})


ACCEPT: dict[str, tuple[TowerRecipe, RequestRecipe]] = {
    "one_image": (TowerRecipe(), RequestRecipe(items=(_PLAIN,))),
    "bundle_of_two_sizes": (
        TowerRecipe(),
        RequestRecipe(items=(_PLAIN, _with(grid=(1, 2, 3), parts=(6,))), bundle=True),
    ),
    "repeated_image": (TowerRecipe(), RequestRecipe(items=(_PLAIN, _PLAIN), gaps=(0,))),
    "several_spans_reversed": (
        TowerRecipe(),
        RequestRecipe(items=(_with(pieces=3, span_order="reversed"),), gaps=(1, 0)),
    ),
    "video_span_per_frame": (_MERGED, RequestRecipe(items=(_with(modality="video", grid=(3, 2, 2), parts=(12,)),))),
    "merged_with_side_rows": (_MERGED, RequestRecipe(items=(_with(grid=(1, 4, 2), parts=(8,)),))),
    "tiles_in_two_tensors": (_TILES, RequestRecipe(items=(_with(grid=None, parts=(2, 3), pieces=2),))),
    "no_tiles": (_TILES, RequestRecipe(items=(_with(grid=None, parts=(0,)),))),
    "audio_beside_image": (
        TowerRecipe(),
        RequestRecipe(items=(_with(modality="audio", grid=None, parts=(3,)), _PLAIN), weave=True),
    ),
    "precomputed": (TowerRecipe(), RequestRecipe(items=(_with(source="precomputed", grid=None, parts=(3,)),))),
    "precomputed_with_side_rows": (
        _MERGED,
        RequestRecipe(items=(_with(source="precomputed", grid=None, parts=(3,), dtype="bfloat16"),)),
    ),
    "precomputed_bundle": (
        TowerRecipe(merge=2),
        RequestRecipe(
            items=tuple(_with(source="precomputed", grid=(1, 2, w), parts=(w // 2,)) for w in (2, 4)), bundle=True
        ),
    ),
    "nan_and_infinity": (TowerRecipe(), RequestRecipe(items=(_with(content=Content(3, "high", 1), dtype="bfloat16"),))),
    "uint8_patches": (TowerRecipe(), RequestRecipe(items=(_with(dtype="uint8"),))),
    "extras_of_every_type": (
        TowerRecipe(),
        RequestRecipe(
            items=(
                _with(
                    extras=(
                        ExtraRecipe("int", -7),
                        ExtraRecipe("float", 0.1),
                        ExtraRecipe("str", "é"),
                        ExtraRecipe("tensor", (1, 2, 3)),
                        ExtraRecipe("note", "not hashed", False),
                    )
                ),
            )
        ),
    ),
    "trusted_key": (TowerRecipe(), RequestRecipe(items=(_with(given=GivenRecipe("tenant", "key", True)),))),
    "verified_key": (TowerRecipe(), RequestRecipe(items=(_with(given=GivenRecipe("tenant", "key", False)),))),
    "several_hash_chunks": (
        TowerRecipe(patch_shape=(8, 4)),
        RequestRecipe(items=(_with(grid=(1, 8, 8), parts=(64,), dtype="float64"),)),
    ),
}


def vectors(implementation: Implementation) -> dict[str, dict[str, Any]]:
    """All vectors as this implementation gives them, by path: accept/NAME.json and reject/NAME.json."""
    found = {f"accept/{name}.json": _accept(implementation, *case) for name, case in ACCEPT.items()}
    for name in FAULTS:
        for base, (tower, request) in ACCEPT.items():
            rejected = _reject(implementation, name, tower, request)
            if rejected is not None:
                found[f"reject/{name}.json"] = {"base": base, **rejected}
                break
    return found


def _accept(implementation: Implementation, tower: TowerRecipe, request: RequestRecipe) -> dict[str, Any]:
    scenario = Scenario(tower=tower, requests=(request,))
    trace = run(scenario, implementation)
    prepared = trace.submissions[0].result
    if not isinstance(prepared, Prepared) or trace.crashes:
        raise RuntimeError(f"{request} gave {prepared} and {trace.crashes}")
    result: Any = trace.steps[0].results[0]
    levels = [result.rows, *result.side]
    return {
        "scenario": compact(scenario),
        "token_ids": list(closed_form.lay_out(tower, request).token_ids),
        "expected": {
            "digests": [i.digest.hex() for i in prepared.identities],
            "spans": [[list(s) for s in i.spans] for i in prepared.items],
            "prefix_keys": prepared.prefix_keys.tolist(),
            "positions": result.positions.tolist(),
            "rows": [level.to(torch.float64).tolist() if not level.isnan().any() else _bits(level) for level in levels],
        },
    }


def _bits(level: torch.Tensor) -> list[str]:
    return [row.contiguous().view(torch.uint8).numpy().tobytes().hex() for row in level]


def _reject(
    implementation: Implementation, name: str, tower: TowerRecipe, request: RequestRecipe
) -> dict[str, Any] | None:
    rig = rig_of(implementation, tower)
    broken = FAULTS[name].apply(build_request(tower, request), rig.runtime.spec)
    if broken is None:
        return None
    result = rig.prepare([broken])[0]
    error = type(result.error).__name__ if isinstance(result, Failure) else "none"
    return {"fault": name, "requirement": FAULTS[name].requirement, "error": error}


def text(vector: dict[str, Any]) -> str:
    return json.dumps(vector, sort_keys=True, separators=(",", ":")) + "\n"


def write(implementation: Implementation, folder: Path = FOLDER) -> None:
    """Writes all vectors, the manifest and the provenance."""
    checksums = {}
    for path, vector in vectors(implementation).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text(vector))
        checksums[path] = hashlib.sha256(text(vector).encode()).hexdigest()
    (folder / "manifest.json").write_text(
        json.dumps({"version": 1, "sha256": checksums}, indent=1, sort_keys=True) + "\n"
    )
    provenance = {"plumbline": __version__, "torch": torch.__version__, "python": platform.python_version()}
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")


if __name__ == "__main__":
    from plumbline.resolve import resolve

    write(resolve("reference").implementation)
