"""What a verdict is, and who gives one.

Invariant: a verdict depends on the task, the profile and the patch alone; a failure of the sandbox is raised, never
turned into a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from envs.task import RepoProfile, TaskInstance

GRADINGS = 2
"""How many patches a grader runs at a time, unless told otherwise."""
MAX_PATCH_CHARS = 1 << 20
LOG_KB = 8192
"""Captured test output, KiB: a log with a hole would make tests look missing."""


@dataclass(frozen=True)
class GradeReport:
    """The verdict. The dictionaries give test id -> passed, failed, error, skipped or missing."""

    resolved: bool
    fail_to_pass: dict[str, str] = field(default_factory=dict)
    pass_to_pass: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    """Why it is not resolved, one line; empty when it is."""
    seconds: float = 0.0
    tampered: bool = False
    """Somebody meddled with the grading; the reason says how that showed."""
    dropped: tuple[str, ...] = ()
    """Files of the patch that did not count: tests, and what decides how tests are run."""
    hashes: dict[str, str] = field(default_factory=dict)
    """What the verdict is about: the image's name, and sha256 of the patch and of the grader's tests."""


class Grader(Protocol):
    """Decides on patches."""

    async def grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        """The verdict on a patch to what the task shows. Raises `SandboxError`, never turns it into a verdict."""
