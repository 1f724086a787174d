"""What a repository itself does to a run of its tests: an honest patch must not be blamed for it.

Invariant: only runs of the gold patch, in sandboxes that no other patch was in, say what is the repository's own; it is
found once for a task and only when a verdict is in doubt, so that other gradings cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envs.grading.protocol import GradeReport
from envs.testing.runner import Outcome


@dataclass(frozen=True)
class OwnWays:
    """How the tests of a task behave beside twins when the patch is right."""

    replaced: frozenset[str] = frozenset()
    """Parts of the test runner that the repository replaces."""
    twins: bool = True
    """Whether they pass beside twins. Not where one test's failure skips the next, or a set-up runs only once."""

    def excuse(self, outcome: Outcome) -> Outcome:
        """The run without what is the repository's doing."""
        return Outcome(**{**vars(outcome), "changed": tuple(x for x in outcome.changed if x not in self.replaced)})


def in_doubt(plan: Mapping[str, str], outcome: Outcome, report: GradeReport) -> bool:
    """Whether the repository's own ways could have decided: ordinary failures are those of the tests' own bodies."""
    if report.tampered:
        return outcome.end == "ok"
    if report.resolved or outcome.end != "ok":
        return False
    ran = {test: outcome.runs.get(test, ()) for test in plan}
    statuses = {**report.fail_to_pass, **report.pass_to_pass}
    wrong = {test for test, status in statuses.items() if status not in ("passed", *_harmless(test, report))}
    return any(
        statuses[test] != "failed" or test in outcome.unready or len(ran.get(test, "")) < len(plan.get(test, ""))
        for test in wrong
    )


def _harmless(test: str, report: GradeReport) -> tuple[str, ...]:
    return () if test in report.fail_to_pass else ("xfail", "skipped")
