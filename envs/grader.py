"""The verdict on a patch: its tests, run in a sandbox that the agent never touched.

Invariant: a verdict depends on the task, the profile and the patch alone; a failure of the sandbox is raised, never
turned into a verdict. Of the patch only text files count, and none that decides how tests are run.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol

from envs.grading.hidden import hidden_job, hidden_reason
from envs.patch import PatchError, apply_patch, touched_files
from envs.runtime import TestRun, image_of, run_tests
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Outcome, place_driver, run_in
from sandbox.protocol import Limits, SandboxBackend

logger = logging.getLogger(__name__)

GRADINGS = 2
"""How many patches a grader runs at a time, unless told otherwise."""
MAX_PATCH_CHARS = 1 << 20
LOG_KB = 8192
"""Captured test output, KiB: a log with a hole would make tests look missing."""
_CONFIGURATION = {
    "conftest.py",
    "pytest.ini",
    ".pytest.ini",
    "tox.ini",
    "setup.cfg",
    "pyproject.toml",
    "sitecustomize.py",
    "usercustomize.py",
}
_RUNNERS = {"unittest", "pytest", "_pytest"}


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


class Grader(Protocol):
    """Decides on patches."""

    async def grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        """The verdict on a patch to what the task shows. Raises `SandboxError`, never turns it into a verdict."""


class SandboxGrader:
    """Grades patches, `concurrency` at a time, each different one once. Belongs to one event loop."""

    def __init__(self, backend: SandboxBackend, limits: Limits | None = None, *, concurrency: int = GRADINGS) -> None:
        limits = limits or Limits()
        self._backend = backend
        self._limits = replace(limits, output_kb=max(limits.output_kb, LOG_KB))
        self._slots = asyncio.Semaphore(concurrency)
        self._verdicts: dict[str, GradeReport] = {}
        self._running: dict[str, asyncio.Task[GradeReport]] = {}

    async def grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        """The verdict on a patch to what the task shows. Equal questions are answered by one run, also when they
        come at the same time. Raises `SandboxError`; a run that was asked for goes on if its asker is cancelled.
        """
        try:
            files = patched_files(task, profile, patch)
        except PatchError as error:
            return GradeReport(False, reason=str(error))
        key = _key(task, profile, files)
        if key in self._verdicts:
            return self._verdicts[key]
        if key not in self._running:
            self._running[key] = asyncio.create_task(self._run(key, task, profile, files))
        return await asyncio.shield(self._running[key])

    async def close(self) -> None:
        """Give up the runs that are under way, and wait until their sandboxes are gone."""
        running = list(self._running.values())
        for run in running:
            run.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(
        self, key: str, task: TaskInstance, profile: RepoProfile, files: Mapping[str, str | None]
    ) -> GradeReport:
        try:
            async with self._slots:
                started = time.perf_counter()
                report = await self._test(task, profile, files)
                report = replace(report, seconds=time.perf_counter() - started)
            self._verdicts[key] = report
            logger.debug("%s: %s", task.instance_id, report.reason or "resolved")
            return report
        finally:
            del self._running[key]

    async def _test(self, task: TaskInstance, profile: RepoProfile, files: Mapping[str, str | None]) -> GradeReport:
        sandbox = await self._backend.start(image_of(profile), self._limits, network=False)  # whatever the task had
        try:
            everything = {**task.setup, **files, **task.tests}
            await sandbox.write({p: None if text is None else text.encode() for p, text in everything.items()})
            report = verdict(task, await run_tests(sandbox, profile, task.test_targets))
            if not report.resolved or not task.hidden:
                return report
            await place_driver(sandbox)
            [*_, outcome] = await run_in(sandbox, profile, [hidden_job(task)]) or [Outcome("crash")]
            reason = hidden_reason(task, outcome)
            return replace(report, resolved=not reason, reason=reason)
        finally:
            await sandbox.stop()


def _key(task: TaskInstance, profile: RepoProfile, files: Mapping[str, str | None]) -> str:
    runner = (image_of(profile), profile.test_cmd, profile.log_parser, profile.test_files)
    parts = (task.model_dump_json(), repr(runner), *map(repr, sorted(files.items())))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def patched_files(task: TaskInstance, profile: RepoProfile, patch: str) -> dict[str, str | None]:
    """Path -> contents of what the patch changes. Raises `PatchError`, with the reason, for one that cannot count."""
    if not patch.strip():
        raise PatchError("the patch is empty")
    if len(patch) > MAX_PATCH_CHARS:
        raise PatchError(f"the patch is longer than {MAX_PATCH_CHARS} characters")
    for path in touched_files(patch):
        if decides_tests(task, profile, path):
            raise PatchError(f"the patch touches {path}, which decides how tests are run")
    try:
        files = apply_patch(lambda path: shown_file(task, profile, path), patch)
    except PatchError as error:
        raise PatchError(f"the patch does not apply: {error}") from None
    if not any(shown_file(task, profile, path) != text for path, text in files.items()):
        raise PatchError("the patch changes nothing")
    return files


def decides_tests(task: TaskInstance, profile: RepoProfile, path: str) -> bool:
    """Whether a file is a test or could change how tests are found and run."""
    pure = PurePosixPath(path)
    return (
        path in task.tests
        or path in profile.test_files
        or "tests" in pure.parts[:-1]
        or pure.name in _CONFIGURATION
        or pure.suffix == ".pth"
        or pure.parts[0].removesuffix(".py") in _RUNNERS
    )


def shown_file(task: TaskInstance, profile: RepoProfile, path: str) -> str | None:
    """A file as the task shows it: from its set-up, else from the repository. Raises `PatchError` for no text."""
    if path in task.setup:
        return task.setup[path]
    file = profile.tree / path
    if not file.resolve().is_relative_to(profile.tree.resolve()) or file.is_dir():
        raise PatchError(f"{path} is not a regular file of the repository")
    if any(parent != profile.tree and parent.is_file() for parent in file.parents):
        raise PatchError(f"a folder of {path} is a file of the repository")
    try:
        return file.read_bytes().decode() if file.is_file() else None
    except UnicodeDecodeError:
        raise PatchError(f"{path} is not a text file") from None


def verdict(task: TaskInstance, run: TestRun) -> GradeReport:
    """SWE-bench's rule: FAIL_TO_PASS all pass, PASS_TO_PASS all pass or are skipped, and the runner agrees."""
    status: Mapping[str, str] = run.log.results
    fail_to_pass = {test: status.get(test, "missing") for test in task.FAIL_TO_PASS}
    pass_to_pass = {test: status.get(test, "missing") for test in task.PASS_TO_PASS}
    failing = [test for test, s in fail_to_pass.items() if s != "passed"]
    broken = [test for test, s in pass_to_pass.items() if s not in ("passed", "skipped")]
    if run.process.timed_out:
        reason = "the tests ran out of time"
    elif not run.log.finished:
        reason = f"the test run did not finish (exit code {run.process.exit_code})"
    elif failing:
        reason = f"still failing: {_some(failing)}"
    elif broken:
        reason = f"broken by the patch: {_some(broken)}"
    elif (run.process.exit_code == 0) != (not run.log.failing):
        reason = f"exit code {run.process.exit_code} contradicts the log ({len(run.log.failing)} failing)"
    else:
        reason = ""
    return GradeReport(not reason, fail_to_pass, pass_to_pass, reason)


def _some(tests: list[str]) -> str:
    more = f" and {len(tests) - 3} more" if len(tests) > 3 else ""
    return ", ".join(tests[:3]) + more
