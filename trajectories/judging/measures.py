"""What the rules measure in a pair, in words, for who wants to know how near to a limit it is.

Invariant: each number is the one that its rule compares with the limit that stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from trajectories.judging.likeness import length_ratio, tool_overlap
from trajectories.judging.limits import RuleLimits
from trajectories.judging.views import both
from trajectories.records import ContextPair


def measures(pair: ContextPair, limits: RuleLimits | None = None) -> Mapping[str, str]:
    """Rule -> what it measured; rules that measure nothing are left out."""
    drawn = limits or RuleLimits()
    (_, a), (_, c) = both(pair)
    read = [
        sum(bool(turn.observation.strip()) for turn in context.turns[: seen.edit])
        for seen, context in ((a, pair.anchor), (c, pair.confounder))
    ]
    return {
        "like_length": f"{length_ratio(pair):.2f} times as long, at most {drawn.max_length_ratio:g}",
        "like_tools": f"{tool_overlap(pair):.0%} of the calls shared, at least {drawn.min_tool_overlap:.0%}",
        "masked_alike": f"masks in {a.masked_turns} and {c.masked_turns} turns, {a.marks} and {c.marks} in all",
        "read_evidence": f"{read[0]} and {read[1]} observations before the edit",
        "decisive_line": f"{len(a.rows - c.rows)} and {len(c.rows - a.rows)} lines that the other does not show",
    }
