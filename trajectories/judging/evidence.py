"""Rules on what there is to read: enough, and not the same in both contexts."""

from __future__ import annotations

import re

from trajectories.judging.limits import Finding, RuleLimits
from trajectories.judging.views import both
from trajectories.records import ContextPair

_NOISE = re.compile(
    r"\b\d+(?:\.\d+)? ?(?:s|ms|sec|seconds?)\b"  # how long it took
    r"|\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{7,40}\b"  # addresses and hashes
    r"|\b\d{4}-\d\d-\d\d\b|\b\d\d:\d\d(?::\d\d(?:\.\d+)?)?\b"  # dates and times
    r"|/(?:[\w.\-]+/)+"  # the folders of a path from the root
)
_FEW_ROWS = 400


def read_evidence(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """In both contexts something was read before the edit: an edit made blind supports no answer."""
    for (name, seen), context in zip(both(pair), (pair.anchor, pair.confounder), strict=True):
        if not any(turn.observation.strip() for turn in context.turns[: seen.edit]):
            return "invalid", f"nothing was read before the edit in the {name}"
    return None


def decisive_line(pair: ContextPair, limits: RuleLimits) -> Finding | None:
    """The observations differ, in more than what differs from run to run: there is a line to find."""
    (_, a), (_, b) = both(pair)
    if abs(a.length - b.length) > 0.2 * max(a.length, b.length):
        return None
    odd = (a.rows - b.rows, b.rows - a.rows)
    if sum(map(len, odd)) > _FEW_ROWS:
        return None
    if {_NOISE.sub("", row) for row in odd[0]} - {""} != {_NOISE.sub("", row) for row in odd[1]} - {""}:
        return None
    if pair.anchor.problem_statement == pair.confounder.problem_statement:
        return "invalid", "the two contexts show the same"
    return "uncertain", "only the problem statements tell the contexts apart"
