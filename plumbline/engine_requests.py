"""Requests of a scenario as an engine gets them: built, broken where the recipe says so, prepared, and how payloads come."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

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
        tensors = {id(p): p for item in items for p in parts_of(item.payload) if isinstance(p, Tensor)}
        own = (_in_one_piece if entry.submission.index % 2 else _apart)(list(tensors.values()))
        owned = dict(zip(tensors, own, strict=True))
        items = [dataclasses.replace(item, payload=_replaced(item.payload, owned)) for item in items]
    entry.prepared = dataclasses.replace(entry.prepared, items=tuple(items))


def take_back(entry: Entry) -> None:
    """Writes over what a request that has ended came with, as a caller does that uses its buffers again."""
    if entry.lent:
        for item in entry.prepared.items:
            for part in parts_of(item.payload):
                if isinstance(part, Tensor):
                    storage_of(part).fill_(POISON)


def _replaced(payload: Payload, owned: Mapping[int, Tensor]) -> Payload:
    """owned: by the ids of the tensors that they replace."""
    if isinstance(payload, tuple):
        return tuple(owned.get(id(part), part) for part in payload)
    return owned.get(id(payload), payload)


def _apart(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors in other memory, each with a whole storage of its own, and the same strides."""
    return [_view(storage_of(t).clone(), int(t.storage_offset()), t) for t in tensors]


def _in_one_piece(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Cut out of one piece of memory that they fill, the last first, as a caller does that has a buffer of his own."""
    plain = [t for t in tensors if t.is_contiguous() and not (t.is_conj() or t.is_neg())]
    plain.sort(key=Tensor.element_size)  # so that each lies at a multiple of its element's size
    whole = torch.empty(sum(t.nbytes for t in plain), dtype=torch.uint8)
    owned, end = {}, 0
    for t in plain[::-1]:
        start, end, at = end, end + t.nbytes, t.storage_offset() * t.element_size()
        whole[start:end] = storage_of(t)[at : at + t.nbytes]
        owned[id(t)] = _view(whole, start // t.element_size(), t)
    return [owned[id(t)] if id(t) in owned else _apart([t])[0] for t in tensors]


def _view(memory: Tensor, offset: int, like: Tensor) -> Tensor:
    """Elements of ``memory``, from ``offset`` on, with the dtype, shape and strides of ``like``."""
    return torch.empty(0, dtype=like.dtype).set_(memory.untyped_storage(), offset, like.shape, like.stride())
