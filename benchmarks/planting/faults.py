"""Context pairs with one known fault each, and clean ones.

Invariant: a fault is planted by what it is in the world (text that masking should have taken away, a longer episode,
the same bug), in many wordings; nothing in this folder knows the rules that look for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.planting.draft import Draft, draft
from benchmarks.planting.gaps import format_gap, length_gap, mask_gap
from benchmarks.planting.labels import ambiguous, identical, same_bug
from benchmarks.planting.leaks import diff, heredoc, leak, partial, test_output, whole_line
from trajectories.records import ContextPair


def clean(d: Draft) -> ContextPair:
    """Nothing wrong."""
    return d.pair()


FAULTS: dict[str, Callable[[Draft], ContextPair]] = {
    "clean": clean,
    "leak: whole line in words": leak(whole_line, "words"),
    "leak: part of a line": leak(partial, "words", part=True),
    "leak: here-document or edit": leak(heredoc, "edit"),
    "leak: diff after the edit": leak(diff, "output"),
    "leak: test output": leak(test_output, "output"),
    "length gap": length_gap,
    "format gap": format_gap,
    "mask inconsistency": mask_gap,
    "same bug twice": same_bug,
    "ambiguous label": ambiguous,
    "identical contexts": identical,
}
"""What is planted, by name."""


def planted(kind: str, style: str, seed: int) -> ContextPair:
    """One pair."""
    rng = random.Random(f"{kind}/{style}/{seed}")
    return FAULTS[kind](draft(rng, style))
