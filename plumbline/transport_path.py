"""Transport inside the engine: requests are published by a worker, and admitted as the rank received them."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from plumbline.interface import Domain, Feature, Implementation, Payload, Prepared, Runtime, Ticket
from plumbline.transport_fields import parts_of
from plumbline.transport_host import fresh_name, remove_global

POOL_BYTES = 8192
"""For the payloads of a case, of which the largest have no room."""


class WatchedFeature:
    """A received payload, with the log that ``LocalFeature`` keeps."""

    def __init__(self, feature: Feature) -> None:
        self._feature = feature
        self.meta = feature.meta
        self.events: list[str] = []

    @property
    def released(self) -> bool:
        return "release" in self.events

    def ready(self) -> bool:
        return self._feature.ready()

    def open(self, device: torch.device) -> Tensor:
        self.events.append("open after release" if self.released else "open")
        return self._feature.open(device)

    def release(self) -> None:
        if not self.released:
            self.events.append("release")
        self._feature.release()

    def check(self) -> None:
        self._feature.check()


class Path:
    """One worker and one rank of the implementation's transport."""

    def __init__(self, implementation: Implementation, runtime: Runtime) -> None:
        self.domain = Domain(fresh_name(), pool_bytes=POOL_BYTES, clock=lambda: 0.0)
        assert implementation.transport
        here = dataclasses.replace(runtime, domain=self.domain)
        self.publisher = implementation.transport(here).publisher(0)
        self.subscriber = implementation.transport(here).subscriber(0)

    def deliver(self, prepared: Prepared) -> tuple[Prepared, dict[int, tuple[WatchedFeature, ...]], Ticket]:
        """The request as the rank received it, its lazy payloads by item, and what takes it back."""
        ticket = self.publisher.publish(prepared, frozenset({0}))
        got = self.subscriber.receive(ticket.message)
        items, features = [], {}
        for index, item in enumerate(got.items):
            parts = [p if isinstance(p, Tensor) else WatchedFeature(p) for p in parts_of(item.payload)]
            features[index] = tuple(p for p in parts if isinstance(p, WatchedFeature))
            payload: Payload = tuple(parts) if isinstance(item.payload, tuple) else parts[0] if parts else None
            items.append(dataclasses.replace(item, payload=payload))
        return dataclasses.replace(got, items=tuple(items)), features, ticket

    def finish(self) -> int:
        """Closes both sides. Returns the bytes that were still under leases."""
        self.publisher.collect()
        leased = self.publisher.leased
        self.publisher.close()
        self.subscriber.close()
        remove_global(self.domain.name)
        return leased
