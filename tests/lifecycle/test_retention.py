"""What an implementation keeps of a lazy payload, against what it declares: four that keep different things."""

from __future__ import annotations

import dataclasses

import pytest

import optimized
from optimized.embed import Admitted, Embedder, Key, Known, Plan
from plumbline.engine import run
from plumbline.explore import explore
from plumbline.interface import Implementation, Payload, Retention, Tensor
from plumbline.judge import judge
from plumbline.parts import image
from plumbline.scenario import Op, RequestRecipe, Scenario


class LetsGo(Embedder):
    """Lets go of a lazy payload once rows of it were settled that the request has still to be served. It keeps nothing."""

    def _keep(self, known: Known) -> None:
        super()._keep(known)
        for request in self._requests.values():
            for index in [index for index, one in request.held.items() if one is known]:
                self.let_go(request, index)

    def let_go(self, request: Admitted, index: int) -> None:
        item = request.items[index]
        features = self.features([item])
        if features:
            other = dataclasses.replace(item, payload=self.instead(item.payload))
            request.items = (*request.items[:index], other, *request.items[index + 1 :])
        for feature in features:
            feature.release()

    def instead(self, payload: Payload) -> Payload:
        return None


class KeepsHost(LetsGo):
    def instead(self, payload: Payload) -> Payload:
        parts = payload if isinstance(payload, tuple) else (payload,)
        device = self.empty.rows.device
        copies = tuple(
            part.clone() if isinstance(part, Tensor) else part.open(device).clone()
            for part in parts
            if part is not None
        )
        return copies if isinstance(payload, tuple) else copies[0]


class KeepsRows(LetsGo):
    def _hold(self, plan: Plan, found: dict[Key, Known], delivered: int) -> None:
        super()._hold(plan, found, -1)

    def retract(self, request_id: str) -> None:
        self._request(request_id).epoch = None


def keeping(embed: type[Embedder], declared: Retention) -> Implementation:
    return dataclasses.replace(optimized.implementation, name=embed.__name__, embed=embed, retention=declared)


HONEST = {
    Retention.LEASE: Embedder,
    Retention.HOST: KeepsHost,
    Retention.ROWS: KeepsRows,
    Retention.RESEND: LetsGo,
}

RETRACTED = Scenario(
    requests=(RequestRecipe(items=(image(1),)),), chunks=(3,), cache_rows=0, lazy=True, ops=(Op(1, "retract"),)
)
"""Served half of an image, and sent back."""


def broken(implementation: Implementation, scenario: Scenario) -> set[str]:
    return {v.requirement for v in judge(run(scenario, implementation), implementation.capabilities).violations}


@pytest.mark.parametrize("declared", Retention)
def test_what_is_kept_as_declared_conforms(declared: Retention) -> None:
    implementation = keeping(HONEST[declared], declared)
    assert not broken(implementation, RETRACTED)
    found = explore(implementation, 150, 3)
    assert not found.findings, {name: finding.message for name, finding in found.findings.items()}


OTHERS = frozenset(Retention) - {Retention.LEASE}
LESS = {
    "retract": {Retention.LEASE: OTHERS, Retention.HOST: {Retention.RESEND}, Retention.ROWS: {Retention.RESEND}},
    "epoch": {Retention.LEASE: OTHERS, Retention.HOST: {Retention.RESEND, Retention.ROWS}},
}
"""By what happens, and by what is declared: what keeps too little for it. Rows go with the weights."""


@pytest.mark.parametrize("kind", LESS)
@pytest.mark.parametrize("kept", Retention)
@pytest.mark.parametrize("declared", Retention)
def test_what_is_not_kept_as_declared_shows(kept: Retention, declared: Retention, kind: str) -> None:
    found = broken(keeping(HONEST[kept], declared), dataclasses.replace(RETRACTED, ops=(Op(1, kind, 1),)))
    assert ("LIFE-011" in found) == (kept in LESS[kind].get(declared, set()))
