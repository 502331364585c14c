"""The settings of a process: they are left as they were found, and change no result."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch

from plumbline import engine, process_state
from plumbline.build import build_request
from plumbline.certify import same_bits
from plumbline.drawing import draw_each
from plumbline.explore import HANG_SECONDS, watchdog
from plumbline.interface import BadCheckpoint, Chunk, Prepared, Rows
from plumbline.judge_tower import encode, families_of, folders_of, levels_of, tower_of
from plumbline.parts import image, loads, rig_of
from plumbline.resolve import Subject
from plumbline.rig import HostPort
from plumbline.scenario import RequestRecipe, Scenario, TowerRecipe
from plumbline.small_tower import FAMILIES, checkpoint
from plumbline.snapshots import alike
from plumbline.strategies import scenarios
from plumbline.tower_calls import Call, Picture
from plumbline.trace import Trace

DRAWN = 20


@contextlib.contextmanager
def setting(name: str, value: object) -> Iterator[None]:
    get, put = process_state.SETTINGS[name]
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


SETTINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "bfloat16": lambda: setting("default dtype", torch.bfloat16),
    "float64": lambda: setting("default dtype", torch.float64),
    "no gradients": lambda: setting("gradients", False),
    "deterministic": lambda: setting("determinism", True),
    "inference mode": torch.inference_mode,
}


@pytest.mark.requirement("ISO-007", "EPOCH-004")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_refused_tower_leaves_nothing(subject: Subject, family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """Of a dtype that is not the process's. What every test looks at afterwards is what it asks for."""
    if subject.implementation.tower is None:
        pytest.skip("no tower of its own")
    folder = checkpoint(tmp_path, family=family)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadCheckpoint):
        tower_of(subject.implementation, folder, HostPort(), dtype)


OTHERS = {
    "garbage collection": False,
    "default dtype": torch.bfloat16,
    "gradients": False,
    "determinism": True,
    "small numbers": True,
    "threads of torch": 3,
}
"""What an engine may have set before."""


def served(subject: Subject) -> None:
    """Many requests, each with an image of its own, from their preparation to their end."""
    rig = rig_of(subject.implementation)
    requests = [build_request(TowerRecipe(), RequestRecipe(f"r{k}", (image(k),))) for k in range(64)]
    found = [one for one in rig.prepare(requests) if isinstance(one, Prepared)]
    assert len(found) == len(requests)
    for one in found:
        rig.embed.admit(one)
    step = rig.embed.step([Chunk(one.request_id, 0, len(one.token_ids)) for one in found])
    ids = torch.cat([one.token_ids for one in found])
    rig.merge([one for one in step.results if isinstance(one, Rows)], ids, lambda text: torch.zeros(len(text), 8))
    step.settle()
    for one in found:
        rig.embed.finish(one.request_id)


@pytest.mark.requirement("ISO-007")
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_set_otherwise_is_left_so(subject: Subject, name: str, tmp_path: Path) -> None:
    get, _ = process_state.SETTINGS[name]
    with setting(name, OTHERS[name]):
        kept = get()
        served(subject)
        assert get() == kept, "after requests were served"
        if subject.implementation.tower is None:
            return
        for family in families_of(subject.implementation, tmp_path, HostPort()):
            assert get() == kept, "after towers were loaded"
            folders = folders_of(tmp_path / "weights" / family, family=family)
            tower = tower_of(subject.implementation, folders[0], HostPort())
            encode(tower, Picture(1, 2, 3, 1), HostPort())
            tower.update(folders[1], 1)
            assert get() == kept, f"after a tower of {family} was loaded, called and updated"


@pytest.mark.requirement("ISO-009")
@pytest.mark.parametrize("name", SETTINGS)
def test_results_do_not_follow_the_settings(subject: Subject, name: str, request: pytest.FixtureRequest) -> None:
    """Of its process, whether the parts are made under them, and used without, or the other way round."""

    def one(scenario: Scenario) -> None:
        usual = engine.run(scenario, subject.implementation)
        for made in (SETTINGS[name], nullcontext):
            used = nullcontext if made is SETTINGS[name] else SETTINGS[name]
            found = Trace(scenario, subject.implementation.retention)
            turns = engine.turns(found, subject.implementation)
            with watchdog(HANG_SECONDS):
                for around in itertools.cycle((made, used)):
                    with around():
                        if next(turns, turns) is turns:
                            break
            assert alike(usual, found), scenario.dumps()

    draw_each(one, DRAWN, request.config.option.plumbline_seed, scenarios(subject.implementation.capabilities))


@pytest.mark.requirement("ISO-009")
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_do_not_follow_the_settings(subject: Subject, family: str, name: str, tmp_path: Path) -> None:
    """Those that a tower is loaded under, as an engine does that builds its model under the model's dtype; those of its calls;
    and those of its updates."""
    loads(subject, family, tmp_path / "each")
    folders = folders_of(tmp_path / "weights", family=family)
    call = Call((Picture(1, 2, 3, 1), Picture(1, 4, 1, 2)))
    port, usual = HostPort(), tower_of(subject.implementation, folders[1], HostPort())
    wanted = [levels_of(encode(usual, call, port))]
    usual.update(folders[2], 1)
    wanted.append(levels_of(encode(usual, call, port)))
    for loading, calling in ((SETTINGS[name], nullcontext), (nullcontext, SETTINGS[name])):
        with loading():
            tower = tower_of(subject.implementation, folders[1], port)
        for epoch, levels in enumerate(wanted):
            if epoch:
                with loading():
                    tower.update(folders[2], epoch)
            for around in (calling, loading, calling):
                with around():
                    found = levels_of(encode(tower, call, port))
                same = all(same_bits(a, b) for a, b in zip(found, levels, strict=True))
                assert same, f"{'loaded' if calling is nullcontext else 'called'} under it, epoch {epoch}: other rows"
