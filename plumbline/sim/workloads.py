"""Generated workloads on a simulated device: rows against the closed form, identities, and what the ledger saw.

Each case runs with everything as late as it can be, and once more with a drawn schedule, on another stream than the default
one. What is wrong there and right with everything done at once is a missing wait.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from plumbline.bench import WRONG_ROWS, Verdicts
from plumbline.build import build_request
from plumbline.device_identities import judge_identities
from plumbline.diagnose import PLAIN
from plumbline.drawing import draw_cases
from plumbline.engine import budgets_of, run
from plumbline.exact import exact_spec
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.interface import Capability, Implementation, Runtime
from plumbline.judge import judge
from plumbline.resolve import Subject
from plumbline.scenario import Content, ItemRecipe, RequestRecipe, Scenario, TowerRecipe, loads
from plumbline.sim.device import Machine
from plumbline.sim.ledger import Ledger
from plumbline.sim.place import SimPlace
from plumbline.sim.port import SimPort
from plumbline.sim.schedule import AT_ONCE, LATEST
from plumbline.sim_case import SimCase
from plumbline.story import Story
from plumbline.story_of_workload import Teller
from plumbline.strategies import scenarios
from plumbline.trace import Trace

_LATE = ("MOVE-002", "MOVE-004", "MOVE-005")
"""What can be missing where a run is wrong only because work is late, and no access by the host was seen to be early."""

_SEEN = {"MOVE-004", "MOVE-005", "MOVE-008"}
"""Broken by what the ledger saw, not by a value."""


@dataclass
class Finding:
    """seed: the schedule. scenario: as JSON. story: plain data, where it was told."""

    requirement: str
    message: str
    seed: int
    scenario: object
    story: object = None


@dataclass
class Report:
    """Of one child process, as plain data."""

    cases: int = 0
    runs: int = 0
    seconds: float = 0.0
    kernels: int = 0
    late_copies: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)


def observe(
    scenario: Scenario, implementation: Implementation, schedule: int, report: Report
) -> tuple[Trace, Verdicts]:
    """One run. Items that the tower would fail on are whole: a device cannot raise in the host's call."""
    scenario = without_faults(scenario)
    with Machine(schedule) as machine:
        place = SimPlace(machine, beside=schedule not in (LATEST, AT_ONCE))
        with watchdog(HANG_SECONDS):
            trace = run(scenario, implementation, place)
    verdicts = judge(trace, implementation.capabilities)
    report.runs += 1
    report.kernels += machine.ledger.kernels
    report.late_copies += sum(copy.late for copy in machine.ledger.copies)
    if Capability.DEVICE in implementation.capabilities:
        for requirement in ("MOVE-004", "MOVE-005"):
            seen = [h.what for h in machine.ledger.hazards if h.requirement == requirement]
            verdicts.check(requirement, not seen, f"{len(seen)} times; first, {seen[0] if seen else ''}")
        if not _own_features(scenario, implementation):
            verdicts.check("MOVE-008", not place.waits, f"the host waited in a step for {place.waits[:3]}")
    report.judged += verdicts.judged
    return trace, verdicts


def check(scenario: Scenario, implementation: Implementation, schedule: int, report: Report) -> dict[str, str]:
    """What a case breaks: messages by requirement."""
    _, verdicts = observe(scenario, implementation, schedule, report)
    broken = {v.requirement: v.message for v in reversed(verdicts.violations)}
    if set(broken) - _SEEN:
        _, done = observe(scenario, implementation, AT_ONCE, Report())
        at_once = {v.requirement for v in done.violations}
        late = [broken.pop(name) for name in list(broken) if name not in _SEEN | at_once]
        if WRONG_ROWS in broken and _right_from_the_host(scenario, implementation):
            broken["ENC-001"] = f"{broken.pop(WRONG_ROWS)} (right when all payloads come on the host)"
        broken = {PLAIN.get(name, name): message for name, message in broken.items()}
        if late and not {"MOVE-004", "MOVE-005"} & set(broken):
            broken |= dict.fromkeys(_LATE, f"{late[-1]} (right when all work is done at once)")
    return broken


def _right_from_the_host(scenario: Scenario, implementation: Implementation) -> bool:
    """Whether rows are wrong only because payloads that come on the device are encoded beside others."""
    host = _with_items(scenario, on_device=False)
    if host == scenario:
        return False
    _, verdicts = observe(host, implementation, AT_ONCE, Report())
    return all(v.requirement != WRONG_ROWS for v in verdicts.violations)


def check_identities(
    scenario: Scenario, implementation: Implementation, schedule: int, report: Report
) -> dict[str, str]:
    """The same, of what is hashed on the device."""
    with Machine(schedule):
        verdicts = judge_identities(scenario, implementation, SimPort())
    report.judged += verdicts.judged
    return {v.requirement: v.message for v in reversed(verdicts.violations)}


def check_preparing(scenario: Scenario, implementation: Implementation, report: Report) -> dict[str, str]:
    """The same, of requests whose payloads lie on the host, as a worker has them that only prepares."""
    with Machine(LATEST) as machine:
        runtime = Runtime(exact_spec(scenario.tower), SimPort(), budgets_of(scenario))
        requests = [build_request(scenario.tower, request) for request in scenario.requests]
        assert implementation.identify
        assert implementation.prepare
        implementation.prepare(runtime, implementation.identify(runtime))(requests)
    report.judged["MOVE-011"] += 1
    return {"MOVE-011": f"a device was used: {machine.ledger}"} if machine.ledger != Ledger() else {}


def broken_on(case: SimCase, implementation: Implementation) -> dict[str, str]:
    """What a saved case breaks: messages by requirement."""
    broken = check(case.scenario, implementation, case.schedule, Report())
    if Capability.DEVICE in implementation.capabilities:
        broken |= check_identities(case.scenario, implementation, case.schedule, Report())
        broken |= check_preparing(case.scenario, implementation, Report())
    return broken


def tell_on(case: SimCase, implementation: Implementation) -> Story:
    """Runs a case once more: what each step did on the device."""
    trace, verdicts = observe(case.scenario, implementation, case.schedule, Report())
    broken = broken_on(case, implementation)
    kept = [v for v in verdicts.violations if PLAIN.get(v.requirement, v.requirement) in broken]
    story = Teller(trace).story(kept or verdicts.violations)
    how = {AT_ONCE: "all work is done at once", LATEST: "all work is done as late as the program allows"}
    said = how.get(case.schedule, f"work is done in the order that the seed {case.schedule} draws")
    story.begin(f"a simulated device: {said}")
    return story


def note(broken: Mapping[str, str], scenario: Scenario, schedule: int, report: Report) -> None:
    """broken: messages by requirement. The first finding of each is kept."""
    for requirement, message in broken.items():
        finding = Finding(requirement, message, schedule, json.loads(scenario.dumps()))
        report.findings.setdefault(requirement, finding)


def explore(subject: Subject, cases: int, session_seed: int) -> Report:
    """``FIXED`` and ``cases`` drawn scenarios, each under two schedules."""
    implementation = subject.implementation
    report = Report()
    began = time.perf_counter()

    def one(scenario: Scenario) -> None:
        report.cases += 1
        for schedule in (LATEST, session_seed + report.cases):
            note(check(scenario, implementation, schedule, report), scenario, schedule, report)
            if Capability.DEVICE in implementation.capabilities:
                note(check_identities(scenario, implementation, schedule, report), scenario, schedule, report)
        if Capability.DEVICE in implementation.capabilities:
            note(check_preparing(scenario, implementation, report), scenario, LATEST, report)

    for scenario in FIXED:
        one(scenario)
    draw_cases(scenarios(implementation.capabilities), one, cases, session_seed, shrink=False)
    for finding in report.findings.values():
        case = SimCase(loads(json.dumps(finding.scenario)), finding.seed)
        finding.story = tell_on(case, implementation).data()
    report.seconds = time.perf_counter() - began
    return report


def _own_features(scenario: Scenario, implementation: Implementation) -> bool:
    """Whether lazy payloads are the harness's own, which go up by a copy that waits."""
    struck = any(item.fence or item.gone for request in scenario.requests for item in request.items)
    sent = scenario.transport and Capability.TRANSPORT in implementation.capabilities
    return scenario.lazy and (struck or not sent)


def without_faults(scenario: Scenario) -> Scenario:
    return dataclasses.replace(_with_items(scenario, fault=False), hiccups=())


def _with_items(scenario: Scenario, **changes: bool) -> Scenario:
    def changed(request: RequestRecipe) -> RequestRecipe:
        items = tuple(dataclasses.replace(item, **changes) for item in request.items)  # type: ignore[arg-type]
        return dataclasses.replace(request, items=items)

    return dataclasses.replace(scenario, requests=tuple(map(changed, scenario.requests)))


def _image(content: int, patches: int, on_device: bool = False) -> ItemRecipe:
    return ItemRecipe(grid=(1, 1, patches), parts=(patches,), content=Content(content), on_device=on_device)


def _requests(count: int, same: bool, on_device: bool = False) -> tuple[RequestRecipe, ...]:
    """Of two images each. on_device: the first of them."""
    return tuple(
        RequestRecipe(f"r{k}", items=(_image(1 if same else 10 * k + 1, 3, on_device), _image(10 * k + 2, 5)))
        for k in range(count)
    )


FIXED = (
    Scenario(requests=_requests(4, same=False), patches_per_call=4),
    Scenario(requests=_requests(6, same=False), patches_per_call=16, running=1, chunks=(3, 5)),
    Scenario(requests=_requests(6, same=True), running=1),
    Scenario(requests=_requests(4, same=False, on_device=True), patches_per_call=16),
    Scenario(
        tower=TowerRecipe(patch_shape=(256,)),
        requests=tuple(RequestRecipe(f"r{k}", items=(_image(k + 1, 16), _image(k + 101, 80))) for k in range(5)),
        patches_per_call=80,
    ),
    Scenario(
        tower=TowerRecipe(moves_input=True),
        requests=(RequestRecipe("r", items=(_image(1, 4), ItemRecipe("image", "precomputed", None, parts=(3,)))),),
        chunks=(5,),
    ),
)
"""Many calls in one step, one call in each of many steps, rows that are used again from a cache, payloads of one call that come
on the host and on the device, more bytes in one step than fit a small buffer, in calls of several sizes, and a caller's own rows
for a tower that moves what it is given."""
