"""hyperframes #1900 (merged; found in review): equal work in flight is done once, for a leader, and when it fails the
followers' errors name the leader's input as if it were theirs.

Carried over: errors of items say which request and item they are about. Equal items of a step are encoded once, so
the error names the first request that wanted the item, and every request that shares it gets the same one.

Shows when two requests of one step want equal content that fails (payload gone for both, a tower that raises): the
Failure of the second names the first one's id and index. That is a stranger's id, maybe another tenant's, and the
place of the fault is wrong: the index may be one that the request does not have. A request alone, and one whose item
is its own, is right.
"""

from __future__ import annotations

import dataclasses

import optimized
from optimized.embed import Embedder, Key, Known, Wanted
from plumbline.interface import PlumblineError

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-003",)


def named(error: PlumblineError, where: str) -> PlumblineError:
    """The same error, with a place."""
    made = type(error)(error.what, where=f"{where}, {error.where}" if error.where else where, hint=error.hint)
    made.__cause__ = error.__cause__
    for note in getattr(error, "__notes__", ()):
        made.add_note(note)
    return made


class NamingEmbedder(Embedder):
    def _encode(self, missing: dict[Key, list[Wanted]]) -> tuple[dict[Key, Known], dict[Key, PlumblineError]]:
        fresh, errors = super()._encode(missing)
        if not errors:
            return fresh, errors
        ids = {id(request): request_id for request_id, request in self._requests.items()}
        places = {key: missing[key][0] for key in errors}
        return fresh, {
            key: named(error, f"request {ids[id(places[key][0])]}, item {places[key][1]}")
            for key, error in errors.items()
        }


implementation = dataclasses.replace(
    optimized.implementation, name="mutant first_requester_named", embed=NamingEmbedder
)
