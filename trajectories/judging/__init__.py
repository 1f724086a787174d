"""Judges of context pairs, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from trajectories.protocol import PairJudge
from trajectories.records import ContextPair, Judgement

if TYPE_CHECKING:
    from trajectories.endpoints.budget import Budget
    from trajectories.judging.limits import RuleLimits

__all__ = ["judge_all", "judge_from"]


@runtime_checkable
class _Many(Protocol):
    """A judge that judges several pairs at a time."""

    def judge_many(
        self, pairs: Sequence[ContextPair], on_done: Callable[[int, tuple[Judgement, list[str]]], object] | None = None
    ) -> list[tuple[Judgement, list[str]]]:
        """Its judgements, in order."""


def judge_all(
    judge: PairJudge, pairs: Sequence[ContextPair], on_done: Callable[[], object] = lambda: None
) -> list[tuple[Judgement, list[str]]]:
    """The judgements on all pairs, in order; several at a time where the judge can do that. `on_done()` after each."""
    if isinstance(judge, _Many):
        return judge.judge_many(pairs, lambda *_: on_done())
    found = []
    for pair in pairs:
        found.append(judge.judge(pair))
        on_done()
    return found


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
    from trajectories.endpoints.endpoint import Endpoint, parse_endpoint
    from trajectories.judging.language import LanguageJudge

    if not name.startswith("openai:"):
        raise ValueError(f"{name!r} names no judge: give rules, or openai:URL#MODEL")
    endpoint = Endpoint(parse_endpoint(name), cache=cache, budget=budget, concurrency=concurrency)
    return LanguageJudge(endpoint, rules, both_orders=both_orders)
