"""The hook, and the files that it writes: whole or cut, bounded, and without anything of pixels and prompts."""

from __future__ import annotations

import ast
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plumbline.capture import Capture, ItemMeta, capture_from_environment
from plumbline.capture_file import BadTrace, ForeignTrace, Request, Retract, Step, read_trace, schema
from plumbline.capture_judge import TraceJudge
from plumbline.capture_scenario import scenario_of
from plumbline.requirements import ROOT

EXAMPLES = sorted((ROOT / "docs" / "examples").glob("capture_*.jsonl"))
LINES = EXAMPLES[0].read_bytes().splitlines(keepends=True)


def engine(capture: Capture) -> None:
    capture.engine("toy", cache_rows=8, patches_per_call=64, hidden=8, patch_shape=(3,))


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_the_hook_needs_the_standard_library_alone() -> None:
    names = set()
    for node in ast.walk(ast.parse((ROOT / "plumbline" / "capture.py").read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_schema_is_that_of_the_reader() -> None:
    assert json.loads((ROOT / "plumbline" / "capture.schema.json").read_text()) == json.loads(json.dumps(schema()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_what_the_hook_writes_follows_the_schema(path: Path) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    for line in path.read_text().splitlines():
        validator.validate(json.loads(line))


# -- how it ends


KILLED = """
import os, signal, sys
from plumbline.capture import Capture
capture = Capture(sys.argv[1], flush_seconds=0)
capture.engine("toy", cache_rows=8, patches_per_call=64, hidden=8, patch_shape=(3,))
for number in range(100):
    capture.request(f"r{number}", 4, [])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_engine_leaves_what_it_flushed_and_the_reader_says_so(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, timeout=60)
    assert child.returncode == -signal.SIGKILL
    recording = read_trace(tmp_path)
    assert sum(isinstance(e, Request) for _, e in recording.events) == 100
    assert any("without closing" in note for note in recording.notes)


@pytest.mark.parametrize("cut", range(1, len(LINES[-2]), 7))
def test_a_file_that_ends_inside_a_line_is_read_up_to_there(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(b"".join(LINES[:-2]) + LINES[-2][:cut])
    recording = read_trace(path)
    assert len(recording.events) == len(LINES) - 2
    assert any(f"cut.jsonl:{len(LINES) - 1}" in note and "cut off" in note for note in recording.notes)


def test_a_closed_file_is_whole() -> None:
    assert not read_trace(EXAMPLES[0]).notes


@pytest.mark.parametrize("limit", [600, 1000, 5000])
def test_a_file_stays_within_its_limit_and_says_that_it_reached_it(
    limit: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Capture(tmp_path, limit=limit)
    engine(capture)
    for number in range(1000):
        capture.request(f"r{number}", 4, [])
    assert not capture.active
    assert limit - 512 < len(written(tmp_path)) <= limit
    assert any("'limit'" in note for note in read_trace(tmp_path).notes)
    assert str(limit) in caplog.text


@pytest.mark.parametrize("items", [[("image",)], [ItemMeta("image", object(), [("a", 2)])], 7])  # type: ignore[arg-type]
def test_a_wrong_call_ends_the_capture_and_not_the_engine(items: list[ItemMeta], tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    engine(capture)
    capture.request("r0", 4, items)
    assert not capture.active
    capture.request("r1", 4, [])
    recording = read_trace(tmp_path)
    assert not any(isinstance(e, Request) for _, e in recording.events)
    assert any("Error'" in note for note in recording.notes)


def test_a_folder_that_cannot_be_written_ends_the_capture_and_not_the_engine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    capture = Capture(tmp_path / "file" / "folder")
    engine(capture)
    assert not capture.active


# -- several threads and processes


def test_threads_write_whole_lines_into_one_file(tmp_path: Path) -> None:
    with Capture(tmp_path, flush_seconds=0) as capture:
        engine(capture)

        def work(thread: int) -> None:
            for number in range(200):
                capture.request(f"{thread}.{number}", 4, [])

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    recording = read_trace(tmp_path)
    names = {e.id for _, e in recording.events if isinstance(e, Request)}
    assert len(names) == 800
    assert not recording.notes


def _child(capture: Capture) -> None:
    capture.step([("r0", 0, 4)])
    capture.close()


def test_a_forked_child_writes_a_file_of_its_own_about_the_same_requests(tmp_path: Path) -> None:
    capture = Capture(tmp_path, flush_seconds=1e9)
    engine(capture)
    capture.request("r0", 4, [])
    child = multiprocessing.get_context("fork").Process(target=_child, args=(capture,))
    child.start()
    child.join(60)
    capture.retract("r0")
    capture.close()
    assert len(list(tmp_path.iterdir())) == 2
    recording = read_trace(tmp_path)
    kinds = [type(e) for _, e in recording.events if isinstance(e, Request | Step | Retract)]
    assert kinds == [Request, Step, Retract]
    assert not TraceJudge(recording).go()
    assert scenario_of(recording).scenario.script[1].chunks == ((0, 0, 4),)


def test_processes_of_one_environment_share_the_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLUMBLINE_CAPTURE_SALT", raising=False)
    monkeypatch.delenv("PLUMBLINE_CAPTURE", raising=False)
    assert capture_from_environment() is None
    monkeypatch.setenv("PLUMBLINE_CAPTURE", str(tmp_path))
    try:
        for capture in (capture_from_environment(), capture_from_environment()):
            assert capture is not None
            capture.request("r0", 4, [])
            capture.close()
        names = {json.loads(path.read_text().splitlines()[1])["id"] for path in tmp_path.iterdir()}
        assert len(names) == 1
        assert os.environ["PLUMBLINE_CAPTURE_SALT"].encode() not in written(tmp_path)
    finally:
        os.environ.pop("PLUMBLINE_CAPTURE_SALT", None)


# -- names


SECRETS = st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=12, max_size=20)


@settings(max_examples=25, deadline=None)
@given(SECRETS, SECRETS, SECRETS, SECRETS, st.binary(min_size=16, max_size=32).map(b"\x9d".__add__))
def test_no_name_is_written_and_none_can_be_guessed_without_the_salt(
    request_id: str, tenant: str, key: str, value: str, digest: bytes
) -> None:
    files = []
    for salt in (b"one", b"one", b"two"):
        with tempfile.TemporaryDirectory() as folder:
            capture = Capture(folder, salt)
            pad = int.from_bytes(digest, "big")
            extras = {"crop": (value, True)}
            item = ItemMeta(
                "image", digest, [(0, 1)], parts=(1,), pad=pad, extras=extras, tenant=tenant, key=key, trusted=True
            )
            capture.request(request_id, 4, [item])
            capture.close()
            files.append(written(Path(folder)))
    for secret in (request_id, tenant, key, value, digest.hex(), str(pad)):
        assert secret.encode() not in files[0]
    names = [{json.loads(f.splitlines()[1])["id"], *_names(f)} for f in files]
    assert names[0] == names[1]
    assert not names[0] & names[2]


def _names(file: bytes) -> set[str]:
    (item,) = json.loads(file.splitlines()[1])["items"]
    return {item["digest"], item["pad"], item["tenant"], item["key"], item["extras"][0][1]}


# -- bad input


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no event says what the engine is"),
        (b"\x89PNG\r\n", "first line"),
        (b"[1]\n", "first line"),
        (b'{"event":"plumbline trace","at":0,"version":1}\n', "missing required field"),
        (LINES[0] + LINES[2], "no event says what the engine is"),
        (b"".join(LINES[:2]) + b"{}\n", "event"),
        (b"".join(LINES[:2]) + b"{\n", "not JSON"),
        (b"".join(LINES[:2]) + b"[" * 100_000 + b"\n", "Expected `object`"),
        (b"".join(LINES[:2]) + b'{"event":"finish","at":0,"id":"alice"}\n', r"\$\.id"),
        (b"".join(LINES[:2]) + b'{"event":"request","at":0,"id":"%s","tokens":99999999999,"items":[]}\n' % (b"0" * 16),
         r"<= 16777216.*\$\.tokens"),
        (LINES[0] + LINES[1] + LINES[1].replace(b"optimized", b"other"), "several engines"),
        (b"".join(LINES[:2]), "no request"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_refused_with_words(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadTrace, match=said) as raised:
        scenario_of(read_trace(path))
    assert raised.value.where
    assert raised.value.hint


def test_another_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(LINES[0].replace(b'"version":1', b'"version":2,"more":[]') + LINES[1])
    with pytest.raises(ForeignTrace, match=r"version 2.*reads version 1"):
        read_trace(tmp_path)


@pytest.mark.parametrize("place", ["", "empty", "no such folder"])
def test_where_there_is_nothing_it_says_so(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadTrace):
        read_trace(tmp_path / place)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_trace_is_read_or_refused_with_a_typed_error(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = bytearray(lines[at])
        kind = data.draw(st.sampled_from(["byte", "number", "drop", "twice", "swap"]))
        if kind == "byte":
            line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
            lines[at] = bytes(line)
        elif kind == "number":
            digits = [k for k, c in enumerate(line) if chr(c).isdigit()]
            k = data.draw(st.sampled_from(digits))
            lines[at] = (
                bytes(line[:k]) + data.draw(st.sampled_from([b"-1", b"0", b"9", b"70000", b"1e9"])) + line[k + 1 :]
            )
        elif kind == "drop":
            del lines[at]
        elif kind == "twice":
            lines.insert(at, bytes(line))
        else:
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        if not lines:
            return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.jsonl")
        path.write_bytes(b"".join(lines))
        with contextlib.suppress(BadTrace):
            recording = read_trace(path)
            TraceJudge(recording).go()
            scenario_of(recording)
