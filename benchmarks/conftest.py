"""What the benchmarks under pytest are given: implementations, a device, and how long they may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from plumbline.explore import watchdog
from plumbline.pytest_plugin import DEFAULT_IMPLEMENTATIONS
from plumbline.resolve import Subject, resolve
from plumbline.results import environment
from plumbline.speed.duel import add_benchmark  # noqa: F401  (a fixture)
from plumbline.speed.parts import BENCHMARKS, is_chosen

HANG_SECONDS = 300
"""For one benchmark, whose implementation may take seconds a run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("plumbline")
    group.addoption("--seconds", type=float, default=0.5, help="to spend on each benchmark, about")
    group.addoption("--device", default="cpu", help="cpu or cuda")
    group.addoption("--only", action="append", default=[], metavar="PART[/WORKLOAD]", help="leave out the others")
    group.addoption("--times-only", action="store_true", help="no counters, which are the same in every process")
    group.addoption("--reversed", action="store_true", help="the last implementation begins, and the last benchmark")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "benchmark_name" in metafunc.fixturenames:
        only = metafunc.config.getoption("--only")
        names = [name for name in BENCHMARKS if is_chosen(name, only)]
        if metafunc.config.getoption("--reversed"):
            names.reverse()
        metafunc.parametrize("benchmark_name", names)


@pytest.fixture(scope="session")
def subjects(request: pytest.FixtureRequest) -> list[Subject]:
    """The reference first."""
    specs = request.config.getoption("--impl") or DEFAULT_IMPLEMENTATIONS
    replaced = request.config.getoption("--replace")
    return [resolve("reference"), *(resolve(spec, replaced) for spec in specs if spec != "reference")]


@pytest.fixture(scope="session")
def wanted(request: pytest.FixtureRequest) -> Callable[[str], bool]:
    """Whether benchmarks of this part are asked for."""
    only = [name.partition("/")[0] for name in request.config.getoption("--only")]
    return lambda part: not only or part in only


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def counted(request: pytest.FixtureRequest) -> bool:
    return not request.config.getoption("--times-only")


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    found: float = request.config.getoption("--seconds")
    return found


@pytest.fixture(scope="session")
def turned(request: pytest.FixtureRequest) -> bool:
    """Whether the last implementation begins."""
    found: bool = request.config.getoption("--reversed")
    return found


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """What is timed is one thread's work, so that no benchmark waits for what another left to a pool."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    """A hang is a failure of one benchmark, and no wait without end."""
    with watchdog(HANG_SECONDS):
        yield


@pytest.hookimpl
def pytest_benchmark_update_machine_info(config: object, machine_info: dict[str, Any]) -> None:
    machine_info["plumbline"] = environment()
