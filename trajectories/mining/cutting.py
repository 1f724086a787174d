"""Cutting the two contexts of a pair to a token budget.

Invariant: whole turns are left out, as many of one context as of the other, so that what is missing tells nothing; the
first turn, the edits' turn and the last stay. What was left out is said where it stood, and in `MaskedContext.cut`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from trajectories.records import ContextPair, ContextTurn, MaskedContext

CHARACTERS_PER_TOKEN = 4
"""A token of code is rarely shorter; for budgets where no tokenizer is at hand."""


def cut_pair(
    pair: ContextPair, budget: int, count: Callable[[str], int] = lambda text: len(text) // CHARACTERS_PER_TOKEN
) -> ContextPair | None:
    """The pair with contexts of at most `budget` tokens together; None where what has to stay is longer.

    `count` gives the tokens of a text. A pair that fits is returned as it is. Turns go from the middle outward, and
    those with evidence only after all others of their context.
    """
    counted = lru_cache(maxsize=None)(count)
    contexts = (pair.anchor, pair.confounder)
    if sum(_tokens(c, counted) for c in contexts) <= budget:
        return pair
    orders = [_order(c.turns) for c in contexts]

    def cut(n: int) -> list[MaskedContext]:
        return [_without(c, frozenset(order[:n])) for c, order in zip(contexts, orders, strict=True)]

    low, high = 1, min(map(len, orders))  # the fewest turns that do
    while low < high:
        middle = (low + high) // 2
        if sum(_tokens(c, counted) for c in cut(middle)) <= budget:
            high = middle
        else:
            low = middle + 1
    shorter = cut(low) if high else []
    if not shorter or sum(_tokens(c, counted) for c in shorter) > budget:
        return None
    return pair.model_copy(update={"anchor": shorter[0], "confounder": shorter[1]})


def _order(turns: Sequence[ContextTurn]) -> list[int]:
    """The turns that may go, the next to go first."""
    middle = (len(turns) - 1) / 2
    inner = [i for i in range(1, len(turns) - 1) if not turns[i].edits]
    return sorted(inner, key=lambda i: (bool(turns[i].evidence), abs(i - middle), i))


def _without(context: MaskedContext, gone: frozenset[int]) -> MaskedContext:
    kept: list[ContextTurn] = []
    for i, turn in enumerate(context.turns):
        if i not in gone:
            kept.append(turn)
        elif i - 1 not in gone:
            run = next(j for j in range(i, len(context.turns) + 1) if j not in gone) - i
            kept.append(ContextTurn(text=f"[{run} turn{'s' * (run > 1)} left out]"))
    evidence = sum(bool(context.turns[i].evidence) for i in gone)
    said = f"{len(gone)} of {len(context.turns)} turns" + f", {evidence} of them with evidence" * bool(evidence)
    return context.model_copy(update={"turns": kept, "cut": said})


def _tokens(context: MaskedContext, count: Callable[[str], int]) -> int:
    shown = sum(count(turn.text) + count(turn.observation) for turn in context.turns)
    return count(context.problem_statement) + shown
