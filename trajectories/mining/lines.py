"""Lines of code, and whether a text shows them however it is indented, numbered or escaped.

Invariant: two lines are the same exactly when `squeeze` makes them equal. A text is squeezed only where it holds the
line's longest word: most texts do not, and contexts are long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from trajectories.records import MASK

MIN_LINE = 8
"""Shortest line that counts as the patch's own, in characters without white space: `else:` says nothing."""

_GUTTER = re.compile(r"^(?:[\w./\-]+\.\w+[:\-])?(?:E|[\d:|>+.\-]*)")
"""What views, greps, diffs and pytest write before a line of code, white space removed."""
_TOKEN = re.compile(r"\w+|[^\w\s]")
_AS_WRITTEN = {"'": r"""\\*["']""", '"': r"""\\*["']""", "\\": r"\\*\\"}
"""How tokens may be written that `squeeze` takes for the same."""
_WORD = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Line:
    """One line of code."""

    text: str
    """Without the white space around it."""
    squeezed: str
    word: str
    """Its longest word: a text without it does not hold the line. Empty where the line has none."""

    @classmethod
    def of(cls, text: str) -> Line:
        """The line with what is looked for."""
        return cls(text.strip(), squeeze(text), max(_WORD.findall(text), key=len, default=""))

    def within(self, text: str) -> bool:
        """Whether it stands somewhere in a text, also as part of a longer line."""
        return self.word in text and self.squeezed in squeeze(text)

    def shown_in(self, text: str) -> bool:
        """Whether it is a whole line of a text, with or without a gutter."""
        if self.word not in text:
            return False
        rows = (squeeze(row) for row in text.split("\n") if self.word in row)
        return any(self.squeezed in (row, _GUTTER.sub("", row)) for row in rows)


@lru_cache(maxsize=64)
def squeeze(text: str) -> str:
    """The text without white space and backslashes, with one kind of quotes.

    So neither indentation nor JSON escapes nor a habit of quoting hides a line.
    """
    return "".join(text.replace("\\", "").replace('"', "'").split())


def telling(lines: Iterable[str]) -> list[Line]:
    """The distinct lines that are somebody's own, and not such as stand everywhere."""
    found = {line.squeezed: line for line in map(Line.of, lines)}
    return [line for code, line in found.items() if len(code) >= MIN_LINE and code not in MASK]


def scrub(text: str, hidden: Iterable[Line]) -> str:
    """The text with `MASK` for each of the lines."""
    for line in hidden:
        if line.word in text and line.text in text:
            text = text.replace(line.text, MASK)
        if line.within(text):
            text, _ = mask_code(text, line.text)
    return text


def mask_code(text: str, code: str) -> tuple[str, int]:
    """Mask the code wherever it stands, however it is spaced or escaped; the text and how often."""
    return _spaced(code).subn(lambda _: MASK, text) if code.strip() else (text, 0)


@lru_cache(maxsize=512)
def _spaced(code: str) -> re.Pattern[str]:
    """The code with any white space between its tokens and either kind of quotes, also inside a JSON string."""
    tokens = [_AS_WRITTEN.get(token) or re.escape(token) for token in _TOKEN.findall(code)]
    plain = r"(?:\s|\\[nrt])*".join(tokens)
    escaped = re.escape(json.dumps(code)[1:-1])
    return re.compile(rf"{plain}|{escaped}")
