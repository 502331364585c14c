"""The harness must fail what is wrong: null implementations, empty claims, dishonest claims; and seeds must matter."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from plumbline import deviations
from plumbline.conformance import main
from plumbline.diagnose import circumstances
from plumbline.explore import check, explore
from plumbline.interface import (
    CapabilityMissing,
    Encoded,
    Failure,
    Identity,
    Implementation,
    Item,
    Packed,
    Prepared,
    Request,
    Rows,
)
from plumbline.pytest_plugin import pytest_runtest_call
from plumbline.replay import broken_by, replay, save
from plumbline.requirements import ROOT, requirements
from plumbline.resolve import SpecError, load, resolve
from plumbline.scenario import ItemRecipe, RequestRecipe, Scenario, TowerRecipe, compact, loads
from plumbline.strategies import DRAWN, scenarios

REFERENCE: Implementation = resolve("reference").implementation


def raising(*_: object) -> Any:
    def part(*_: object) -> Any:
        raise RuntimeError("not written yet")

    return part


class Nothing:
    """An Embed and an Encoder that do nothing at all."""

    results: Sequence[Any] = ()

    def admit(self, *_: object) -> None: ...

    retract = finish = set_epoch = admit

    def step(self, chunks: object) -> Nothing:
        return self

    def settle(self) -> list[Failure]:
        return []

    def encode(self, items: Sequence[Item]) -> list[Any]:
        return []


class Zeros:
    def __init__(self, runtime: Any, tower: Any) -> None:
        self.spec = runtime.spec

    def encode(self, items: Sequence[Item]) -> list[Any]:
        found = []
        for item in items:
            rows = torch.zeros(sum(hi - lo for lo, hi in item.spans), self.spec.hidden_size, dtype=self.spec.dtype)
            found.append(Encoded(rows, (rows,) * self.spec.side_levels))
        return found


def missing(runtime: object, identify: object) -> Any:
    return lambda requests: [
        Failure(r.request_id, CapabilityMissing("nothing is claimed", where="here")) for r in requests
    ]


NULL = {
    "raises in identify": {"identify": raising},
    "raises in prepare": {"prepare": raising},
    "raises in encode": {"encoder": lambda runtime, tower: type("E", (), {"encode": raising()})()},
    "raises when it is built": {"embed": raising()},
    "no results from prepare": {"prepare": lambda runtime, identify: lambda requests: []},
    "no results from step": {"embed": lambda runtime, encoder, cache: Nothing()},
    "no results from encode": {"encoder": lambda runtime, tower: Nothing()},
    "one identity for all": {"identify": lambda runtime: lambda items: [Identity(b"\1" * 32) for _ in items]},
    "zeros": {"encoder": Zeros},
    "zeros merged": {"merge": lambda runtime: lambda rows, ids, embed, out=None: None},
    "claims nothing, does nothing": {"prepare": missing, "capabilities": frozenset()},
}


@pytest.mark.parametrize("name", NULL)
def test_null_implementations_fail(name: str) -> None:
    found = explore(dataclasses.replace(REFERENCE, **NULL[name]), 60, 1, shrink=False, seconds=20)  # type: ignore[arg-type]
    assert found.findings
    assert set(found.findings) <= set(requirements())


def test_an_implementation_that_claims_nothing_is_held_to_the_core_and_can_pass_it() -> None:
    found = explore(dataclasses.replace(REFERENCE, capabilities=frozenset()), 150, 2)
    assert not found.findings
    assert found.judged["ITEM-001"] > 20
    assert not found.reach["video"]
    assert not found.reach["extras"]


def test_what_is_not_claimed_may_be_refused_but_not_be_wrong() -> None:
    """The extras are unclaimed: refusing them is fine, dropping them from the tower's call is not."""

    def refuse(runtime: Any, identify: Any) -> Any:
        inner = REFERENCE.prepare(runtime, identify)  # type: ignore[misc]

        def prepare(requests: Sequence[Request]) -> list[Prepared | Failure]:
            return [
                Failure(r.request_id, CapabilityMissing("extras", where=r.request_id))
                if any(isinstance(i.extras, dict) and i.extras for i in r.items if isinstance(i, Item))
                else result
                for r, result in zip(requests, inner(requests), strict=True)
            ]

        return prepare

    class Dropping:
        def __init__(self, runtime: Any, tower: Any) -> None:
            def bare(packed: Packed) -> Encoded:
                return tower(
                    dataclasses.replace(packed, items=tuple(dataclasses.replace(i, extras={}) for i in packed.items))
                )

            bare.spec = tower.spec  # type: ignore[attr-defined]
            self.encode = REFERENCE.encoder(runtime, bare).encode  # type: ignore[misc, arg-type]

    claims = REFERENCE.capabilities - {"extras"}
    refusing = dataclasses.replace(REFERENCE, capabilities=claims, prepare=refuse)
    found = explore(refusing, 150, 3, draw=DRAWN)
    assert not found.findings, {f.requirement: (f.message, compact(f.scenario)) for f in found.findings.values()}
    assert found.capability_missing
    dropping = dataclasses.replace(REFERENCE, capabilities=claims, encoder=Dropping)
    assert explore(dropping, 150, 3, draw=DRAWN, shrink=False).findings


def test_another_seed_draws_other_cases_and_the_same_seed_the_same() -> None:
    def drawn(seed: int) -> list[str]:
        from hypothesis import given, settings
        from hypothesis import seed as hypothesis_seed

        seen: list[str] = []
        test = settings(max_examples=30, database=None, deadline=None, phases=[Phase.generate])(
            hypothesis_seed(seed)(given(scenarios(DRAWN))(lambda s: seen.append(s.dumps())))
        )
        test()
        return seen

    from hypothesis import Phase

    assert drawn(1) == drawn(1)
    assert len(set(drawn(1)) & set(drawn(2))) < 5


def test_a_hang_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(runtime: Any, identify: Any) -> Any:
        def prepare(requests: object) -> Any:
            while True:
                pass

        return prepare

    monkeypatch.setattr("plumbline.explore.HANG_SECONDS", 0.3)
    scenario = Scenario(requests=(RequestRecipe(items=(ItemRecipe(),)),))
    _, verdicts = check(scenario, dataclasses.replace(REFERENCE, prepare=stuck))
    assert any(v.requirement == "CHUNK-004" and "did not return" in v.message for v in verdicts.violations)


SCENARIO = Scenario(
    tower=TowerRecipe(merge=2, patch_shape=(2, 2)),
    requests=(RequestRecipe("a", (ItemRecipe(grid=(1, 2, 2), parts=(4,)),), copies=2), RequestRecipe("b", gaps=(3, 0))),
    chunks=(2, 3),
)


def test_a_scenario_survives_json_and_unknown_fields_are_refused() -> None:
    assert loads(SCENARIO.dumps()) == SCENARIO
    data = json.loads(SCENARIO.dumps())
    with pytest.raises(ValueError, match="sizes"):
        loads(json.dumps({**data, "sizes": 3}))


def test_circumstances_name_what_a_scenario_has() -> None:
    assert "CHUNK-001" in circumstances(SCENARIO)
    assert "ITEM-005" not in circumstances(SCENARIO)


# -- spec strings, replay, deviations, and the command line


@pytest.mark.parametrize(
    ("spec", "message"),
    [("nowhere.py:x", "no file"), ("no_such_module:x", "no_such_module"), ("reference:nothing", "has no 'nothing'")],
)
def test_a_bad_spec_says_what_is_wrong(spec: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(spec)


def test_a_bad_replacement_says_what_is_expected() -> None:
    for replacement in ("hash=optimized", "identify", "identify=reference:PARTS_THAT_ARE_NOT"):
        with pytest.raises(SpecError):
            resolve("optimized", [replacement])
    with pytest.raises(SpecError, match="not a plumbline"):
        resolve("reference:Capability")


def test_parts_left_out_are_the_reference_s_and_said_so(tmp_path: Path) -> None:
    file = tmp_path / "acme.py"
    file.write_text("from plumbline.interface import Implementation\nimplementation = Implementation('acme', '1')\n")
    subject = resolve(f"{file}:implementation", ["identify=optimized"])
    assert subject.filled == ("collect", "prepare", "encoder", "embed", "merge")
    assert subject.implementation.cache is None
    assert "identify of optimized" in subject.implementation.name


README = (ROOT / "README.md").read_text()
ACME = re.search(r"```python\n# acme.py\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    assert ACME
    (tmp_path / "acme.py").write_text(ACME[1])
    return tmp_path / "acme.py"


def test_the_readme_s_example_is_short_and_does_what_the_readme_says(acme: Path) -> None:
    assert len(acme.read_text().splitlines()) <= 20
    found = explore(resolve(f"{acme}:implementation").implementation, 400, 5, seconds=60)
    assert "IDENT-004" in found.findings
    assert not {i for i in found.findings if not i.startswith(("IDENT", "PREFIX"))}


@pytest.mark.parametrize("line", re.findall(r"^    nox -s conformance -- (.*?)(?:  +#.*)?$", README, re.MULTILINE)[1:])
def test_the_readme_s_commands_are_understood(line: str) -> None:
    from plumbline.conformance import arguments

    arguments(line.split())


def broken_scenario() -> Scenario:
    """Two images of equal bytes and another shape: what the README's hash takes for one."""
    flat, tall = (ItemRecipe(grid=(1, h, w), parts=(4,)) for h, w in ((1, 4), (4, 1)))
    return Scenario(requests=(RequestRecipe(items=(flat, tall)),))


def test_a_saved_case_replays(acme: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "case.json", broken_scenario(), "IDENT-004", "one digest")
    implementation = resolve(f"{acme}:implementation").implementation
    console = Console(width=200)
    assert replay(tmp_path / "case.json", implementation, console) == 1
    assert "IDENT-004" in capsys.readouterr().out
    assert replay(tmp_path / "case.json", REFERENCE, console) == 0
    assert main(["--impl", f"{acme}:implementation", "--replay", str(tmp_path / "case.json")]) == 1


def entry(witness: str, requirement: str = "IDENT-004") -> str:
    fields = {"requirement": requirement, "reason": "no shape", "link": "https://example.org/1", "witness": witness}
    return "[[deviation]]\n" + "\n".join(f'{k} = "{v}"' for k, v in fields.items())


def test_deviations_are_strict_on_their_witness(acme: Path, tmp_path: Path) -> None:
    save(tmp_path / "case.json", broken_scenario(), "IDENT-004", "one digest")
    file = tmp_path / "known.toml"
    file.write_text(entry("case.json"))
    known = deviations.read(file)
    deviations.check(known, resolve(f"{acme}:implementation").implementation, [])
    with pytest.raises(deviations.DeviationError, match="delete the entry"):
        deviations.check(known, REFERENCE, [])
    file.write_text(entry("tests/cache/test_cache.py::test_x"))
    deviations.check(deviations.read(file), REFERENCE, ["tests/cache/test_cache.py::test_x[reference]"])
    with pytest.raises(deviations.DeviationError):
        deviations.check(deviations.read(file), REFERENCE, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (entry("case.json", "IDENT-999"), "IDENT-999"),
        (entry("absent.json"), "not a saved case"),
        ("[[deviation]]\nrequirement = 'IDENT-004'", "needs exactly"),
        ("[other]\n", "unknown tables"),
        ("not toml", "known.toml"),
    ],
)
def test_a_bad_file_of_deviations_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "known.toml"
    file.write_text(text)
    with pytest.raises(deviations.DeviationError, match=message):
        deviations.read(file)


def test_a_wrong_row_names_its_owner() -> None:
    """The reverse index: a swap of two requests' rows is said as such."""

    class Swapped:
        def __init__(self, runtime: Any, encoder: Any, cache: Any) -> None:
            self.inner = REFERENCE.embed(runtime, encoder, cache)  # type: ignore[misc]
            self.admit, self.retract, self.finish = self.inner.admit, self.inner.retract, self.inner.finish

        def step(self, chunks: Any) -> Any:
            step = self.inner.step(chunks)
            a, b = step.results
            assert isinstance(a, Rows)
            assert isinstance(b, Rows)
            step.results = [dataclasses.replace(a, rows=b.rows), dataclasses.replace(b, rows=a.rows)]
            return step

    items = [
        ItemRecipe(grid=(1, 1, 3), parts=(3,), content=dataclasses.replace(ItemRecipe().content, seed=k))
        for k in range(2)
    ]
    scenario = Scenario(requests=tuple(RequestRecipe(f"r{k}", (i,)) for k, i in enumerate(items)))
    broken = broken_by(scenario, dataclasses.replace(REFERENCE, embed=Swapped))
    assert any("row 0 of item 0 of request r1" in message for message in broken.values())


def test_a_run_with_nothing_to_say_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--impl", "no_such_module:x", "--quick", "--report", str(tmp_path)]) == 2


def run_quick(spec: str, tmp_path: Path) -> int:
    """The command as an engine's CI calls it, in a process of its own."""
    command = [sys.executable, "-m", "plumbline.conformance", "--impl", spec, "--quick", "--cases", "25"]
    child = subprocess.run([*command, "--report", str(tmp_path / "report")], cwd=ROOT, capture_output=True, timeout=300)
    return child.returncode


def test_an_implementation_of_the_core_alone_conforms(tmp_path: Path) -> None:
    file = tmp_path / "core.py"
    file.write_text(
        "import dataclasses, reference\n"
        "implementation = dataclasses.replace(reference.implementation, name='core', capabilities=frozenset())\n"
    )
    assert run_quick(str(file), tmp_path) == 0


def test_an_implementation_that_takes_its_process_down_does_not_conform(tmp_path: Path) -> None:
    file = tmp_path / "aborts.py"
    file.write_text(
        "import os\nfrom plumbline.interface import Implementation\n"
        "implementation = Implementation('aborts', '1', identify=lambda runtime: lambda items: os.abort())\n"
    )
    assert run_quick(str(file), tmp_path) != 0


@pytest.mark.parametrize(
    "text", ["x = (", "import sys; sys.exit(0)", "raise RuntimeError('no')", "import not_installed"]
)
def test_a_file_that_cannot_be_imported_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    assert main(["--impl", f"{tmp_path}/broken.py", "--quick", "--report", str(tmp_path)]) == 2


@pytest.mark.parametrize(("marks", "rings"), [((), True), (("own_watchdog",), False)])
def test_what_waits_for_processes_is_not_timed_as_a_whole(marks: tuple[str, ...], rings: bool) -> None:
    """On a machine that others use too it may take long, and each process has a watchdog of its own."""
    item: Any = SimpleNamespace(
        user_properties=[("subject", "optimized")], nodeid="a test", get_closest_marker=marks.count
    )
    call = pytest_runtest_call(item)
    next(call)
    running = signal.getitimer(signal.ITIMER_REAL)[0] > 0
    call.close()
    assert running == rings
