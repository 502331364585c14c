"""Coverage-guided fuzzing of ``receive``, and of publishing again what it took for a message.

    nox -s fuzz -- --runs 1000000                             # both implementations; with atheris
    python tests/fuzz/fuzz_messages.py --impl optimized       # without atheris: replays the corpus

The corpus is under fixtures/fuzz/messages, which only ``--keep`` changes: it adds what this run found, takes away what
reaches no more than the rest does, and writes the manifest again. A crash is left as crash-* in the current folder.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import random
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

try:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    atheris = None

IMPLEMENTATIONS = ("reference", "optimized")
CORPUS = Path("fixtures", "fuzz", "messages")
MANIFEST = CORPUS / "manifest.json"
LONGEST = 4096
"""Bytes of an input."""
SECONDS = 10
"""For one input, before it counts as a hang; thousands of times what any takes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--impl", action="append", metavar="NAME", help=f"of {', '.join(IMPLEMENTATIONS)}; else both")
    parser.add_argument("--runs", type=int, default=200_000, help="executions for each implementation")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--keep", action="store_true", help="keep what was found in the corpus")
    parser.add_argument("--out", type=Path, help="write the figures here")
    parser.add_argument("--libfuzzer", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.impl or list(IMPLEMENTATIONS)
    if options.libfuzzer is not None:
        fuzz(names[0], options.libfuzzer)
    if atheris is None:
        print("atheris is not installed: replaying the corpus")
        for name in names:
            print(name, replay(name))
        return
    rows = [explore(name, options.runs, options.seed, options.keep) for name in names]
    if options.keep:
        write_manifest()
    if options.out:
        write(options.out, options, rows)
    if any(row["crashes"] for row in rows):
        sys.exit("a crash was found")


# ----------------------------------------------------------------------------------------------------- one process


def target_of(name: str) -> Any:
    """The implementation's code, and no other, counts as coverage. It is imported here, so that it can be counted."""
    with contextlib.nullcontext() if atheris is None else atheris.instrument_imports(include=[name]):
        import torch

        from plumbline.resolve import resolve
        from plumbline.transport_fuzz import Target

        torch.set_num_threads(1)
        return Target(resolve(name).implementation)


def fuzz(name: str, arguments: list[str]) -> None:
    """Hands the process to libFuzzer, which ends it."""
    target = target_of(name)
    from plumbline.transport_host import remove_global
    from plumbline.transport_mutate import mutated

    # libFuzzer ends the process without a chance to clean up. What is mapped by now needs no name any more.
    assert not target.harmed()
    remove_global(target.both.domain.name)
    executed = 0

    def one(data: bytes) -> None:
        nonlocal executed
        executed += 1
        target.run(data)
        if executed % 4096 == 0 and target.harmed():
            raise AssertionError("a request that was received before is not what it was")

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        return mutated(data, rng)[:most] if rng.random() < 0.7 else atheris.Mutate(data, most)

    # To reduce a corpus, libFuzzer starts this program again, through a shell and by what it was told is its name.
    itself = f"{shlex.quote(sys.executable)} {shlex.quote(__file__)} --impl {name} --libfuzzer"
    atheris.Setup([itself, *arguments], one, custom_mutator=mutate)
    atheris.Fuzz()


def replay(name: str) -> dict[str, int]:
    """How many inputs of the corpus were taken for messages, and how many not. Raises what the target raises."""
    target = target_of(name)
    taken = [target.run(path.read_bytes()) for path in sorted((CORPUS / name).iterdir())]
    assert not target.harmed()
    target.close()
    return {"taken": sum(taken), "refused": len(taken) - sum(taken)}


# -------------------------------------------------------------------------------------------------- several of them


def explore(name: str, runs: int, seed: int, keep: bool) -> dict[str, Any]:
    """Fuzzes from the seeds and the corpus, in a process of its own; the figures that libFuzzer gives."""
    with tempfile.TemporaryDirectory() as place:
        found, least = Path(place, "found"), Path(place, "least")
        target = target_of(name)
        save(target.seeds(), found)
        target.close()
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
        bounds = [f"-max_len={LONGEST}", f"-timeout={SECONDS}", "-rss_limit_mb=4096"]
        flags = [f"-runs={runs}", f"-seed={seed}", "-reduce_inputs=1", "-print_final_stats=1"]
        began, cpu = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
        code, said = run(name, [*bounds, *flags, str(found), str(CORPUS / name)])
        took, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if keep and not code:
            least.mkdir()
            merged, _ = run(name, [*bounds, "-set_cover_merge=1", str(least), str(found), str(CORPUS / name)])
            if merged:
                sys.exit("the corpus could not be reduced")
            shutil.rmtree(CORPUS / name)
            save([path.read_bytes() for path in least.iterdir()], CORPUS / name)
        kept = [path.stat().st_size for path in (CORPUS / name).iterdir()]
        executions = re.findall(r"stat::number_of_executed_units:\s*(\d+)", said)
        reached = re.findall(r"cov: (\d+) ft: (\d+)", said)
        return {
            "implementation": name,
            "executions": int(executions[-1]) if executions else None,
            "seconds": round(took, 1),
            "cpu_seconds": round(after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime, 1),
            "edges": int(reached[-1][0]) if reached else None,
            "features": int(reached[-1][1]) if reached else None,
            "crashes": int(bool(code)),
            "corpus": {"files": len(kept), "bytes": sum(kept)},
        }


def run(name: str, arguments: list[str]) -> tuple[int, str]:
    command = [sys.executable, __file__, "--impl", name, "--libfuzzer", *arguments]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
    assert child.stderr
    said = []
    for line in child.stderr:
        said.append(line)
        if re.match(r"#\d+\s+(INITED|pulse|DONE)|.*ERROR|  *(File|raise|assert)|[\w.]+(Error|Message)\b", line):
            print(name, line, end="", flush=True)
    return child.wait(), "".join(said)


def save(inputs: list[bytes], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def write_manifest() -> None:
    """Which inputs of each corpus its implementation takes for messages; it refuses all others."""
    entries = {}
    for name in IMPLEMENTATIONS:
        target = target_of(name)
        inputs = {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}
        taken = [key for key, data in inputs.items() if target.run(data)]
        target.close()
        entries[name] = {"files": len(inputs), "bytes": sum(map(len, inputs.values())), "messages": taken}
    MANIFEST.write_text(json.dumps({"names": "SHA-256 of the input, 16 digits", "corpora": entries}, indent=1) + "\n")


def write(out: Path, options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    from plumbline.results import commit, environment

    versions = {name: importlib.metadata.version(name) for name in ("atheris", "msgspec", "torch")}
    result = {
        "commit": commit(),
        "environment": environment(),
        "versions": versions,
        "seed": options.seed,
        "longest": LONGEST,
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
