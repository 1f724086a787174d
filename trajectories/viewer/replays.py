"""Replays of a trajectory: the steps that did not happen again as they were recorded, and what was different.

Invariant: the first step that diverged is among those that are shown, with the first line that differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trajectories.queries import Finding
from trajectories.viewer.differing import Differing, differing

MOST_STEPS = 25
"""Steps of a replay that are shown; after one that diverged all others may."""
TEXTS = {"observation": ("expected", "got"), "diff": ("expected_diff", "diff")}
"""What of a step is compared as text: its members in a replay's document."""


class ReplayedStep(NamedTuple):
    """A step that was different, or was not done again."""

    document: Mapping[str, Any]
    differs: Mapping[str, Differing]
    """By the keys of `TEXTS`."""


class Replay(NamedTuple):
    """One replay as it is shown."""

    key: str
    """Tells it from the trajectory's others."""
    document: Mapping[str, Any]
    steps: list[ReplayedStep]
    more: int
    """Steps that are not shown."""


def replays_of(findings: Sequence[Finding]) -> list[Replay]:
    """What was found out by replaying, the newest first."""
    return [_replay(found) for found in findings]


def _replay(found: Finding) -> Replay:
    steps = [s for s in found.document.get("steps") or [] if not s.get("same", True) or s.get("not_replayed")]
    steps.sort(key=lambda s: s.get("number") != found.document.get("diverged_at"))
    shown = sorted(steps[:MOST_STEPS], key=lambda s: s.get("number") or 0)
    return Replay(_key(found), found.document, [_step(s) for s in shown], len(steps) - len(shown))


def _key(found: Finding) -> str:
    return repr(found.created_at)


def _step(step: Mapping[str, Any]) -> ReplayedStep:
    return ReplayedStep(step, {what: found for what in TEXTS if (found := _compared(step, what))})


def _compared(step: Mapping[str, Any], what: str) -> Differing | None:
    recorded, replayed = (step.get(name) for name in TEXTS[what])
    if what == "diff" and (recorded is None or replayed is None):  # not recorded, or too long to be kept
        return None
    recorded, replayed = str(recorded or ""), str(replayed or "")
    return None if recorded == replayed else differing(recorded, replayed)


def replayed_text(findings: Sequence[Finding], key: str, number: int, what: str) -> str:
    """The diff of one step of one replay; empty where there is none."""
    for found in findings:
        for step in found.document.get("steps") or []:
            if _key(found) == key and step.get("number") == number and (one := _compared(step, what)):
                return one.text
    return ""
