"""Ports that mind which memory was registered with them, or refuse to register any."""

from __future__ import annotations

import pytest
from torch import Tensor

from plumbline.interface import Capability, Domain
from plumbline.parts import claimed
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.transport_host import Received, fresh_name, global_names, mappings, remove_global, transport_of
from plumbline.transport_scenario import WireItem, WireRequest, prepared_of

REQUEST = WireRequest((WireItem(1, (4,)),))


class MindfulPort(HostPort):
    """Keeps a list of the words that it was given unregistered, although they lie in memory that processes of ``name``
    share."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._registered: list[range] = []
        self.unregistered: list[str] = []

    def register(self, memory: Tensor) -> None:
        self._registered.append(range(memory.data_ptr(), memory.data_ptr() + memory.nbytes))

    def write(self, word: Tensor, value: int) -> None:
        self._mind("write", word)
        super().write(word, value)

    def wait(self, word: Tensor, value: int) -> None:
        self._mind("wait", word)
        super().wait(word, value)

    def _mind(self, call: str, word: Tensor) -> None:
        shared = [addresses for addresses, path in mappings() if self._name in path]
        address = word.data_ptr()
        if any(address in span for span in shared) and not any(address in span for span in self._registered):
            self.unregistered.append(call)


@pytest.mark.requirement("MOVE-013")
def test_shared_words_are_registered_with_the_port_of_either_side(subject: Subject) -> None:
    claimed(subject, Capability.TRANSPORT)
    name = fresh_name()
    domain, ports = Domain(name, pool_bytes=1 << 16), {side: MindfulPort(name) for side in ("worker", "rank")}
    try:
        publisher = transport_of(subject.implementation, domain, port=ports["worker"]).publisher(0)
        rank = transport_of(subject.implementation, domain, port=ports["rank"]).subscriber(0)
        message = publisher.publish(prepared_of("q", REQUEST), frozenset({0})).message
        got = Received(rank, message)
        assert got.reads(REQUEST)
        got.release()
        rank.beat()
        publisher.collect()
        rank.close()
        publisher.close()
        assert not {side: port.unregistered for side, port in ports.items() if port.unregistered}
    finally:
        remove_global(name)


class RefusingPort(HostPort):
    def register(self, memory: Tensor) -> None:
        raise OSError("too many pages are pinned")


@pytest.mark.requirement("POOL-010", "POOL-003")
def test_a_worker_whose_port_registers_nothing_sends_payloads_in_messages_and_leaves_nothing(subject: Subject) -> None:
    claimed(subject, Capability.TRANSPORT)
    name = fresh_name()
    domain = Domain(name, pool_bytes=1 << 16)
    try:
        publisher = transport_of(subject.implementation, domain, port=RefusingPort()).publisher(0)
        rank = transport_of(subject.implementation, domain).subscriber(0)
        message = publisher.publish(prepared_of("q", REQUEST), frozenset({0})).message
        assert Received(rank, message).reads(REQUEST)
        publisher.close()
        assert not global_names(name)
    finally:
        remove_global(name)
