"""Letters for the items of a scenario, so that pictures and words can speak of them: equal items have one name."""

from __future__ import annotations

from plumbline import closed_form
from plumbline.closed_form import Truth
from plumbline.scenario import Scenario


def names_of(scenario: Scenario) -> dict[Truth, tuple[int, int]]:
    """For each distinct item: the family of its near-duplicates, and which of the family it is."""
    families: dict[int, list[Truth]] = {}
    for request in scenario.requests:
        for item in request.items:
            known = families.setdefault(item.content.seed, [])
            truth = closed_form.truth(scenario.tower, item)
            if all(truth not in family for family in families.values()):
                known.append(truth)
    used = [family for family in families.values() if family]
    return {truth: (f, v) for f, family in enumerate(used) for v, truth in enumerate(family)}


def name_of(family: int, variant: int) -> str:
    letter = chr(ord("A") + family) if family < 26 else f"I{family}"
    return letter + (str(variant + 1) if variant else "")
