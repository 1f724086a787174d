"""The verdict on a patch: its tests, run in a sandbox that the agent never touched.

Invariant: of the patch only text files count, and none that decides how tests are run; the results come from a process
that runs none of its code; a run in which anything shows that results were forged resolves nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import replace

from envs.grading.canaries import draw_plan, judge
from envs.grading.hidden import hidden_job, hidden_reason
from envs.grading.once import Once
from envs.grading.own_ways import OwnWays, in_doubt
from envs.grading.policy import Counted, NothingCounts, count_patch
from envs.grading.protocol import GRADINGS, LOG_KB, GradeReport
from envs.patch import PatchError
from envs.runtime import image_of
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Job, Outcome, place_driver, run_in
from sandbox.protocol import Limits, SandboxBackend

logger = logging.getLogger(__name__)
_MEMORY_MB = 4096
"""Address space of the tests; what they may really use is the sandbox's limit."""


class SandboxGrader:
    """Grades patches, `concurrency` at a time, each different one once. Belongs to one event loop."""

    def __init__(self, backend: SandboxBackend, limits: Limits | None = None, *, concurrency: int = GRADINGS) -> None:
        limits = limits or Limits()
        self._backend = backend
        self._limits = replace(limits, output_kb=max(limits.output_kb, LOG_KB))
        self._verdicts: Once[GradeReport] = Once(concurrency)
        self._own: Once[OwnWays] = Once(concurrency)

    async def grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        """The verdict on a patch to what the task shows. Equal questions are answered by one run, also when they
        come at the same time. Raises `SandboxError`; a run that was asked for goes on if its asker is cancelled.
        """
        hashes = _hashes(task, profile, patch)
        try:
            counted = count_patch(task, profile, patch)
        except NothingCounts as error:
            return GradeReport(False, reason=str(error), dropped=error.dropped, hashes=hashes)
        except PatchError as error:
            return GradeReport(False, reason=str(error), hashes=hashes)
        if counted.meddling:
            tampered = GradeReport(False, reason=counted.meddling, tampered=True)
            return replace(tampered, dropped=counted.dropped, hashes=hashes)
        key = _key(task, profile, counted.files)
        report = await self._verdicts.answer(key, lambda: self._grade(task, profile, counted))
        return replace(report, dropped=counted.dropped, hashes=hashes)

    async def close(self) -> None:
        """Give up the runs that are under way, and wait until their sandboxes are gone."""
        await asyncio.gather(self._verdicts.close(), self._own.close())

    async def _grade(self, task: TaskInstance, profile: RepoProfile, counted: Counted) -> GradeReport:
        started = time.perf_counter()
        plan = draw_plan(task)
        outcomes = await self._run(task, profile, counted.files, plan)
        report = verdict(task, plan, outcomes[0])
        if in_doubt(plan, outcomes[0], report):
            own = await self._own.answer(_key(task, profile, {}), lambda: self._own_ways(task, profile))
            if not own.twins:
                plan = {}
                outcomes = await self._run(task, profile, counted.files, plan)
            report = verdict(task, plan, own.excuse(outcomes[0]))
        if report.resolved and task.hidden:
            reason = hidden_reason(task, outcomes[1])
            report = replace(report, resolved=not reason, reason=reason)
        logger.debug("%s: %s", task.instance_id, report.reason or "resolved")
        return replace(report, seconds=time.perf_counter() - started)

    async def _own_ways(self, task: TaskInstance, profile: RepoProfile) -> OwnWays:
        own = OwnWays()
        try:
            gold = count_patch(task, profile, task.patch).files
        except PatchError:  # nothing to compare with
            return own
        for plan in (draw_plan(task), draw_plan(task)):  # twins lie otherwise: what passes once may fail
            outcome = (await self._run(task, profile, gold, plan))[0]
            own = OwnWays(own.replaced.union(outcome.changed))
            if not verdict(task, plan, own.excuse(outcome)).resolved:
                alone = (await self._run(task, profile, gold, {}))[0]
                return replace(own, twins=not verdict(task, {}, own.excuse(alone)).resolved)
        return own

    async def _run(
        self, task: TaskInstance, profile: RepoProfile, files: Mapping[str, str | None], plan: Mapping[str, str]
    ) -> list[Outcome]:
        """What the tests did, and the hidden calls where the task has them."""
        tests = Job(
            task.test_targets or profile.test_files,
            cpu_s=self._limits.timeout_s,
            wall_s=self._limits.timeout_s,
            memory_mb=max(_MEMORY_MB, self._limits.memory_mb),
            plan=plan,
        )
        jobs = [tests, hidden_job(task)] if task.hidden else [tests]
        sandbox = await self._backend.start(image_of(profile), self._limits, network=False)  # whatever the task had
        try:
            everything = {**task.setup, **files, **task.tests}
            await sandbox.write({p: None if text is None else text.encode() for p, text in everything.items()})
            await place_driver(sandbox)
            outcomes = await run_in(sandbox, profile, jobs)
            return outcomes + [Outcome("crash")] * (len(jobs) - len(outcomes))
        finally:
            await sandbox.stop()


def verdict(task: TaskInstance, plan: Mapping[str, str], outcome: Outcome) -> GradeReport:
    """SWE-bench's rule: FAIL_TO_PASS all pass, PASS_TO_PASS all pass or are skipped, and nothing shows meddling."""
    judged = judge(plan, outcome)
    fail_to_pass = {test: judged.statuses.get(test, "missing") for test in task.FAIL_TO_PASS}
    pass_to_pass = {test: judged.statuses.get(test, "missing") for test in task.PASS_TO_PASS}
    failing = [test for test, status in fail_to_pass.items() if status != "passed"]  # xfail: the patch may have said so
    broken = [test for test, status in pass_to_pass.items() if status not in ("passed", "xfail", "skipped")]
    if judged.meddling:
        reason = judged.meddling
    elif outcome.end in ("cpu", "wall"):
        reason = "the tests ran out of time"
    elif outcome.end != "ok" or outcome.code not in (0, 1):
        reason = "the test run did not finish"
    elif failing:
        reason = f"still failing: {_some(failing)}"
    elif broken:
        reason = f"broken by the patch: {_some(broken)}"
    else:
        reason = ""
    return GradeReport(not reason, fail_to_pass, pass_to_pass, reason, tampered=bool(judged.meddling))


def _some(tests: list[str]) -> str:
    more = f" and {len(tests) - 3} more" if len(tests) > 3 else ""
    return ", ".join(tests[:3]) + more


def _key(task: TaskInstance, profile: RepoProfile, files: Mapping[str, str | None]) -> str:
    runner = (image_of(profile), profile.test_cmd, profile.log_parser, profile.test_files)
    return _digest(task.model_dump_json(), repr(runner), *map(repr, sorted(files.items())))


def _hashes(task: TaskInstance, profile: RepoProfile, patch: str) -> dict[str, str]:
    tests = (*task.FAIL_TO_PASS, *task.PASS_TO_PASS, *map(repr, sorted(task.tests.items())))
    return {"image": image_of(profile).name, "patch": _digest(patch), "tests": _digest(*tests)}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
