"""One run of a task's tests by its evaluation script, from a pristine sandbox to the log.

Invariant: the files of tests are put in place after everything of the script's set-up has run, and looked at again
afterwards. The exit code is the sandbox's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from envs.grading.canary import Canary, canary_in
from envs.grading.scripted_files import Parts, put, read_texts
from envs.patch import PatchError
from envs.task import TaskInstance
from sandbox.protocol import ExecResult, Sandbox

_QUIET = "export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1\n"
"""The network is closed: an installation that would need it ends at once and leaves the image's own."""
_ENDS = "Patch Apply Failed|Reset Failed|Tests Errored|Tests Timed Out"
_MARKER = re.compile(f">>>>> (Start Test Output|End Test Output|Test Exit Code|{_ENDS})")


@dataclass(frozen=True)
class ScriptRun:
    """What a run came to."""

    process: ExecResult
    canary: Canary | None = None
    changed: tuple[str, ...] = ()
    """Files of tests that were others after it."""

    @property
    def output(self) -> str:
        """The test log without the canary."""
        return self.canary.without(self.process.stdout) if self.canary else self.process.stdout

    @property
    def broken_off(self) -> str:
        """Why there is no whole log; empty where there is."""
        if self.process.timed_out:
            return "the tests ran out of time"
        return "the tests printed more than the grader keeps" if self.process.dropped_bytes else ""

    @property
    def meddled(self) -> str:
        """What shows that the run was interfered with; empty where nothing does."""
        marker = _MARKER.search(self.process.stdout)
        if marker:
            return f"the tests printed the harness's own line {marker[0]!r}"
        return f"the file of tests {self.changed[0]} was another after the run" if self.changed else ""


async def run_script(sandbox: Sandbox, task: TaskInstance, parts: Parts, timeout_s: float) -> ScriptRun:
    """Run it. Raises `PatchError` for a patch that cannot count, `ScriptError` for the task's fault, `SandboxError`."""
    script = parts.script
    originals = await read_texts(sandbox, parts.paths)
    shown = parts.shown(originals)
    before = {**originals, **shown}
    tests = parts.tests(before)
    await put(sandbox, {**shown, **parts.files(before)})
    ready = await sandbox.run(_QUIET + script.setup, timeout_s=timeout_s)
    if ready.timed_out:
        return ScriptRun(ready)
    listed = (*task.FAIL_TO_PASS, *task.PASS_TO_PASS)
    canary = canary_in(tests, script.test, listed) if script.runs_whole_files else None
    tests = {**tests, **({canary.path: canary.text} if canary else {})}
    await put(sandbox, tests)
    process = await sandbox.run(f"{{ {script.test}\n}} 2>&1", timeout_s=timeout_s)
    return ScriptRun(process, canary, await _changed(sandbox, tests))


async def _changed(sandbox: Sandbox, tests: Mapping[str, str | None]) -> tuple[str, ...]:
    """Programs among the test files that are not what was put there. Data may be written by the tests themselves."""
    changed = []
    for path in (path for path in tests if path.endswith(".py")):
        try:
            now = (await read_texts(sandbox, [path]))[path]
        except PatchError:  # a link, a folder, a pipe
            now = None
        changed += [path] if now != tests[path] else []
    return tuple(changed)
