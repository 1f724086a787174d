"""What a rule is, and where the rules draw their lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trajectories.records import ContextPair, Judgement


@dataclass(frozen=True)
class RuleLimits:
    """Where the rules draw their lines. What they let pass of real runs stands in docs/judging.md."""

    max_length_ratio: float = 1.8
    """Characters of the longer context over those of the shorter."""
    min_tool_overlap: float = 0.6
    """How alike the shares of the tools among the calls are, 0 to 1: the sum of the smaller share of each tool."""
    max_odd_tools: float = 0.2
    """Most of a context's calls, as a share, that go to tools which the other context never calls."""
    max_mask_ratio: float = 3.0
    """Turns with a mask, one more than there are, in one context over those in the other."""
    max_marks_ratio: float = 6.0
    """The same of single masks, three more than there are: one line or one argument each."""
    leak_tokens: int = 4
    """So many tokens in a row of what the patch writes are a leak, where nothing had shown them."""
    leak_chars: int = 8
    """If their names have at least so many characters. Python's own do not count: `is not None` stands everywhere."""
    sure_leak_tokens: int = 8
    """A leak of fewer tokens, and a new name alone, leave the pair uncertain: whether they tell takes reading."""


Finding = tuple[Judgement, str]
"""What a rule objects with: `invalid` or `uncertain`, and why."""
Rule = Callable[[ContextPair, RuleLimits], Finding | None]
