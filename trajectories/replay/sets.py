"""Sets that are written in a text, as Python writes them: the order of their members is that of hashes.

Invariant: what may be a dictionary, or a piece of a program, stays as it is; the time is linear in the length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_DEEPEST = 20
"""Brackets within brackets; a line with more is left alone, so that no part of it is copied more often."""
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.?)*(?:'|\Z)|"(?:[^"\\]|\\.?)*(?:"|\Z)|[{}\[\]()]|,[ ]|:|[^'"{}\[\]():,]+|.""", re.DOTALL
)
_PAIRS = {"{": "}", "[": "]", "(": ")"}


@dataclass
class _Bracket:
    """An open bracket and what was read in it."""

    opening: str
    members: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """Of the member that is being read."""
    mapping: bool = False

    def whole(self) -> str:
        members = [*self.members, "".join(self.parts)]
        if self.opening == "{" and not self.mapping and all(m and m == m.strip() for m in members):
            members.sort()
        return f"{self.opening}{', '.join(members)}{_PAIRS[self.opening]}"


def with_sets_sorted(line: str) -> str:
    """The line with the members of each set in the order of their texts, inner sets first."""
    done, start = [], line.find("{")
    at = 0
    while start >= 0:
        found = _closed(line, start)
        if found is None:
            break
        done += [line[at:start], found[0]]
        at = found[1]
        start = line.find("{", at)
    return "".join(done) + line[at:]


def _closed(line: str, start: int) -> tuple[str, int] | None:
    """What stands in the bracket that opens at `start`, sorted, and where it ends; None where nobody can tell."""
    stack: list[_Bracket] = []
    for token in _TOKEN.finditer(line, start):
        text = token[0]
        if text in _PAIRS:
            stack.append(_Bracket(text))
            if len(stack) > _DEEPEST:
                return None
        elif text in _PAIRS.values():
            bracket = stack.pop()
            if text != _PAIRS[bracket.opening]:
                return None
            if not stack:
                return bracket.whole(), token.end()
            stack[-1].parts.append(bracket.whole())
        elif text == ", ":
            stack[-1].members.append("".join(stack[-1].parts))
            stack[-1].parts = []
        else:
            stack[-1].mapping |= text == ":"
            stack[-1].parts.append(text)
    return None
