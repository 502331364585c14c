"""The documents in docs/: their code is that of docs/examples, their commands run, and their output is what comes out."""

from __future__ import annotations

import contextlib
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from plumbline.conformance import arguments, main
from plumbline.explore import explore
from plumbline.requirements import ROOT, requirements
from plumbline.resolve import resolve
from plumbline.strategies import DRAWN

DOCUMENTS = [
    ROOT / "docs" / name for name in ("bring-your-own.md", "capture.md", "encoders.md", "family-without-grids.md")
]
FENCE = re.compile(r"(?:<!-- (\S+?)(?:#(.+?))? -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CASES, SEEDS = 150, (1, 4, 7, 8)
"""Of each drawing the first failure is taken as it is drawn, which may be about less than a shrunk one."""
QUICK = ["--cases", "20", "--inproc"]


@dataclass(frozen=True)
class Block:
    """A fenced block. file, region: where its text comes from, for code."""

    document: str
    file: str
    region: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}: {self.file}#{self.region}" if self.file else f"{self.document}: {self.command}"

    @property
    def command(self) -> str:
        return self.text.split("\n", 1)[0].removeprefix("$ ")

    @property
    def output(self) -> str:
        return self.text.split("\n", 1)[1]


BLOCKS = [Block(d.name, *(g or "" for g in m.groups())) for d in DOCUMENTS for m in FENCE.finditer(d.read_text())]
CODE = [b for b in BLOCKS if b.language != "console"]
SESSIONS = [b for b in BLOCKS if b.language == "console"]


def test_the_documents_have_blocks_of_the_known_kinds() -> None:
    assert {b.document for b in CODE} == {b.document for b in SESSIONS} == {d.name for d in DOCUMENTS}
    assert {b.language for b in BLOCKS} == {"python", "toml", "console"}
    assert all(b.text.startswith("$ ") for b in SESSIONS)


def lines(code: str) -> list[str]:
    """Without blank ones: the formatter wants two of them between what are methods in the file, and one there."""
    return [line for line in code.splitlines() if line.strip()]


@pytest.mark.parametrize("block", CODE, ids=str)
def test_code_is_that_of_a_file(block: Block) -> None:
    source = (ROOT / block.file).read_text()
    if block.region:
        found = re.search(rf"^ *# region {block.region}\n(.*?)^ *# endregion$", source, re.MULTILINE | re.DOTALL)
        assert found, f"{block.file} has no region {block.region!r}"
        source = textwrap.dedent(found[1])
    assert lines(block.text) == lines(source)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_and_requirements_exist(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (document.parent / target).exists(), target
    for name in re.findall(r"\b[A-Z]{2,8}-\d{3}\b", text):
        assert name in requirements(), name


def shows(expected: str, output: str) -> bool:
    """Whether the output is the expected one, ``...`` standing for anything, and line breaks for any space."""
    pieces = (r"\s+".join(map(re.escape, piece.split())) for piece in expected.split("..."))
    return re.search(r".*?".join(pieces), output, re.DOTALL) is not None


# -- commands that are cheap run as they stand


def in_process(command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    words = shlex.split(command)
    if words[:2] == ["nox", "-s"]:
        main(words[4:])
    else:
        monkeypatch.setattr(sys, "argv", words[2:])
        with contextlib.suppress(SystemExit):
            runpy.run_module(words[2], run_name="__main__")
    return capfd.readouterr().out


@pytest.mark.parametrize("block", [b for b in SESSIONS if "--replay" in b.command or "python" in b.command], ids=str)
def test_output_is_what_comes_out(
    block: Block, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    threads = torch.get_num_threads()
    try:
        output = in_process(block.command, monkeypatch, capfd)
    finally:
        torch.set_num_threads(threads)
    assert shows(block.output, output), output


# -- whole runs: two of them with few cases, the others by what their workloads find


def run(module: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("attribute", "status"), [(":bytes_alone", 1), (" --deviations", 0)])
def test_a_whole_run_says_what_the_document_shows(attribute: str, status: int, tmp_path: Path) -> None:
    (block,) = [b for b in SESSIONS if f".py{attribute}" in b.command and "--quick" in b.command]
    words = [*shlex.split(block.command)[4:], *QUICK, "--seed", "1", "--report", str(tmp_path / "report")]
    child = run("plumbline.conformance", words)
    assert child.returncode == status, child.stdout
    assert shows(block.output.replace("--replay ...", "..."), child.stdout), child.stdout


def test_direct_tests_of_a_part_say_what_the_document_shows() -> None:
    (block,) = [b for b in SESSIONS if "-s tests" in b.command]
    child = run("pytest", ["-p", "no:cacheprovider", "-q", *shlex.split(block.command)[4:]])
    assert child.returncode == 1
    assert shows(block.output, child.stdout), child.stdout


FINDS: dict[str, set[str]] = {
    "docs/examples/own_hash.py:bytes_alone": {"IDENT-004"},
    "docs/examples/own_hash.py": set(),
    "cache=docs/examples/own_cache.py:Cache": set(),
    "cache=docs/examples/own_cache.py:CacheOfViews": set(),  # its rows are right: only direct tests see the bytes
    "encoder=docs/examples/own_batcher.py:Batcher": set(),
    "encoder=docs/examples/own_batcher.py:OneSegment": {"ENC-005"},
    "docs/examples/own_engine.py": {"ITEM-001", "ITEM-003"},
    "docs/examples/own_engine.py:refusing": set(),
    "mutants/b070_first_span_only.py": {"ITEM-003"},
}


@pytest.mark.parametrize("name", FINDS)
def test_workloads_find_what_the_documents_say(name: str) -> None:
    subject = resolve("optimized", [name]) if "=" in name else resolve(name)
    drawings = [explore(subject.implementation, CASES, seed, shrink=False) for seed in SEEDS]
    messages = {k: f.message for found in drawings for k, f in found.findings.items()}
    assert messages.keys() >= FINDS[name]
    assert FINDS[name] or not messages, messages


@pytest.mark.parametrize("name", ["docs/examples/own_hash.py", "docs/examples/own_engine.py:refusing"])
def test_what_examples_do_not_claim_they_refuse(name: str) -> None:
    found = explore(resolve(name).implementation, CASES, 7, shrink=False, draw=DRAWN)
    assert not found.findings, {k: f.message for k, f in found.findings.items()}
    assert found.capability_missing


def test_every_command_of_the_suite_is_understood_and_run_by_a_test_here() -> None:
    for block in SESSIONS:
        words = shlex.split(block.command)
        if words[2] != "conformance":
            continue
        options = arguments(words[4:])
        name = options.replace[0] if options.replace else options.impl
        assert name in FINDS, block
