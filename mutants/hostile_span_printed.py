"""element-hq/synapse #19315 (python/cpython #95778): the text of a message is what fails. An integer of more than 4,300 digits
cannot be printed since CVE-2020-10735, so the line that reports it raises ValueError.

Carried over: an error about spans says which spans the item has, since its number alone helps nobody. The hole: the spans
are the caller's, and Python's integers have no bound: printing them raises ValueError in the place of BadSpans. That is
no typed error, so it is the result of no request but escapes from prepare, and all other requests of the call are lost.

Shows when a request has a bad span with an end of more than 4,300 digits; with shorter ones the message is better."""

from __future__ import annotations

import dataclasses

import optimized
from optimized.prepare import Preparer
from plumbline.interface import BadSpans, Item, Layout

BUG = ""
PARENT = "optimized"
ACCEPT = ("ISO-003", "ISO-004")


class NamingPreparer(Preparer):
    def layout(self, item: Item, where: str, length: int) -> Layout:
        try:
            return super().layout(item, where, length)
        except BadSpans as error:
            raise BadSpans(f"{error.what}, in {item.spans}", where=where, hint=error.hint) from None


implementation = dataclasses.replace(
    optimized.implementation, name="mutant hostile_span_printed", prepare=NamingPreparer
)
