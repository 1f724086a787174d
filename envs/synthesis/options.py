"""What is asked of a task set.

Invariant: with the repository and our code, the options decide the tasks; nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from envs.synthesis.statement import STYLES, Style
from envs.task import RepoProfile


@dataclass(frozen=True)
class TaskOptions:
    """What decides a task set, beside the repository."""

    bugs: int = 200
    """Tasks to make; fewer when the repository has no more."""
    per_function: int = 6
    """Different bugs of one function: what confounder pairs are made of."""
    seed: int = 0
    suite: Literal["full", "near"] = "full"
    """full: every bug is run against all tests once, and graded by all. near: against a few test classes near the
    function, which also are what it is graded by; much faster. Generated repositories bring tests of their own."""
    style: Style | Literal["mixed"] = "terse"
    """Of problem statements; mixed: one of all styles for each task, by hash."""
    heldout_mutation: float = 0.1
    heldout_function: float = 0.1
    repeats: int = 2
    """Runs of the near tests that FAIL_TO_PASS and PASS_TO_PASS must agree in (suite near); generated functions, which
    are pure, are run once."""
    max_test_s: float = 1.0
    """Seconds that the tests which run first (full), or all tests of a task (near), may take."""
    test_units: int = 3
    """Suite near: test classes (or pytest functions) that call the function; one more that does not is run beside
    them."""
    hidden: bool = True
    """Whether functions get hidden calls: answers that only the grader asks for."""

    def check(self) -> None:
        """Raises `ValueError` for what is out of range."""
        if self.bugs < 1 or self.per_function < 1 or self.repeats < 1 or self.test_units < 1:
            raise ValueError("bugs, per_function, repeats and test_units of a task set must be at least 1")
        if self.suite not in ("full", "near"):
            raise ValueError(f"there is no suite {self.suite!r} to validate bugs by: full or near")
        if self.style not in (*STYLES, "mixed"):
            raise ValueError(f"there is no style {self.style!r} of problem statements: {', '.join(STYLES)} or mixed")


def is_generated(profile: RepoProfile) -> bool:
    """Whether a repository is one of ours, whose candidates bring tests of their own."""
    return profile.source.startswith("generated:")
