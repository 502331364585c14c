"""HTML and SVG that is escaped by construction: text becomes markup only through ``tag``."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = {"meta", "link", "input"}


class Html(str):
    """Text that is markup already. Any other string is escaped when it is put into a tag."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: object) -> Html:
    """An element. In attribute names a trailing underscore is dropped (``class_``), others become hyphens.

    An attribute that is None or False is left out; one that is True has no value.
    """
    written = ""
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            written += f" {key}"
        elif value is not None and value is not False:
            written += f' {key}="{html.escape(str(value))}"'
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{join(content)}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Html:
    """Parts one after the other, each escaped unless it is markup."""
    return Html(html.escape(between).join(part if isinstance(part, Html) else html.escape(part) for part in parts))
