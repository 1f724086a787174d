"""Grading by the evaluation script of a SWE-bench task, inside our walls; the official package judges the log.

Invariant: `resolved` is never more generous than the official package: what it resolves must also have come from tests
that were ours to the end, whose one test that must fail did fail, whose log speaks with one tongue, and whose exit code
the sandbox told. A failure of the sandbox is raised, never turned into a verdict.

The code under test owns what its tests print: of these logs nobody can do more than catch a lie. Tasks made here are
graded over a channel of our own instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from asyncio import to_thread
from collections.abc import Callable
from dataclasses import replace

from envs.grading import GRADINGS, MAX_PATCH_CHARS, GradeReport
from envs.grading.once import Once
from envs.grading.script_run import ScriptRun, run_script
from envs.grading.scripted_files import Parts, parts_of
from envs.grading.swebench_verdict import Verdict, assembled, contradicted, judge
from envs.patch import ForbiddenPatch, PatchError
from envs.runtime import image_of
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import Limits, SandboxBackend

TESTS_S = 1800.0
"""Wall-clock limit of the set-up and of the tests, as the official harness has it."""
_LEAST = {"memory_mb": 4096, "pids": 1024, "file_mb": 1024, "tmp_mb": 2048, "output_kb": 16 * 1024}
_EXPECTED = ("failed", 1)
"""How the canary fares and what the tests exit with when nobody meddles."""

_SPOILT = ">>>>> Tests Errored"
"""With this line the official package resolves nothing, whatever else a log says."""
Keep = Callable[[TaskInstance, str, str], None]
"""Called with the task, the patch and the log that was judged, for who wants to keep it."""


class EvalScriptGrader:
    """Grades tasks that have an `eval_script`; each different patch once. Belongs to one event loop."""

    def __init__(
        self,
        backend: SandboxBackend,
        limits: Limits | None = None,
        *,
        concurrency: int = GRADINGS,
        timeout_s: float = TESTS_S,
        keep: Keep | None = None,
    ) -> None:
        limits = limits or Limits()
        self._backend, self._timeout_s, self._keep = backend, timeout_s, keep
        self._limits = replace(limits, **{name: max(getattr(limits, name), least) for name, least in _LEAST.items()})
        self._verdicts: Once[GradeReport] = Once(concurrency)
        self._controls: Once[tuple[str, int]] = Once(concurrency)

    async def grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        """The verdict on a patch. Raises `SandboxError`, and `ValueError` for a task that cannot be graded."""
        if not patch.strip():
            return GradeReport(False, reason="the patch is empty")
        if len(patch) > MAX_PATCH_CHARS:
            return GradeReport(False, reason=f"the patch is longer than {MAX_PATCH_CHARS} characters")
        return await self._verdicts.answer(_key(task, profile, patch), lambda: self._grade(task, profile, patch))

    async def close(self) -> None:
        """Give up the runs that are under way, and wait until their sandboxes are gone."""
        await asyncio.gather(self._verdicts.close(), self._controls.close())

    async def _grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        started = time.perf_counter()
        try:
            parts = parts_of(task, profile, patch)
            run = await self._run(task, profile, parts)
        except ForbiddenPatch as error:
            return replace(_tampered(str(error)), seconds=time.perf_counter() - started)
        except PatchError as error:
            return GradeReport(False, reason=str(error), seconds=time.perf_counter() - started)
        fared = await _fared(task, run)
        forgiven = (fared, run.process.exit_code) == _EXPECTED
        log = assembled(run.output, 0 if forgiven else run.process.exit_code)
        report = await self._report(task, profile, patch, run, fared, log)
        if self._keep is not None:
            self._keep(task, patch, f"{log}{_SPOILT}: {report.reason}\n" if report.tampered else log)
        left = ", ".join(parts.left_out)
        if left and not report.resolved:
            report = replace(report, reason=f"{report.reason} (left out of the patch: {left})")
        return replace(report, seconds=time.perf_counter() - started)

    async def _run(self, task: TaskInstance, profile: RepoProfile, parts: Parts) -> ScriptRun:
        sandbox = await self._backend.start(image_of(profile), self._limits, network=False)
        try:
            return await run_script(sandbox, task, parts, self._timeout_s)
        finally:
            await sandbox.stop()

    async def _report(
        self, task: TaskInstance, profile: RepoProfile, patch: str, run: ScriptRun, fared: str, log: str
    ) -> GradeReport:
        if run.broken_off:
            return GradeReport(False, reason=run.broken_off)
        if run.meddled:
            return _tampered(run.meddled)
        code = run.process.exit_code
        verdict = await to_thread(judge, task, log, patch)
        if verdict.resolved:
            against = await to_thread(contradicted, task, run.output)
            if against:
                return _tampered(f"the log says that {against[0]} failed, and that it passed")
            if run.canary and (fared, code) != _EXPECTED and (fared, code) != await self._control(task, profile):
                return _tampered(f"a test that must fail counts as {fared}, and the tests ended with exit code {code}")
        return _told(task, verdict, code)

    async def _control(self, task: TaskInstance, profile: RepoProfile) -> tuple[str, int]:
        """How the canary fares, and the exit code, where the gold patch is what was applied."""

        async def run() -> tuple[str, int]:
            done = await self._run(task, profile, parts_of(task, profile, task.patch))
            return await _fared(task, done), done.process.exit_code

        return await self._controls.answer(_key(task, profile, ""), run)


async def _fared(task: TaskInstance, run: ScriptRun) -> str:
    """How the canary did; empty where there is none."""
    if run.canary is None:
        return ""
    verdict = await to_thread(judge, task, assembled(run.process.stdout, 0), "")
    return run.canary.fared(verdict.statuses)


def _told(task: TaskInstance, verdict: Verdict, code: int) -> GradeReport:
    fail_to_pass, pass_to_pass = verdict.told(task.FAIL_TO_PASS), verdict.told(task.PASS_TO_PASS)
    failing = [test for test, status in fail_to_pass.items() if status != "passed"]
    broken = [test for test, status in pass_to_pass.items() if status not in ("passed", "skipped")]
    if verdict.resolved:
        reason = ""
    elif not verdict.readable:
        reason = f"the test run did not finish (exit code {code})"
    elif failing:
        reason = f"still failing: {_some(failing)}"
    else:
        reason = f"broken by the patch: {_some(broken)}"
    return GradeReport(verdict.resolved, fail_to_pass, pass_to_pass, reason)


def _some(tests: list[str]) -> str:
    return ", ".join(tests[:3]) + (f" and {len(tests) - 3} more" if len(tests) > 3 else "")


def _tampered(reason: str) -> GradeReport:
    return GradeReport(False, reason=reason, tampered=True)


def _key(task: TaskInstance, profile: RepoProfile, patch: str) -> str:
    parts: tuple[object, ...] = (task.model_dump_json(), image_of(profile), patch)
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()
