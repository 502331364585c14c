"""Small parts that several sections of the page have."""

from __future__ import annotations

from plumbline.markup import Html, join, tag


def chips(names: list[str], kind: str = "") -> Html:
    return (
        join((tag("span", name, class_=f"chip {kind}".strip()) for name in names), " ") if names else tag("i", "none")
    )


def command(text: str) -> Html:
    """One line that a click selects as a whole."""
    return tag("pre", tag("code", text), class_="command")
