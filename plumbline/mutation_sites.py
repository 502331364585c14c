"""What is mutated: the places in optimized/ and reference/ where Cosmic Ray can change something, and a fair draw from them."""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.work_item import MutationSpec

PACKAGES = ("optimized", "reference")

TRITON = "a kernel in Triton, or what launches it: no CPU runs it in a test's time"
CUDA = "needs CUDA"
EXCLUDED = {
    "optimized/blake3_kernel.py": TRITON,
    "optimized/blake3_triton.py": TRITON,
    "optimized/towers/attention_kernel.py": TRITON,
    "optimized/towers/attention_triton.py": TRITON,
    "optimized/towers/rowwise_kernels.py": TRITON,
    "optimized/towers/kernels_cuda.py": CUDA,
    "optimized/identify.py::on_cuda": CUDA,
    "optimized/identify.py::hashed_there": CUDA,
    "everywhere": "annotations of types, which nothing evaluates",
}
"""Files, and functions of files. Whatever else a CPU reaches is mutated."""


@dataclass(frozen=True)
class Site:
    """One place and one kind of change there: Cosmic Ray may have several operators for it (a + b has eleven)."""

    file: str
    line: int
    variants: tuple[MutationSpec, ...]


def sites() -> list[Site]:
    """All places, in the order of files and lines; paths are relative to the current folder."""
    found: dict[tuple[str, tuple[int, int], tuple[int, int], str], list[MutationSpec]] = defaultdict(list)
    for file in files():
        unread = annotated(ast.parse(Path(file).read_text()))
        for item in _all_work_items([Path(file)], {}):
            (mutation,) = item.mutations
            excluded = f"{file}::{mutation.definition_name}" in EXCLUDED
            if not excluded and not any(begin <= mutation.start_pos < end for begin, end in unread):
                kind = mutation.operator_name.split("_")[0]
                found[file, mutation.start_pos, mutation.end_pos, kind].append(mutation)
    return [Site(key[0], key[1][0], tuple(found[key])) for key in sorted(found)]


def files() -> list[str]:
    names = [str(path) for package in PACKAGES for path in sorted(Path(package).rglob("*.py"))]
    return [name for name in names if name not in EXCLUDED]


def annotated(tree: ast.AST) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where annotations stand."""
    nodes: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            nodes.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            nodes.append(node.annotation)
    return [((n.lineno, n.col_offset), (n.end_lineno or 0, n.end_col_offset or 0)) for n in nodes if n is not None]


def drawn(places: Sequence[Site], count: int, seed: int) -> list[MutationSpec]:
    """``count`` mutants, from each file in proportion to its places and at least one, no place twice.

    What is drawn from a file follows from the seed and that file's places alone, but for how many they are.
    """
    of_file: dict[str, list[Site]] = defaultdict(list)
    for place in places:
        of_file[place.file].append(place)
    mutants = []
    for file, inside in of_file.items():
        draw = random.Random(f"{seed} {file}")
        share = max(1, round(count * len(inside) / len(places)))
        mutants += [draw.choice(place.variants) for place in draw.sample(inside, min(share, len(inside)))]
    return sorted(mutants, key=order)


def order(mutant: MutationSpec) -> tuple[int, str, tuple[int, int], str]:
    """Towers and transport, whose tests take longest, come last."""
    file = str(mutant.module_path)
    return file.count("/"), file, mutant.start_pos, mutant.operator_name
