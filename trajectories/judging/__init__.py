"""Judges of context pairs, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trajectories.protocol import PairJudge

if TYPE_CHECKING:
    from trajectories.budget import Budget
    from trajectories.judging.limits import RuleLimits

__all__ = ["judge_from"]


def judge_from(
    name: str,
    *,
    limits: RuleLimits | None = None,
    cache: Path | None = None,
    budget: Budget | None = None,
    both_orders: bool = False,
    concurrency: int = 8,
) -> PairJudge:
    """`rules`, or `openai:URL#MODEL` for a model after the rules. Raises `ValueError` for what names no judge.

    `cache`: a folder for what the model answered. `both_orders`: the model decides only what it says in both orders.
    """
    from trajectories.judging.rules import RuleJudge

    rules = RuleJudge(limits)
    if name == "rules":
        return rules
    from trajectories.endpoint import Endpoint, parse_endpoint
    from trajectories.judging.language import LanguageJudge

    if not name.startswith("openai:"):
        raise ValueError(f"{name!r} names no judge: give rules, or openai:URL#MODEL")
    endpoint = Endpoint(parse_endpoint(name), cache=cache, budget=budget, concurrency=concurrency)
    return LanguageJudge(endpoint, rules, both_orders=both_orders)
