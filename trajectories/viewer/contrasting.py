"""The two contexts of a pair side by side: what both share is folded, what only one has stands out.

Invariant: every turn of both contexts is there, in order, and of its texts both ends, bounded; what is left out between
them is said. A line is one's own if the other context has it nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, groupby, zip_longest
from typing import NamedTuple

from trajectories.records import ContextPair, ContextTurn, MaskedContext
from trajectories.viewer.ansi import plain
from trajectories.viewer.texts import lines_of

FOLDED = 6
"""Shared lines in a row, from which on they are folded."""
_MOST_LINES, _MOST_CHARACTERS, _LONGEST = 2_000, 60_000, 2_000
"""Of one text: lines and characters beyond which its middle is left out, and characters of a line."""


class Lines(NamedTuple):
    """Neighbouring lines of a text: one's own, or shared."""

    own: bool
    text: str
    many: int

    @property
    def folded(self) -> bool:
        """Whether they are folded at first."""
        return not self.own and self.many > FOLDED


class Side(NamedTuple):
    """A turn of one context."""

    number: int
    tool: str
    edits: bool
    evidence: str
    text: list[Lines]
    observation: list[Lines]

    @property
    def decisive(self) -> bool:
        """Whether it may decide the pair and shows what the other context does not."""
        return bool(self.evidence) and any(lines.own for lines in self.observation)


class Both(NamedTuple):
    """Turns that stand beside each other; None where only the other has one."""

    anchor: Side | None
    confounder: Side | None
    same: bool


class Contrast(NamedTuple):
    """A pair as it is shown."""

    statements: tuple[list[Lines], list[Lines]]
    parts: list[tuple[bool, list[Both]]]
    """Turns in order, in groups: those that both contexts have word for word (True), and the others."""


def contrast(pair: ContextPair) -> Contrast:
    """Both contexts, aligned by turns."""
    a, c = pair.anchor, pair.confounder
    all_a, all_c = _all_lines(a), _all_lines(c)
    rows: list[Both] = []
    own, other = ([(t.text, t.observation) for t in context.turns] for context in (a, c))
    for tag, i, j, k, m in SequenceMatcher(None, own, other, autojunk=False).get_opcodes():
        left = [_side(n, turn, all_c) for n, turn in enumerate(a.turns[i:j], i + 1)]
        right = [_side(n, turn, all_a) for n, turn in enumerate(c.turns[k:m], k + 1)]
        rows += [Both(x, y, tag == "equal") for x, y in zip_longest(left, right)]
    parts = [(same, list(group)) for same, group in groupby(rows, key=lambda row: row.same)]
    return Contrast((_marked(a.problem_statement, all_c), _marked(c.problem_statement, all_a)), parts)


def _side(number: int, turn: ContextTurn, others: frozenset[str]) -> Side:
    text, seen = _marked(turn.text, others), _marked(turn.observation, others)
    return Side(number, turn.tool, turn.edits, turn.evidence, text, seen)


def _all_lines(context: MaskedContext) -> frozenset[str]:
    texts = [context.problem_statement, *(part for turn in context.turns for part in (turn.text, turn.observation))]
    return frozenset(line for text in texts for line in _lines(text))


def _lines(text: str) -> Sequence[str]:
    return lines_of(plain(text)).removesuffix("\n").split("\n") if text else []


def _marked(text: str, others: frozenset[str]) -> list[Lines]:
    lines = _lines(text)
    head = _within(lines)
    tail = _within(lines[:head:-1]) if head < len(lines) else 0
    if left_out := len(lines) - head - tail:
        lines = [*lines[:head], f"... {left_out:,} lines are left out here ...", *lines[len(lines) - tail :]]
    return list(_grouped(lines, others))


def _within(lines: Sequence[str]) -> int:
    """How many of the first lines fit into half of what is shown of a text."""
    sizes = accumulate(min(len(line), _LONGEST) + 1 for line in lines[: _MOST_LINES // 2])
    return sum(size <= _MOST_CHARACTERS // 2 for size in sizes)


def _grouped(lines: Sequence[str], others: frozenset[str]) -> Iterator[Lines]:
    for own, some in groupby(lines, key=lambda line: bool(line.strip()) and line not in others):
        found = list(some)
        yield Lines(own, "\n".join(map(_cut, found)), len(found))


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}... {len(line) - _LONGEST:,} characters ..."
