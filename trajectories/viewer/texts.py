"""Text of a policy or a repository, made fit to stand on a page: nothing in it is hidden, and nothing moves the rest.

Invariant: what `visible` returns holds no control character but line feeds and tabs, no bidirectional override and no
half of a character pair; each stands there as a sign that can be seen. Of a long text the middle is left out, and how
much it was is known.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
"""What stands above or below the sign before it."""
_SCRIPT = "[\u0600-\u1fff\u203c-\u2bff\u3030-\u32ff\ufe0e\ufe0f\U0001f000-\U0001faff]"
"""Signs of scripts that joiners stand in, and symbols."""
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
    f"|(?<!{_SCRIPT})[\u200c\u200d\ufe0e\ufe0f]|[\u200c\u200d](?!{_SCRIPT})|(?<=[\ufe0e\ufe0f])[\ufe0e\ufe0f]|(?<={_MARK}{{8}}){_MARK}"
)
_CARRIAGE = re.compile(r"\r\n?")


class Piece(NamedTuple):
    """What of a long text is shown: `text[:head]` and `text[tail:]`."""

    head: int
    tail: int
    lines: int
    """Lines between them."""


def visible(text: str) -> str:
    """The text with every character that cannot be seen, or moves others, replaced by a sign for it.

    Joiners and the choice between text and picture stay between signs that are written with them, spaces of all widths
    stay spaces, and of the marks upon one letter eight stay.
    """
    return _ODD.sub(_sign, text) if _ODD.search(text) else text


def lines_of(text: str) -> str:
    """The text with every kind of line end as a line feed: a lone carriage return hides nothing."""
    return _CARRIAGE.sub("\n", text) if "\r" in text else text


def piece(text: str, *, lines: int, characters: int) -> Piece | None:
    """Where to cut a text that is longer than so many lines or characters; None where it is not.

    Three quarters are shown of its beginning, a quarter of its end; whole lines, where they are not far too long.
    """
    if len(text) <= characters and text.count("\n") < lines:
        return None
    head = _lines_end(text, lines * 3 // 4, characters * 3 // 4)
    tail = max(head, _last_lines(text, lines - lines * 3 // 4, characters // 4))
    return Piece(head, tail, text.count("\n", head, tail))


def _lines_end(text: str, lines: int, characters: int) -> int:
    at = 0
    for _ in range(lines):
        end = text.find("\n", at, characters)
        if end < 0:
            return at or min(characters, len(text))
        at = end + 1
    return at


def _last_lines(text: str, lines: int, characters: int) -> int:
    first = max(0, len(text) - characters)
    at = len(text)
    for _ in range(lines):
        start = text.rfind("\n", first, max(at - 1, 0))
        if start < 0:
            return at if at < len(text) else first
        at = start + 1
    return at


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000 or code in (0xFFFE, 0xFFFF):
        return "\ufffd"
    return f"\u27e8U+{code:04X}\u27e9"
