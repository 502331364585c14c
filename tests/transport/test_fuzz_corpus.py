"""Replays the inputs that coverage-guided fuzzing kept: tests/fuzz/fuzz_messages.py says how they came to be."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from plumbline.requirements import ROOT
from plumbline.resolve import Subject
from plumbline.transport_fuzz import Target

CORPUS = ROOT / "fixtures" / "fuzz" / "messages"
CORPORA = json.loads((CORPUS / "manifest.json").read_text())["corpora"]
SECONDS = 1
"""For one input; the slowest takes a few milliseconds."""


@pytest.mark.requirement("MSG-002")
@pytest.mark.requirement("MSG-003")
@pytest.mark.requirement("MSG-009")
def test_kept_inputs_end_well(subject: Subject) -> None:
    """Each is a message that survives being sent again, or BadMessage, in bounded time and memory; and nobody is harmed.

    An implementation's own corpus holds as many messages as its manifest says: a changed format needs another corpus.
    """
    target = Target(subject.implementation)
    try:
        for owner, entry in CORPORA.items():
            inputs = {path.name: path.read_bytes() for path in sorted((CORPUS / owner).iterdir())}
            assert (len(inputs), sum(map(len, inputs.values()))) == (entry["files"], entry["bytes"])
            taken = []
            for name, data in inputs.items():
                tracemalloc.start()
                began = time.perf_counter()
                try:
                    if target.run(data):
                        taken.append(name)
                except Exception as error:
                    error.add_note(f"on {owner}/{name}")
                    raise
                finally:
                    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
                    tracemalloc.stop()
                assert seconds < SECONDS, f"{seconds:.1f} s for {owner}/{name}"
                assert peak < 20 * len(data) + (1 << 20), f"{peak} bytes allocated for {owner}/{name}"
            if owner == subject.spec:
                assert taken == entry["messages"]
        assert not target.harmed()
    finally:
        target.close()


def test_the_corpus_stays_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert len(sizes) < 300
    assert sum(sizes) < 1 << 20
