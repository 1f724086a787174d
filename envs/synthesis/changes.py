"""What differs between two texts, line by line.

Invariant: applying the edits of a pair to its first text gives its second, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from itertools import pairwise

from envs.synthesis.text import split_lines

Edit = tuple[int, int, list[str]]
"""Lines from, to (not included), and what stands there instead."""


def edits(old: str, new: str) -> list[Edit]:
    """From top to bottom."""
    before, after = split_lines(old), split_lines(new)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [(a, b, after[c:d]) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


def changed_lines(old: str, new: str) -> tuple[str, ...]:
    """Every line, stripped, that is only in one of the two, or that moved."""
    lines = split_lines(old)
    found = [line for a, b, after in edits(old, new) for line in [*lines[a:b], *after]]
    counts = Counter(line.strip() for line in found)
    return tuple(line for line in counts if line)


def merged(base: str, variants: list[str]) -> str | None:
    """The base with the edits of every variant; None where two of them touch the same or neighbouring lines."""
    every = sorted((edit for variant in variants for edit in edits(base, variant)), key=lambda edit: edit[:2])
    if any(second[0] <= first[1] for first, second in pairwise(every)):
        return None
    lines = split_lines(base)
    for start, end, new in reversed(every):
        lines[start:end] = new
    return "".join(lines)
