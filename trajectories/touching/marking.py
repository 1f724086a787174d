"""The lines of a unified diff, each with what it is, for whoever shows or counts them.

Invariant: inside a hunk, as long as its header says it is, a line is what its sign says: `--- x` may be a line `-- x`
that was taken out. Whatever is no diff is passed through.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

Kind = Literal["file", "hunk", "add", "del", "note", "same"]
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_FILE = re.compile(
    r"\+\+\+ |--- |diff --git |index |(?:new|deleted) file mode |(?:old|new) mode |similarity |rename |copy "
)
_SIGNS: dict[str, Kind] = {"+": "add", "-": "del", "\\": "note"}


def marked(patch: str, start: int = 0, end: int | None = None) -> Iterator[tuple[Kind, str]]:
    """The lines between two places, without their line feeds; the first and the last may be parts of lines."""
    stop = min(len(patch.removesuffix("\n")), len(patch) if end is None else end)
    at = patch.rfind("\n@@ -", 0, start + 1) + 1  # no line inside a hunk begins like this
    old = new = 0
    while at < stop:
        line_end = patch.find("\n", at)
        line_end = len(patch) if line_end < 0 else line_end
        head = patch[at : min(line_end, at + 100)]
        kind, old, new = _kind(head, old, new)
        if at >= start or line_end > start:
            yield kind, patch[max(at, start) : min(line_end, stop)]
        at = line_end + 1


def _kind(line: str, old: int, new: int) -> tuple[Kind, int, int]:
    """What a line is, and how many lines of either side its hunk still has."""
    sign = line[:1]
    if (old > 0 or new > 0) and sign in ("", " ", "+", "-", "\\", "\r"):
        if sign == "\\":
            return "note", old, new
        return _SIGNS.get(sign, "same"), old - (sign != "+"), new - (sign != "-")
    if found := _HUNK.match(line):
        before, after = (1 if size is None else int(size[:9]) for size in found.groups())
        return "hunk", before, after
    if _FILE.match(line):
        return "file", 0, 0
    return ("hunk" if sign == "@" else _SIGNS.get(sign, "same")), 0, 0


def sizes(patch: str) -> tuple[int, int]:
    """How many lines it adds, and how many it takes out."""
    counted = Counter(kind for kind, _ in marked(patch))
    return counted["add"], counted["del"]
