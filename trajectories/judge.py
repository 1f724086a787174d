"""Judging context pairs by rules: is the label sure, and can the pair be told apart only by reading?

Invariant: a pair is `valid` only if no rule objects. A rule that finds a shortcut or a wrong label makes it `invalid`;
a rule that cannot know makes it `uncertain`. Paper 1 asks a language model; it rejects length disparity, formatting
difference, patch-token leakage, masking inconsistency and ambiguous labels.

No rule objects to a confounder that shows the answer's lines in its own code: there the answer is what has to be
repaired, and only reading tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trajectories.answers import contains
from trajectories.masking import first_edit, leaked, seen_lines, squeeze
from trajectories.records import MASK, ContextPair, Judgement, MaskedContext


@dataclass(frozen=True)
class RuleLimits:
    """Where the rules draw their lines."""

    max_length_ratio: float = 1.5
    """Characters of the longer context over those of the shorter."""
    min_tool_overlap: float = 0.6
    """Share of tool calls that both contexts make (Dice coefficient of the two multisets), 0 to 1."""


Finding = tuple[Judgement, str]
"""What a rule objects with: `invalid` or `uncertain`, and why."""
Rule = Callable[[ContextPair, RuleLimits], Finding | None]


def has_answer(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """A pair without an answer asks nothing."""
    return None if pair.answer.strip() else ("invalid", "the answer is empty")


def no_leak(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """No new line of the answer stands in what the policy wrote, in either context."""
    known = seen_lines(pair.anchor)
    new = [line for line in pair.answer.splitlines() if squeeze(line) not in known]
    for name, context in (("anchor", pair.anchor), ("confounder", pair.confounder)):
        if lines := leaked(context, new):
            return "invalid", f"the {name} gives the answer's line {lines[0].strip()!r} away"
    return None


def masked_alike(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Both contexts hold a masked edit, and are masked in equally many turns."""
    both = (pair.anchor, pair.confounder)
    if not all(any(turn.edits and MASK in turn.text for turn in c.turns) for c in both):
        return "invalid", "a context without a masked edit"
    masked = [sum(MASK in turn.text for turn in c.turns) for c in both]
    if masked[0] != masked[1]:
        return "invalid", f"the patch is masked in {masked[0]} turns of the anchor, {masked[1]} of the confounder"
    return None


def like_length(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Neither context is much longer than the other."""
    short, long = sorted((_length(pair.anchor), _length(pair.confounder)))
    if long > limits.max_length_ratio * short:
        return "invalid", f"one context is {long / max(short, 1):.1f} times as long as the other"
    return None


def like_tools(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Both used the same kinds of tools, and mostly as often."""
    a, b = (Counter(turn.tool for turn in c.turns) for c in (pair.anchor, pair.confounder))
    if a.keys() != b.keys():
        odd = ", ".join(sorted(tool or "an unreadable call" for tool in a.keys() ^ b.keys()))
        return "invalid", f"only one context uses {odd}"
    overlap = 2 * (a & b).total() / max(a.total() + b.total(), 1)
    if overlap < limits.min_tool_overlap:
        return "invalid", f"the contexts share only {overlap:.0%} of their tool calls"
    return None


def like_format(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Both are written in the same mark-up."""
    for mark in ("<tool_call>", "<function=", "<think>"):
        uses = [any(mark in turn.text for turn in c.turns) for c in (pair.anchor, pair.confounder)]
        if uses[0] != uses[1]:
            return "invalid", f"only one context is written with {mark}"
    return None


def read_evidence(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """In both contexts something was read before the edit: an edit made blind supports no answer."""
    for name, context in (("anchor", pair.anchor), ("confounder", pair.confounder)):
        if not any(turn.observation.strip() for turn in context.turns[: first_edit(context)]):
            return "invalid", f"nothing was read before the edit in the {name}"
    return None


def decisive_line(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """The observations differ: there is a line to find."""
    a, b = ([turn.observation for turn in c.turns] for c in (pair.anchor, pair.confounder))
    if a != b:
        return None
    if pair.anchor.problem_statement == pair.confounder.problem_statement:
        return "invalid", "the two contexts show the same"
    return "uncertain", "only the problem statements tell the contexts apart"


def other_answer(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """The answer does not solve the confounder's task as well, not even in part."""
    if not pair.confounder_answer.strip():
        return "uncertain", "no right answer to the confounder's task is known yet"
    if squeeze(pair.confounder_answer) == squeeze(pair.answer):
        return "invalid", "the answer solves the confounder's task as well"
    if contains(pair.answer, pair.confounder_answer):
        return "invalid", "the answer has every line that the confounder's task needs"
    if contains(pair.confounder_answer, pair.answer):
        return "invalid", "every line of the answer is one that the confounder's task needs"
    return None


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
"""The rules by name."""


class RuleJudge:
    """A `PairJudge` that asks every rule. Reasons read `rule: sentence`."""

    def __init__(self, limits: RuleLimits | None = None, rules: Mapping[str, Rule] = RULES) -> None:
        self._limits = limits or RuleLimits()
        self._rules = rules

    def judge(self, pair: ContextPair) -> tuple[Judgement, list[str]]:
        """The judgement and every rule's objection."""
        found = [(name, rule(pair, self._limits)) for name, rule in self._rules.items()]
        objections = [(name, *finding) for name, finding in found if finding is not None]
        reasons = [f"{name}: {sentence}" for name, _, sentence in objections]
        if any(judgement == "invalid" for _, judgement, _ in objections):
            return "invalid", reasons
        return ("uncertain" if objections else "valid"), reasons


def _length(context: MaskedContext) -> int:
    shown = sum(len(turn.text) + len(turn.observation) for turn in context.turns)
    return len(context.problem_statement) + shown
