"""Generated workloads on one to four ranks, which are threads here, held against the same workload on one rank alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from plumbline.interface import Capability, Ranks
from plumbline.parts import claimed, image
from plumbline.profiles import PROFILES
from plumbline.rank_case import RankCase, loads, rank_cases
from plumbline.rank_explore import FLOORS, PART, check_ranks
from plumbline.rank_threads import Diverged, Meeting
from plumbline.resolve import Subject
from plumbline.scenario import Op, RequestRecipe, Scenario
from plumbline.tell import tell
from plumbline.transport_explore import explore_cases, explore_session, found_in


@pytest.mark.workloads
def test_generated_workloads_on_ranks(
    subject: Subject, shard: int, request: pytest.FixtureRequest, record_property: pytest.RecordProperty
) -> None:
    claimed(subject, Capability.RANKS)
    check = partial(check_ranks, implementation=subject.implementation)
    found = explore_session(rank_cases(subject.implementation.capabilities), check, request.config.option, shard, PART)
    record_property("exploration", found.data("ranks", partial(tell, implementation=subject.implementation)))
    assert not found.findings, found.said


@pytest.mark.requirement("RANK-002", "RANK-004")
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_take_up_other_weights_together(
    subject: Subject, ranks: int, record_property: pytest.RecordProperty
) -> None:
    """Images that are cached are sent again after a change of epoch."""
    claimed(subject, Capability.RANKS, Capability.EPOCHS)
    items = tuple(image(seed) for seed in range(3))
    requests = tuple(RequestRecipe(f"r{k}", items) for k in range(4))
    scenario = Scenario(requests=requests, running=1, ops=(Op(2, "epoch", 1),))
    judged(RankCase(scenario, ranks), subject, record_property)


@pytest.mark.requirement("RANK-002", "RANK-003")
@pytest.mark.parametrize("at", range(3))
def test_ranks_agree_on_a_lease_that_is_lost_when_the_next_step_has_begun(
    subject: Subject, at: int, record_property: pytest.RecordProperty
) -> None:
    """Images that are cut, each read by one rank: of one request, and of others with the same images."""
    claimed(subject, Capability.RANKS, Capability.LAZY)
    items = tuple(image(seed) for seed in range(3))
    requests = tuple(RequestRecipe(f"r{k}", items[: 3 - k]) for k in range(3))
    scenario = Scenario(requests=requests, lazy=True, settle_late=True, chunks=(3,), patches_per_call=4)
    judged(RankCase(scenario, 3, "lease", at), subject, record_property)


@pytest.mark.requirement("RANK-002", "RANK-003")
@pytest.mark.parametrize("at", range(2))
def test_ranks_agree_on_a_lease_of_a_request_that_ended_before_it_was_settled(
    subject: Subject, at: int, record_property: pytest.RecordProperty
) -> None:
    claimed(subject, Capability.RANKS, Capability.LAZY)
    requests = (RequestRecipe("r0", (image(0), image(1))), RequestRecipe("r1", (image(7),)))
    scenario = Scenario(requests=requests, lazy=True, settle_late=True, running=1)
    judged(RankCase(scenario, 2, "lease", at), subject, record_property)


def judged(case: RankCase, subject: Subject, record_property: pytest.RecordProperty) -> None:
    found = found_in(case, check_ranks(case, subject.implementation)[0])
    if found.findings:
        record_property("exploration", found.data("ranks", partial(tell, implementation=subject.implementation)))
    assert not found.findings, found.said


@pytest.mark.slow
def test_workloads_on_ranks_reach_what_kills_bugs(subject: Subject, request: pytest.FixtureRequest) -> None:
    claimed(subject, Capability.RANKS, Capability.LAZY)
    if not PROFILES[request.config.option.profile].floors:
        pytest.skip("too few cases for floors")
    # Cases of one drawing resemble each other, so many short drawings are counted together.
    seeds = [request.config.option.plumbline_seed + 99 + 1000 * k for k in range(16)]
    cases = rank_cases(subject.implementation.capabilities)
    drawings = [explore_cases(cases, partial(check_ranks, implementation=subject.implementation), 10, s) for s in seeds]
    count = sum(found.cases for found in drawings)
    reach = {name: sum(found.reach[name] for found in drawings) / count for name in FLOORS}
    low = {name: reach[name] for name, least in FLOORS.items() if reach[name] < least}
    failed = any(found.first_failure is not None for found in drawings)
    assert failed or not low, f"situations reached too rarely: {low}"


def test_a_case_survives_json() -> None:
    from hypothesis import given, settings

    @settings(max_examples=50, database=None, deadline=None)
    @given(rank_cases(frozenset(Capability)))
    def survives(case: RankCase) -> None:
        assert loads(case.dumps()) == case

    survives()


def words(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def rows(count: int, width: int = 2) -> torch.Tensor:
    return torch.full((count, width), float(count))


def test_a_meeting_gives_all_what_each_gave() -> None:
    def script(ranks: Ranks) -> tuple[list[list[int]], list[int]]:
        agreed = ranks.agree(words(ranks.rank, 7)).tolist()
        return agreed, [len(block) for block in ranks.gather(rows(ranks.rank), range(3))]

    meeting: Meeting[tuple[list[list[int]], list[int]]] = Meeting(3)
    assert meeting.run(script) == [([[0, 7], [1, 7], [2, 7]], [0, 1, 2])] * 3
    assert meeting.entered[0] == meeting.entered[1] == meeting.entered[2]
    assert not meeting.diverged


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda ranks: ranks.rank or ranks.agree(words(1)), "rank 0 waits in agree[1], rank 1 has ended"),
        (lambda ranks: ranks.agree(words(*range(ranks.rank))), "rank 0 waits in agree[0], rank 1 waits in agree[1]"),
        (
            lambda ranks: ranks.agree(words(1)) if ranks.rank else ranks.gather(rows(1), [1, 1]),
            "rank 0 waits in gather[1, 1, 2], rank 1 waits in agree[1]",
        ),
        (lambda ranks: ranks.gather(rows(1), [2, 2]), "rank 0 gave [1, 2] to gather of [2, 2]"),
        (
            lambda ranks: ranks.gather(rows(1, 1 + ranks.rank), [1, 1]),
            "rank 0 waits in gather[1, 1, 1], rank 1 waits in gather[1, 1, 2]",
        ),
    ],
    ids=["one ended", "other sizes", "other collectives", "not as many as said", "other widths"],
)
def test_ranks_that_diverge_are_told(script: Callable[[Ranks], object], said: str) -> None:
    meeting: Meeting[object] = Meeting(2)
    results = meeting.run(script)
    assert meeting.diverged == said
    assert any(isinstance(result, Diverged) for result in results)
