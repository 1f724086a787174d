"""Which tests of a grading have twins that must fail, and what a run says about them.

Invariant: the plan is drawn anew for every grading from the system's randomness and is known to nobody who runs code of
the patch before that code runs. The guard inside the sandbox is `envs.testing.driver.guard`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from envs.task import TaskInstance
from envs.testing.runner import Outcome

TEST, TWIN = "t", "c"
_TWINS = 12
"""At least so many, where there is a test: one of each kind of assertion."""
_MOST_TESTS = 24
_OTHERS = 8
"""PASS_TO_PASS tests that get a twin."""


@dataclass(frozen=True)
class Judged:
    """What a guarded run says once the twins are taken out."""

    statuses: Mapping[str, str]
    """Test id -> the status of the test itself, the worst if it ran more than once."""
    meddling: str = ""
    """How it shows that results were forged; empty if it does not."""


def draw_plan(task: TaskInstance) -> dict[str, str]:
    """Test id -> its runs in order, `t` for the test and `c` for a twin."""
    draw = secrets.SystemRandom()
    chosen = draw.sample(task.FAIL_TO_PASS, min(len(task.FAIL_TO_PASS), _MOST_TESTS))
    chosen += draw.sample(task.PASS_TO_PASS, min(len(task.PASS_TO_PASS), _OTHERS))
    each = max(1, -(-_TWINS // max(1, len(chosen))))
    plan = {}
    for test in chosen:
        runs = [TEST, *[TWIN] * each]
        draw.shuffle(runs)
        plan[test] = "".join(runs)
    return plan


def judge(plan: Mapping[str, str], outcome: Outcome) -> Judged:
    """Take the twins out of a run, and look at how they fared."""
    statuses: dict[str, str] = {test: _worst(runs) for test, runs in outcome.runs.items() if test not in plan}
    meddling = ""
    for test, letters in plan.items():
        runs = outcome.runs.get(test, ())
        passed = [i for i, (letter, status) in enumerate(zip(letters, runs, strict=False)) if _forged(letter, status)]
        if passed:
            meddling = meddling or f"a twin of {test} that must fail is reported as {runs[passed[0]]}"
        elif len(runs) > len(letters):
            meddling = meddling or f"{test} is reported {len(runs)} times but was run {len(letters)} times"
        tested = [status for letter, status in zip(letters, runs, strict=False) if letter == TEST]
        if tested:
            statuses[test] = _worst(tested)
    return Judged(statuses, meddling or _contradiction(outcome))


def _forged(letter: str, status: str) -> bool:
    return letter == TWIN and status not in ("failed", "skipped")


def _contradiction(outcome: Outcome) -> str:
    if outcome.changed:
        return f"parts of the test runner were replaced: {', '.join(outcome.changed[:5])}"
    failed = any(status == "failed" for runs in outcome.runs.values() for status in runs)
    if outcome.end == "left":
        return "the test process was left without a word"
    if outcome.end == "ok" and outcome.code in (0, 1) and bool(outcome.code) != failed:
        return f"exit code {outcome.code} contradicts the results"
    return ""


def _worst(statuses: tuple[str, ...] | list[str]) -> str:
    order = ("passed", "xfail", "skipped", "failed")
    return max(statuses, key=lambda status: order.index(status) if status in order else len(order))
