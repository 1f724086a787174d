"""A pair whose prompt is too long, cut until it fits.

Invariant: the length that counts is that of the whole prompt, measured; what is cut is decided by `cut_pair` alone.
"""

from __future__ import annotations

from collections.abc import Callable

from contextrl.probe.predictions import pair_texts
from trajectories.mining.cutting import cut_pair
from trajectories.records import ContextPair

TRIES = 6
"""How often a pair is cut anew where its prompt is longer than its parts let expect."""


def fitted(
    pair: ContextPair, limit: int, length: Callable[[ContextPair], int], count: Callable[[str], int]
) -> ContextPair | None:
    """The pair with a prompt of at most `limit` tokens; None where what has to stay is longer.

    `length` gives the tokens of a pair's longest prompt, `count` those of a text. A prompt has more than its texts:
    what is fixed, and something beside each text (gutters, ends of lines), which goes when the text goes.
    """
    bare = {
        role: context.model_copy(update={"problem_statement": "", "turns": []})
        for role, context in (("anchor", pair.anchor), ("confounder", pair.confounder))
    }
    fixed, texts = length(pair.model_copy(update=bare)), list(pair_texts(pair))
    beside = max(0, length(pair) - fixed - sum(map(count, texts))) // len(texts)

    def parts(text: str) -> int:
        return count(text) + beside

    budget = limit - fixed
    for _ in range(TRIES):
        shorter = cut_pair(pair, budget, parts) if budget > 0 else None
        if shorter is None:
            return None
        over = length(shorter) - limit
        if over <= 0:
            return shorter
        budget = sum(map(parts, pair_texts(shorter))) - over
    return None


def said(pair: ContextPair) -> str:
    """What was cut, in a few words; empty for a whole pair."""
    return f"anchor {pair.anchor.cut}, confounder {pair.confounder.cut}" if pair.anchor.cut else ""
