"""What a context pair asks about.

Invariant: the two texts of a pair tell their tasks apart wherever the known right answers can. They are the changed
definitions; where those are the same for both tasks, as with two bugs in one function of a package, they are the lines
that the repairs add, shown with those that they replace. Either context shows one of the two: the anchor the broken
line, the confounder the repaired one; so the words that an answer and a context share do not tell which is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trajectories.mining.lines import squeeze
from trajectories.mining.patches import added, removed
from trajectories.protocol import RightAnswer


class Asked(NamedTuple):
    """What a pair asks about, and what it is judged by."""

    answer: str
    confounder_answer: str
    """The same of the confounder's task; empty while nothing is known."""
    replaced: str = ""
    """The lines that the answer's lines take the place of; empty where it is definitions."""


def asked(anchor: Sequence[RightAnswer], confounder: Sequence[RightAnswer]) -> Asked:
    """The answer and the confounder's right answer, as a pair shows and judges them.

    `anchor`, `confounder`: right answers that are known for each task, the trajectory's own first; the anchor has one.
    Both are the same definitions where no lines are known to ask about.
    """
    for own in anchor:
        for other in confounder:
            if contains(own.answer, other.answer) or contains(other.answer, own.answer):
                lines = repair(own.patch), repair(other.patch)
                if not all(lines):
                    return Asked(own.answer, other.answer)
                return Asked(*lines, "".join(f"{line}\n" for line in removed(own.patch) if squeeze(line)))
    return Asked(anchor[0].answer, confounder[0].answer if confounder else "")


def contains(text: str, part: str) -> bool:
    """Whether every line of `part`, one at least, is a line of `text`; white space and backslashes do not count."""
    return bool(_lines(part)) and _lines(part) <= _lines(text)


def _lines(text: str) -> set[str]:
    return {squeeze(line) for line in text.splitlines()} - {""}


def solves_too(answer: str, right: RightAnswer) -> bool:
    """Whether a pair's answer solves a task as well that `right` solves: in full, or by every line of the repair."""
    lines = repair(right.patch)
    if squeeze(answer) == squeeze(right.answer):
        return True
    return contains(answer, lines) or (bool(lines) and contains(lines, answer))


def repair(patch: str) -> str:
    """The lines that a patch adds, as they read after it; empty for a patch that only removes, or an unknown one."""
    return "".join(f"{line}\n" for line in added(patch) if squeeze(line))
