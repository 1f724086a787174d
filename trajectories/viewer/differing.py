"""Where two texts that ought to be the same differ, as a diff.

Invariant: the first line that differs is in it, near the beginning, however long the texts are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from trajectories.viewer.texts import lines_of
from trajectories.viewer.words import count

_CONTEXT = 3
_MOST = 250_000
"""Lines of the one text times lines of the other, beyond which two are not compared line by line."""
_AROUND = 60
"""Characters before the first that differs, and twice as many after it."""


class Differing(NamedTuple):
    """What tells two texts apart."""

    place: str
    """Where the first difference is, in words."""
    recorded: str
    """What stands there."""
    replayed: str
    text: str
    """A unified diff without the files' names."""


def differing(recorded: str, replayed: str) -> Differing:
    """How two texts differ; they must."""
    old, new = (lines_of(text).split("\n") for text in (recorded, replayed))
    first = _alike(old, new)
    left, right = ("".join(lines[first : first + 1]) for lines in (old, new))
    at = _alike(left, right)
    was, now = (_from(line, at) if first < len(lines) else "" for line, lines in ((left, old), (right, new)))
    more = f", after {count(at, 'character')}" if at else ""
    text = "".join(f"{line}\n" for line in _diff(old, new, first))
    return Differing(f"line {first + 1:,}{more}", was, now, text)


def _from(line: str, at: int) -> str:
    start, end = max(0, at - _AROUND), at + 2 * _AROUND
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the first are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _diff(old: Sequence[str], new: Sequence[str], first: int) -> Iterator[str]:
    last = min(_alike(old[::-1], new[::-1]), len(old) - first, len(new) - first)
    start, end = max(0, first - _CONTEXT), max(0, last - _CONTEXT)
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    if len(old) * len(new) > _MOST:
        context = old[: first - start]
        yield _head(start, len(old), start, len(new))
        yield from (f" {line}" for line in context)
        yield from (f"-{line}" for line in old[len(context) :])
        yield from (f"+{line}" for line in new[len(context) :])
        return
    for group in SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT):
        (_, a, _, c, _), (_, _, b, _, d) = group[0], group[-1]
        yield _head(start + a, b - a, start + c, d - c)
        for tag, a, b, c, d in group:
            if tag == "equal":
                yield from (f" {line}" for line in old[a:b])
            else:
                yield from (f"-{line}" for line in old[a:b])
                yield from (f"+{line}" for line in new[c:d])


def _head(old: int, old_size: int, new: int, new_size: int) -> str:
    return f"@@ -{old + 1},{old_size} +{new + 1},{new_size} @@"
