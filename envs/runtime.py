"""From a profile to something that runs: its image, its test command, one run of tests.

Invariant: the agent's `run_tests` and the grader run tests in exactly the same way.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from envs.task import RepoProfile, TaskInstance
from envs.testlog import TestLog, parse_log
from sandbox.protocol import ExecResult, Image, Sandbox

TEST_ENV = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", "NO_COLOR": "1"}
"""Set for every test run: the same order of sets everywhere, no byte code left behind, whole messages."""


@dataclass(frozen=True)
class TestRun:
    """One run of tests: what the process did, and what its log says."""

    __test__ = False

    process: ExecResult
    log: TestLog


def image_of(profile: RepoProfile) -> Image:
    """What a sandbox of this repository starts from; the same name for the same contents."""
    if profile.image:
        name = f"{_slug(profile.name)}-{hashlib.sha256(profile.image.encode()).hexdigest()[:12]}"
        return Image(name=name, reference=profile.image)
    name = f"{_slug(profile.name)}-{profile.base_commit[:12]}"
    if profile.requirements:
        name += "-" + hashlib.sha256("\n".join(profile.requirements).encode()).hexdigest()[:8]
    if profile.python_version:
        name += f"-py{profile.python_version}"
    return Image(
        name=name,
        tree=profile.tree,
        python=profile.python,
        requirements=profile.requirements,
        python_version=profile.python_version,
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower())


def test_command(profile: RepoProfile, targets: Sequence[str]) -> str:
    """The profile's test command for these targets, quoted for the shell; all test files where none are given."""
    return profile.test_cmd.replace("{tests}", shlex.join(targets or profile.test_files))


test_command.__test__ = False  # type: ignore[attr-defined]


async def run_tests(
    sandbox: Sandbox, profile: RepoProfile, targets: Sequence[str], timeout_s: float | None = None
) -> TestRun:
    """Run tests in a sandbox and read the log. Raises `SandboxError`."""
    process = await sandbox.run(test_command(profile, targets), timeout_s=timeout_s, env=TEST_ENV)
    return TestRun(process, parse_log(f"{process.stdout}\n{process.stderr}", profile.log_parser))


def visible_targets(task: TaskInstance, profile: RepoProfile) -> tuple[str, ...]:
    """What the agent's `run_tests` runs: the task's targets without the test files that only the grader has.

    Empty where none is left: then `test_command` takes all test files of the repository.
    """
    hidden = set(task.tests) - set(profile.test_files) - set(task.setup)
    return tuple(target for target in task.test_targets if not hidden & set(_files_of(target)))


def _files_of(target: str) -> list[str]:
    """Files that a target may live in: `a/b.py::C::t`, `a/b.py`, or any prefix of the dotted `a.b.C.t`."""
    parts = target.split(".")
    return [target.partition("::")[0], *("/".join(parts[:i]) + ".py" for i in range(1, len(parts) + 1))]
