"""Requests of a scenario as an engine gets them: built, broken where the recipe says so, prepared, and how payloads come."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from plumbline.build import Shared, build_request
from plumbline.feature import POISON, LocalFeature, storage_of
from plumbline.interface import Capability, Payload
from plumbline.malformed import FAULTS, next_applicable
from plumbline.requirements import requirements
from plumbline.rig import Rig
from plumbline.snapshots import snapshot
from plumbline.trace import Crash, Entry, Submission, Trace, listed_recipes
from plumbline.transport_fields import parts_of


def prepare_all(trace: Trace, rig: Rig, claims: frozenset[Capability]) -> None:
    """The requests of the trace's scenario, through the implementation's prepare, together or one by one."""
    scenario, submissions = trace.scenario, trace.submissions

    def judged(fault: str) -> bool:
        """Whether the requirement that refuses this fault is claimed."""
        needs = requirements()[FAULTS[fault].requirement].needs
        return needs is None or needs in claims

    shared: Shared | None = {} if scenario.prepare_together else None  # as a caller sends that keeps its pictures
    for index, recipe in enumerate(scenario.requests):
        request = build_request(scenario.tower, recipe, shared)
        fault = ""
        if recipe.malformed:
            at, spec = recipe.malformed_at, rig.runtime.spec
            fault, request = next_applicable(request, recipe.malformed, spec, at, judged) or ("", request)
        submissions.append(Submission(index, recipe, request, fault))
    names = [s.request.request_id for s in submissions]
    together = scenario.prepare_together and len(set(names)) == len(names)
    for group in [submissions] if together else [[s] for s in submissions]:
        if group:
            _prepare(group, rig)


def _prepare(group: list[Submission], rig: Rig) -> None:
    """One call for the group."""
    before = [snapshot(s.request) for s in group]
    counted = rig.identify.items
    try:
        results = list(rig.prepare(tuple(s.request for s in group)))
    except Exception as error:
        for s in group:
            s.result = Crash("prepare", s.request.request_id, error)
        return
    for k, s in enumerate(group):
        s.result = results[k] if k < len(results) else None
        s.identified = rig.identify.items - counted
        s.changed = "" if snapshot(s.request) == before[k] else "the request was changed"
    if len(results) > len(group):
        group[-1].result = None


def make_lazy(entry: Entry) -> None:
    """Puts lazy payloads in the place of tensors."""
    items = []
    recipes = listed_recipes(entry.submission.recipe)
    for index, item in enumerate(entry.prepared.items):
        parts = item.payload if isinstance(item.payload, tuple) else (item.payload,)
        fence, gone = (recipes[index].fence, recipes[index].gone) if index < len(recipes) else (False, False)
        features = tuple(LocalFeature(p, fence, gone) for p in parts if isinstance(p, Tensor))
        entry.features[index] = features
        payload = features if isinstance(item.payload, tuple) else features[0] if features else None
        items.append(dataclasses.replace(item, payload=payload))
    entry.prepared = dataclasses.replace(entry.prepared, items=tuple(items))


def place(entry: Entry, rig: Rig) -> None:
    """Puts those payloads on the device that come there. What stays on the host lies in memory of the entry's own."""
    items = list(entry.prepared.items)
    for index, recipe in enumerate(listed_recipes(entry.submission.recipe)[: len(items)]):
        if recipe.on_device:
            items[index] = rig.place.placed(items[index])
    entry.lent = rig.port.device.type == "cpu"
    if entry.lent:
        items = [dataclasses.replace(item, payload=_own(item.payload)) for item in items]
    entry.prepared = dataclasses.replace(entry.prepared, items=tuple(items))


def take_back(entry: Entry) -> None:
    """Writes over what a request that has ended came with, as a caller does that uses its buffers again."""
    if entry.lent:
        for item in entry.prepared.items:
            for part in parts_of(item.payload):
                if isinstance(part, Tensor):
                    storage_of(part).fill_(POISON)


def _own(payload: Payload) -> Payload:
    """The same tensors in other memory, with the same strides."""
    if isinstance(payload, tuple):
        return tuple(_own(part) for part in payload)  # type: ignore[misc]
    if not isinstance(payload, Tensor):
        return payload
    copy = torch.empty(0, dtype=payload.dtype)
    copy.set_(storage_of(payload).clone().untyped_storage(), payload.storage_offset(), payload.shape, payload.stride())
    return copy
