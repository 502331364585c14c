"""Markdown for a comment on a code host, that text from outside cannot break out of.

There, Markdown is parsed first, and then names, numbers of issues and addresses become links in what is shown, however they
were escaped; but not inside ``<code>`` and ``<pre>``. So text from outside stands in code, and nowhere else.
"""

from __future__ import annotations

import re
import unicodedata

_SIGN = re.compile(r"[^\w ,;()'/+-]", re.ASCII)
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories: control, format (such as writing from right to left), half of a pair, ends of lines."""


def size(text: str) -> int:
    """In UTF-16 units: hosts count no finer."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def clipped(text: str, limit: int) -> str:
    """At most ``limit`` characters, and a mark that there were more."""
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def code(text: str, limit: int = 200) -> str:
    """Any text as code in a line or a cell of a table: one line, each sign of Markdown or HTML an entity."""
    line = visible(" ".join(text[: 2 * limit].split()))
    return f"<code>{escaped(clipped(line, limit))}</code>"


def escaped(text: str) -> str:
    """Without markup. Only for words of the specification: names and numbers in it may still become links."""
    return _SIGN.sub(lambda found: f"&#{ord(found[0])};" if found[0].isascii() else found[0], text)


def block(text: str) -> str:
    """Any text as a block of code, with a button to copy it. The fence is longer than any inside, so nothing ends it."""
    shown = visible(text, keep="\n")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"


def folded(summary: str, inside: str) -> str:
    """A part that opens on a click. summary, inside: Markdown, a summary of one line."""
    return f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>"


def visible(text: str, keep: str = "") -> str:
    """What cannot be seen is spelled out, but for the characters of ``keep``."""
    return "".join(c if c in keep or unicodedata.category(c) not in _INVISIBLE else ascii(c)[1:-1] for c in text)
