"""Which failures of a report came first, and which came after others in the same run, so that they may only follow.

Reads reports, as plain data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

Part = dict[str, Any]

_PROVISIONAL = ("rows", "refused")
"""Verdicts of what happened, by which a requirement that is named for its circumstance was found."""


def before(name: str, failure: Part) -> list[str]:
    """The requirements that broke at an earlier moment of the run of its case."""
    broken: dict[str, int] = failure["story"]["broken"] if failure["story"] else {}
    own = min(
        (at for kind, at in broken.items() if kind in (name, *([] if name in broken else _PROVISIONAL))), default=0
    )
    return [kind for kind, at in broken.items() if at < own and kind not in _PROVISIONAL]


def follows(outcome: Part) -> list[str]:
    """The requirements that broke earlier in each of its cases; empty if there is a case in which none did."""
    found = [before(outcome["id"], failure) for failure in outcome["failures"] if failure["story"]]
    return [name for name in found[0] if all(name in others for others in found)] if found else []


def in_order(outcomes: Sequence[Part]) -> list[Part]:
    """The failed ones: what broke first, then what followed, then what only direct tests saw."""
    failed = [outcome for outcome in outcomes if outcome["status"] == "failed"]
    return sorted(failed, key=_key)


def _key(outcome: Part) -> tuple[int, bool]:
    told = [failure for failure in outcome["failures"] if failure["story"]]
    kind = 2 if not told else 1 if follows(outcome) else 0
    return kind, not any(_evident(outcome["id"], failure) for failure in told)


def _evident(name: str, failure: Part) -> bool:
    """Whether the wrong row itself speaks for this requirement, and not only what makes it go away."""
    wrong = failure["story"]["wrong"]
    if wrong is None or name in failure["story"]["broken"]:
        return wrong is None
    found, wanted = wrong["found"], wrong["wanted"]
    other_epoch = found is not None and found["epoch"] != wanted["epoch"]
    return other_epoch == name.startswith(("EPOCH", "CACHE-002"))


def case_key(failure: Part) -> str | None:
    """Equal for failures that one case shows."""
    return json.dumps([failure["kind"], failure["scenario"]], sort_keys=True) if failure["scenario"] else None


def first_shown(outcomes: Sequence[Part]) -> dict[str, str]:
    """For each case, the requirement under which it is shown: the first one whose smallest it is, if there is one.

    outcomes: in the order in which they are shown."""
    found: dict[str, str] = {}
    smallest = [(outcome["id"], failure) for outcome in outcomes for failure in outcome["failures"][:1]]
    others = [(outcome["id"], failure) for outcome in outcomes for failure in outcome["failures"][1:]]
    for name, failure in (*smallest, *others):
        key = case_key(failure)
        if key is not None:
            found.setdefault(key, name)
    return found


def where_to_begin(outcomes: Sequence[Part]) -> list[str]:
    """Sentences on several failures, if there is something to say. outcomes: as ``in_order`` gives them."""
    if len(outcomes) < 2:
        return []
    shown, late = first_shown(outcomes), [outcome["id"] for outcome in outcomes if follows(outcome)]
    first = outcomes[0]["id"]
    same = [o for o in outcomes[1:] if o["id"] not in late and shown.get(case_key(o["failures"][0]) or "") == first]
    said = [f"Begin with {first}."] if same or late else []
    if same:
        names = ", ".join(o["id"] for o in same)
        without = any(failure["without"] for o in same for failure in o["failures"])
        each = ": one failure, and each names something without which it goes away" if without else ""
        said.append(f"The same case shows {names}{each}.")
    if late:
        said.append(f"In the runs that show {', '.join(late)} something else broke before, so they may only follow.")
    return said


def in_words(nodeid: str) -> str:
    """What a test says by its name."""
    return nodeid.split("::")[-1].split("[")[0].removeprefix("test_").replace("_", " ")
