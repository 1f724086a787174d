"""What other formats say of a trajectory's outcome.

Invariant: a verdict stands for a grader's decision that the file holds; where there is none, there is no reward.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trajectories.records import Status, Trajectory, Verdict

_LISTS = {"FAIL_TO_PASS": "fail_to_pass", "PASS_TO_PASS": "pass_to_pass"}
_STATUS = {"success": "passed", "failure": "failed"}


def plain(resolved: Any) -> Verdict | None:
    """The verdict of a bare yes or no."""
    if not isinstance(resolved, bool):
        return None
    return Verdict(resolved=resolved, reason="" if resolved else "not resolved, as the file says")


def report(document: Mapping[str, Any]) -> Verdict | None:
    """The verdict of a report of SWE-bench's harness, on one instance."""
    verdict = plain(document.get("resolved"))
    tests = document.get("tests_status")
    if verdict is None or not isinstance(tests, dict):
        return verdict
    status = {
        ours: {test: _STATUS[key] for key in _STATUS for test in tests.get(theirs, {}).get(key, ())}
        for theirs, ours in _LISTS.items()
    }
    failed = [
        f"{list(found.values()).count('failed')} of {len(found)} {theirs} failed"
        for (theirs, ours) in _LISTS.items()
        if "failed" in (found := status[ours]).values()
    ]
    reason = "" if verdict.resolved else "; ".join(failed) or "the patch was not applied, or the tests did not run"
    return verdict.model_copy(update={**status, "reason": reason})


def said(verdict: Verdict) -> dict[str, Any]:
    """The report of a verdict."""
    tests = {
        theirs: {
            key: [test for test, status in getattr(verdict, ours).items() if (status == "passed") == (key == "success")]
            for key in _STATUS
        }
        for theirs, ours in _LISTS.items()
    }
    return {"resolved": verdict.resolved, "tests_status": tests}


def reward(verdict: Verdict | None) -> float | None:
    """The reward of a verdict: 1 or 0."""
    return None if verdict is None else float(verdict.resolved)


def status(exit_status: Any) -> Status:
    """Whether the agent handed in, by the word that the file has for it."""
    return "submitted" if not exit_status or str(exit_status).lower().startswith("submitted") else "truncated"


def exit_word(trajectory: Trajectory) -> str:
    """The word for how an episode ended."""
    return {"submitted": "submitted", "truncated": "exit", "infra_error": "error"}[trajectory.status]
