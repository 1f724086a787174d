"""What is validated: a broken and a repaired state of some files, and the tests that tell them apart.

Invariant: a candidate is complete: with its repository's tree it says everything that a task will hold, but for what
running the tests shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from envs.task import HiddenCall


class Candidate(Protocol):
    """A task before validation. Any object with these attributes is one."""

    @property
    def instance_id(self) -> str:
        """Unique within its repository."""

    @property
    def problem_statement(self) -> str:
        """Empty: written from the failing test."""

    @property
    def kind(self) -> str:
        """How the bug was made."""

    @property
    def function(self) -> str:
        """`path::qualname` of the function to repair."""

    @property
    def broken(self) -> dict[str, str]:
        """Path -> text, relative to the base commit, as the agent finds it."""

    @property
    def fixed(self) -> dict[str, str]:
        """Path -> text of the repaired sources."""

    @property
    def tests(self) -> dict[str, str]:
        """Path -> text of test files that only the grader has; empty: the repository's own tests."""

    @property
    def targets(self) -> tuple[str, ...]:
        """What to run."""

    @property
    def hidden(self) -> tuple[HiddenCall, ...]:
        """Calls that only the grader makes; empty: found by running the repaired function."""


@dataclass(frozen=True)
class Mutant:
    """The candidate that one mutation of a repository's own source is."""

    instance_id: str
    kind: str
    function: str
    broken: dict[str, str]
    fixed: dict[str, str]
    targets: tuple[str, ...]
    changed: tuple[str, ...]
    """Lines that are only before or only after: what a problem statement must not say."""
    tests: dict[str, str] = field(default_factory=dict)
    problem_statement: str = ""
    hidden: tuple[HiddenCall, ...] = ()
    also: tuple[str, ...] = ()
    """Other functions that are to be repaired too."""
