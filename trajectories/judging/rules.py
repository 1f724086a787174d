"""Judging context pairs by rules: is the label sure, and can the pair be told apart only by reading?

Invariant: a pair is `valid` only if no rule objects. A rule that finds a shortcut or a wrong label makes it `invalid`;
a rule that cannot know makes it `uncertain`. Paper 1 asks a language model; it rejects length disparity, formatting
difference, patch-token leakage, masking inconsistency and ambiguous labels.

No rule objects to a confounder that shows the answer's lines in its own code: there the answer is what has to be
repaired, and only reading tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from trajectories.judging.evidence import decisive_line, read_evidence
from trajectories.judging.labels import has_answer, other_answer
from trajectories.judging.leaks import no_leak
from trajectories.judging.likeness import like_format, like_length, like_tools, masked_alike
from trajectories.judging.limits import Finding, Rule, RuleLimits
from trajectories.records import ContextPair, Judgement

RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        has_answer,
        masked_alike,
        like_tools,
        like_format,
        like_length,
        read_evidence,
        decisive_line,
        other_answer,
        no_leak,
    )
}
"""The rules by name, the cheap ones first."""


class Outcome(NamedTuple):
    """What one rule said of a pair."""

    rule: str
    holds: str
    """What it makes sure of, as a sentence."""
    finding: Finding | None
    """Its objection; None where it has none."""


def outcomes(pair: ContextPair, limits: RuleLimits | None = None, rules: Mapping[str, Rule] = RULES) -> list[Outcome]:
    """Every rule asked about a pair."""
    drawn = limits or RuleLimits()
    return [Outcome(name, _sentence(rule), rule(pair, drawn)) for name, rule in rules.items()]


def _sentence(rule: Rule) -> str:
    return " ".join((rule.__doc__ or "").partition("\n\n")[0].split())


class RuleJudge:
    """A `PairJudge` that asks every rule. Reasons read `rule: sentence`."""

    def __init__(self, limits: RuleLimits | None = None, rules: Mapping[str, Rule] = RULES) -> None:
        self._limits = limits or RuleLimits()
        self._rules = rules

    def judge(self, pair: ContextPair) -> tuple[Judgement, list[str]]:
        """The judgement and every rule's objection."""
        found = outcomes(pair, self._limits, self._rules)
        objections = [(o.rule, *o.finding) for o in found if o.finding is not None]
        reasons = [f"{name}: {sentence}" for name, _, sentence in objections]
        if any(judgement == "invalid" for _, judgement, _ in objections):
            return "invalid", reasons
        return ("uncertain" if objections else "valid"), reasons
