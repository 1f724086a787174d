"""Rules on how the two contexts look: whoever can tell them apart by that need not read."""

from __future__ import annotations

import re
from functools import partial

from trajectories.judging.limits import Finding, RuleLimits
from trajectories.judging.views import both
from trajectories.mining.edits import EDIT_TOOLS, mask_command
from trajectories.records import MASK, ContextPair, ContextTurn, MaskedContext

_MARKS = ("<tool_call>", "<function=", "<think>", "```bash", '{"name":', "THOUGHT:", "<returncode>", "OBSERVATION:")
_MOST, _FEW = 0.8, 0.2
_ENOUGH_TURNS = 5
_COMMAND = re.compile(
    r"(?:```(?:bash|sh)\n|<parameter=command>|\"command\": \")(.*?)(?:\n```|</parameter>|\"\}|\Z)", re.DOTALL
)
"""What a shell is given, in the mark-up of several agents."""
_NEW_TEXT = re.compile(r"\bnew_str\b|\bfile_text\b|\binsert_text\b")


def like_length(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Neither context is much longer than the other."""
    ratio = length_ratio(pair)
    if ratio > limits.max_length_ratio:
        return "invalid", f"one context is {ratio:.1f} times as long as the other"
    return None


def length_ratio(pair: ContextPair) -> float:
    """Characters of the longer context over those of the shorter."""
    short, long = sorted(seen.length for _, seen in both(pair))
    return long / max(short, 1)


def like_tools(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Both used the same kinds of tools, and mostly in the same shares."""
    a, b = (seen.tools for _, seen in both(pair))
    for own, other in ((a, b), (b, a)):
        odd = own.keys() - other.keys()
        if sum(own[tool] for tool in odd) > limits.max_odd_tools * own.total():
            return "invalid", f"only one context uses {', '.join(sorted(t or 'an unreadable call' for t in odd))}"
    overlap = tool_overlap(pair)
    if overlap < limits.min_tool_overlap and (a or b):
        return "invalid", f"the contexts share only {overlap:.0%} of their tool calls"
    return None


def tool_overlap(pair: ContextPair) -> float:
    """How alike the shares of the tools among the calls are, 0 to 1."""
    a, b = (seen.tools for _, seen in both(pair))
    return sum(min(a[tool] / a.total(), b[tool] / b.total()) for tool in a.keys() & b.keys())


def like_format(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Both are written in the same mark-up, and their turns begin and end alike."""
    (_, a), (_, b) = both(pair)
    used = [seen.once("marks", partial(_marks, c)) for seen, c in zip((a, b), _contexts(pair), strict=True)]
    if odd := used[0] ^ used[1]:
        return "invalid", f"only one context is written with {min(odd)}"
    if min(len(c.turns) for c in _contexts(pair)) < _ENOUGH_TURNS:
        return None
    for own, other in ((a.frames, b.frames), (b.frames, a.frames)):
        for (place, text), share in own.items():
            if share >= _MOST and other.get((place, text), 0.0) <= _FEW:
                return (
                    "invalid",
                    f"a {place} with {text!r} in nearly every turn of one context, hardly ever in the other",
                )
    return None


def masked_alike(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """Every edit is masked, in both contexts in the same way and about as often."""
    for (name, seen), context in zip(both(pair), _contexts(pair), strict=True):
        if not any(MASK in turn.text for turn in context.turns if turn.edits):
            return "invalid", f"the {name} has no masked edit"
        if bare := seen.once(("bare", pair.file), partial(_bare_edit, context, pair.file)):
            return "invalid", f"an edit of the {name} is not masked: {bare}"
    whole = [[turn.text.strip() == MASK for turn in c.turns if turn.edits] for c in _contexts(pair)]
    if any(all(one) and not any(other) for one, other in (whole, whole[::-1])):
        return "invalid", "in one context whole turns are masked, in the other only what the edits write"
    (_, a), (_, b) = both(pair)
    if _ratio(a.masked_turns + 1, b.masked_turns + 1) > limits.max_mask_ratio:
        turns = f"{a.masked_turns} turns of the anchor, {b.masked_turns} of the confounder"
        return "invalid", f"the patch is masked in {turns}"
    if _ratio(a.marks + 3, b.marks + 3) > limits.max_marks_ratio:
        return "invalid", f"there are {a.marks} masks in the anchor, {b.marks} in the confounder"
    return None


def _marks(context: MaskedContext) -> frozenset[str]:
    """Which of the known mark-ups a context is written in."""
    turns = context.turns
    return frozenset(m for m in _MARKS if any(m in turn.text or m in turn.observation[:40] for turn in turns))


def _bare_edit(context: MaskedContext, file: str) -> str:
    """The beginning of the first edit of which nothing is masked; empty if there is none."""
    bare = next((turn.text for turn in context.turns if _bare(turn, file)), "")
    short = " ".join(bare.split())
    return short if len(short) <= 80 else f"{short[:77]}..."


def _bare(turn: ContextTurn, file: str) -> bool:
    """Whether a turn changes a file, that of the pair if it is not said to be an edit, and nothing of it is masked."""
    if MASK in turn.text:
        return False
    if turn.edits or not file or file.rpartition("/")[2] not in turn.text:
        return turn.edits
    if turn.tool in EDIT_TOOLS or _NEW_TEXT.search(turn.text):
        return True
    commands = _COMMAND.findall(turn.text)  # the last is the call, others are thoughts
    return bool(commands) and mask_command(commands[-1], [file], []) != commands[-1]


def _contexts(pair: ContextPair) -> tuple[MaskedContext, MaskedContext]:
    return pair.anchor, pair.confounder


def _ratio(a: float, b: float) -> float:
    return max(a, b) / min(a, b)
