"""The photo job through real processes: the same bits on every rank, and transports that must not pass."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from rich.console import Console

from plumbline import page_photos, photos_processes, report, scorecard
from plumbline.certify import Certificate, certify
from plumbline.interface import Implementation, Item, Prepared, Publisher, Request, Runtime, Subscriber, Transport
from plumbline.photo_files import FIXTURES, PhotoError
from plumbline.photo_run import open_tower
from plumbline.photos import one_thread, run_photos
from plumbline.photos_processes import run_in_processes
from plumbline.resolve import Subject, resolve
from plumbline.small_tower import checkpoint
from plumbline.transport_host import SHARED_MEMORY
from reference import implementation as reference

PHOTOS = ("cat.png", "cat_one_level_up.png", "gravel.png")


# -------------------------------------------------------------------------------------------------- broken transports


class Broken:
    """The reference's transport, except for what becomes of a request on the way to rank 1."""

    def __init__(self, transport: Transport, change: Callable[[Prepared], Prepared]) -> None:
        self.publisher: Callable[[int], Publisher] = transport.publisher
        self._transport, self._change = transport, change

    def subscriber(self, rank: int) -> Subscriber:
        subscriber = self._transport.subscriber(rank)
        return Changes(subscriber, self._change) if rank == 1 else subscriber


class Changes:
    def __init__(self, subscriber: Subscriber, change: Callable[[Prepared], Prepared]) -> None:
        self._subscriber, self._change = subscriber, change
        self.beat, self.lost, self.close = subscriber.beat, subscriber.lost, subscriber.close

    def receive(self, message: bytes) -> Prepared:
        return self._change(self._subscriber.receive(message))


def broken(change: Callable[[Runtime, Prepared], Prepared]) -> Implementation:
    def transport(runtime: Runtime) -> Transport:
        assert reference.transport
        return Broken(reference.transport(runtime), lambda prepared: change(runtime, prepared))

    return replace(reference, name=change.__name__, transport=transport)


def with_payload(prepared: Prepared, of: str, change: Callable[[Item], Any]) -> Prepared:
    """The first payload of one request changed, that of any other as it is."""
    if prepared.request_id != of:
        return prepared
    first, *rest = prepared.items
    return replace(prepared, items=(replace(first, payload=change(first)), *rest))


def _garbles(runtime: Runtime, prepared: Prepared) -> Prepared:
    def flipped(item: Item) -> torch.Tensor:
        assert isinstance(item.payload, torch.Tensor)
        payload = item.payload.clone()
        payload.view(torch.int32)[0, 0] ^= 1 << 20
        return payload

    return with_payload(prepared, "its-twin", flipped)


def _loses(runtime: Runtime, prepared: Prepared) -> Prepared:
    return with_payload(prepared, "low-detail", lambda item: None)


def _leaves_a_file(runtime: Runtime, prepared: Prepared) -> Prepared:
    (SHARED_MEMORY / f"{runtime.domain.name}-left").touch()
    return prepared


def _dies(runtime: Runtime, prepared: Prepared) -> Prepared:
    os._exit(3)


def _hangs(runtime: Runtime, prepared: Prepared) -> Prepared:
    time.sleep(600)
    return prepared


garbles, loses, leaves_a_file = broken(_garbles), broken(_loses), broken(_leaves_a_file)
dies, hangs = broken(_dies), broken(_hangs)


def subject(name: str) -> Subject:
    return resolve(f"{__file__}:{name}")


# --------------------------------------------------------------------------------------------------------- whole photos


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> dict[str, Any]:
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("without transformers there are no photos")
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOS:
        shutil.copy(FIXTURES / name, folder)
    subjects = [resolve("reference"), resolve("optimized"), subject("garbles"), subject("loses")]
    return run_photos(folder, subjects, told.append, processes=True)


def entry(found: dict[str, Any], name: str) -> dict[str, Any]:
    entries: list[dict[str, Any]] = found["processes"]
    (one,) = [e for e in entries if e["implementation"] == name]
    return one


def test_every_rank_gets_the_bits_of_one_process(found: dict[str, Any]) -> None:
    for name in ("reference", "optimized"):
        assert entry(found, name)["identical"] is True
        assert entry(found, name)["requests"] == len(found["requests"])
    assert not [line for line in found["difference"].splitlines() if line.startswith(("reference", "optimized"))]


def test_the_pool_is_used_again_and_is_too_small_for_all(found: dict[str, Any]) -> None:
    reference, optimized = entry(found, "reference"), entry(found, "optimized")
    images = sum(len(request["images"]) for request in found["requests"])
    assert optimized["pooled_bytes"] > optimized["pool_bytes"] == optimized["payload_bytes"] // 4 > 0
    assert optimized["message_payloads"] > 0
    assert optimized["pooled_payloads"] + optimized["message_payloads"] == images
    assert (reference["pooled_payloads"], reference["message_payloads"]) == (0, images)


def test_a_garbled_payload_fails_the_job_and_names_the_request(found: dict[str, Any]) -> None:
    assert found["identical"] is False
    assert entry(found, "_garbles")["identical"] is False
    expected = "_garbles in processes: rank 1: other embeddings than in one process: its-twin"
    assert expected in found["difference"].splitlines()


def test_a_lost_payload_fails_the_job_and_names_the_request(found: dict[str, Any]) -> None:
    assert "_loses" not in [e["implementation"] for e in found["processes"]]
    (line,) = [line for line in found["difference"].splitlines() if line.startswith("_loses")]
    assert line.startswith("_loses in processes: rank 1: low-detail: PayloadMissing: ")


def test_the_report_says_so(found: dict[str, Any], told: list[str]) -> None:
    definitions = json.loads(report.SCHEMA.read_text(encoding="utf-8"))["$defs"]
    jsonschema.Draft202012Validator({"$defs": definitions, "$ref": "#/$defs/photos"}).validate(found)
    shown = page_photos.photos(found)
    assert f"{entry(found, 'optimized')['pooled_bytes']:,}" in shown
    assert "bit-identical to one process" in shown
    assert "1 worker and 2 ranks" in " ".join(told)
    line = scorecard._processes(entry(found, "optimized"))
    assert "photos through optimized in 3 processes" in line
    assert line.endswith("bit-identical")


# ------------------------------------------------------------------------------------------------ ends that are no end


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def certificate(folder: Path) -> Certificate:
    with one_thread():
        return certify(open_tower(folder), (64, 128))


def run_text(name: str, folder: Path, certificate: Certificate) -> tuple[dict[str, Any] | None, list[str]]:
    request = Request("text", torch.arange(120), ())
    with one_thread():
        return run_in_processes(subject(name), [request], folder, certificate, {}, Console(quiet=True).print)


def test_a_dead_process_is_named_with_its_exit_status(folder: Path, certificate: Certificate) -> None:
    with pytest.raises(PhotoError, match=r"_dies, rank 1: died \(exit status 3\)"):
        run_text("dies", folder, certificate)


def test_silence_ends_the_stage_and_says_what_each_did_last(
    folder: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos_processes, "SILENCE", 5.0)
    with pytest.raises(PhotoError, match=r"_hangs, processes: no word for 5 s; .*rank 1 (starts|waits for messages)"):
        run_text("hangs", folder, certificate)


def test_what_is_left_in_shared_memory_is_told_and_removed(folder: Path, certificate: Certificate) -> None:
    figures, wrong = run_text("leaves_a_file", folder, certificate)
    assert figures
    assert [line.split(": ")[0] for line in wrong if "shared memory" in line] == ["left in shared memory"]
    (name,) = [line.split(": ")[1] for line in wrong if "shared memory" in line]
    assert not (SHARED_MEMORY / name).exists()
