"""What a context pair asks about.

Invariant: the two texts of a pair tell their tasks apart wherever the known right answers can. They are the changed
definitions; where those are the same for both tasks, as with two bugs in one function of a package, they are the lines
that the repairs add. Removed lines are never part of it: they would quote what the anchor saw.
"""

from __future__ import annotations

from collections.abc import Sequence

from trajectories.masking import added, squeeze
from trajectories.protocol import RightAnswer


def asked(anchor: Sequence[RightAnswer], confounder: Sequence[RightAnswer]) -> tuple[str, str]:
    """The answer and the confounder's right answer, as a pair shows and judges them.

    `anchor`, `confounder`: right answers that are known for each task, the trajectory's own first; the anchor has one.
    The second text is empty while nothing is known. Both are the same definitions where no lines are known to ask
    about.
    """
    for own in anchor:
        for other in confounder:
            if contains(own.answer, other.answer) or contains(other.answer, own.answer):
                lines = repair(own.patch), repair(other.patch)
                return lines if all(lines) else (own.answer, other.answer)
    return anchor[0].answer, confounder[0].answer if confounder else ""


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
