"""The pytest side: which implementations are tested, and which requirement a test is about.

A test that takes ``subject`` runs once for each ``--impl``. ``@pytest.mark.requirement("IDENT-004")`` cites what it tests.
Imports torch only when a test needs it.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plumbline.resolve import Subject

DEFAULT_IMPLEMENTATIONS = ["reference", "optimized"]
OF_THE_PROJECT = frozenset({"adapters", "dashboard", "docs", "fuzz", "harness", "roofline", "speed"})
"""Folders of tests that are about no implementation, and may import what judging one does not need."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("plumbline")
    group.addoption("--impl", action="append", default=[], metavar="SPEC", help="module:attribute or file.py:attribute")
    group.addoption("--replace", action="append", default=[], metavar="PART=SPEC", help="replace one part")
    group.addoption(
        "--known", action="append", default=[], metavar="ID", help="declared deviations: not to be found again"
    )
    group.addoption("--profile", default="tests", metavar="NAME", help="quick, tests, default, thorough or mutant")
    group.addoption("--cases", type=int, default=None, metavar="N", help="generated workloads in each shard")
    group.addoption(
        "--plumbline-seed", type=int, default=None, metavar="N", help="seed of the session; random if not given"
    )
    group.addoption("--subjects-only", action="store_true", help="only tests of an implementation")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(*ids): the requirements of conformance.md that a test is about")
    config.addinivalue_line("markers", "workloads: explores generated workloads; what it judges is in its result")
    config.addinivalue_line("markers", "slow: left out of a quick run")
    config.addinivalue_line("markers", "own_watchdog: waits for processes that end by themselves when they hang")
    # Tests run in as many processes as there are cores; more threads in each only wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if config.getoption("--plumbline-seed") is None:
        config.option.plumbline_seed = random.SystemRandom().randrange(2**32)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """xdist: every worker draws from the controller's seed."""
    node.workerinput["plumbline_seed"] = node.config.option.plumbline_seed  # type: ignore[attr-defined]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    given = getattr(session.config, "workerinput", {}).get("plumbline_seed")
    if given is not None:
        session.config.option.plumbline_seed = given


def pytest_report_header(config: pytest.Config) -> str:
    return f"plumbline: seed {config.option.plumbline_seed}, profile {config.option.profile}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    specs = metafunc.config.getoption("--impl") or DEFAULT_IMPLEMENTATIONS
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", specs, indirect=True, ids=specs)
    if "shard" in metafunc.fixturenames:
        from plumbline.profiles import shards_for

        metafunc.parametrize("shard", range(shards_for(metafunc.config.option.profile, len(specs))))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    ignored = config.getoption("--subjects-only") and collection_path.parent == config.rootpath / "tests"
    return True if ignored and collection_path.name in OF_THE_PROJECT else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from plumbline.requirements import requirements

    known = requirements()
    for item in items:
        cited = [name for mark in item.iter_markers("requirement") for name in mark.args]
        unknown = [name for name in cited if name not in known]
        if unknown:
            raise pytest.UsageError(f"{item.nodeid} cites {', '.join(unknown)}, which conformance.md does not have")
        item.user_properties.append(("requirements", cited))
        callspec = getattr(item, "callspec", None)
        item.user_properties.append(("subject", callspec.params.get("subject") if callspec else None))
    if config.getoption("--subjects-only"):
        kept = [i for i in items if ("subject", None) not in i.user_properties]
        config.hook.pytest_deselected(items=[i for i in items if i not in kept])
        items[:] = kept


TEST_SECONDS = 120
"""For one direct test of an implementation. Workloads have a watchdog of their own, and so have processes that a test waits
for: how long they take as a whole, on a machine that others use too, says nothing."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    from plumbline.explore import watchdog

    watched = "workloads" in item.nodeid or item.get_closest_marker("own_watchdog")
    if ("subject", None) in item.user_properties:
        return (yield)
    with _undisturbed(item), contextlib.nullcontext() if watched else watchdog(TEST_SECONDS):
        return (yield)


@contextmanager
def _undisturbed(item: pytest.Item) -> Iterator[None]:
    """A test that passes fails where an implementation left the process's arithmetic other than it found it."""
    from plumbline import process_state

    before = process_state.now(process_state.ARITHMETIC)
    try:
        yield
    except BaseException:
        process_state.restored(before)
        raise
    if changed := process_state.restored(before):
        item.user_properties.append(("broken", "ISO-007"))
        pytest.fail(f"afterwards the process had other settings: {', '.join(changed)}", pytrace=False)


@pytest.fixture
def about(record_property: Callable[[str, object], None]) -> Callable[[str], AbstractContextManager[None]]:
    """``with about("CACHE-004"): ...`` in a test that cites several: what fails inside is about that requirement alone."""

    @contextmanager
    def about_one(requirement: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            record_property("broken", requirement)
            raise

    return about_one


@pytest.fixture
def say_broken(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """For a test that leaves it to a judge: says of a requirement that it was found broken. Any other failure is about none:
    a subject that died was not judged."""
    record_property("judges", True)
    return partial(record_property, "broken")


@pytest.fixture(scope="module")
def single_thread() -> Iterator[None]:
    """One thread of torch for all tests of a module: what a tower's bits depend on."""
    from plumbline.photos import one_thread

    with one_thread():
        yield


_RESOLVED: dict[tuple[str, tuple[str, ...]], Subject] = {}


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Subject:
    """The implementation under test, complete. Skips a test all of whose requirements need what is not claimed."""
    from plumbline.requirements import requirements
    from plumbline.resolve import resolve

    key = (request.param, tuple(request.config.getoption("--replace")))
    if key not in _RESOLVED:
        _RESOLVED[key] = resolve(*key)
    found = _RESOLVED[key]
    cited = [requirements()[name] for mark in request.node.iter_markers("requirement") for name in mark.args]
    if cited and all(r.needs is not None and r.needs not in found.implementation.capabilities for r in cited):
        pytest.skip(f"not claimed: {', '.join(sorted({str(r.needs) for r in cited}))}")
    return found
