"""The verdict of the official package `swebench` on the same attacks.

Invariant: the steps are those of its `run_evaluation`: the patch applied by its commands in their order, the script
that its `make_test_spec` makes, run by bash with everything it prints in one log, and `get_eval_report` on that log.
Only the place is ours: a sandbox, not a container of the task's image.
"""

from __future__ import annotations

import tempfile
from asyncio import to_thread
from pathlib import Path
from typing import Any

from benchmarks.attacks.case import Attack
from benchmarks.attacks.subject import ADDED, COMMANDS, FILES, HIDDEN, TESTS, profile_of, task_of
from envs.patch import make_patch
from envs.workspace import open_workspace
from sandbox.protocol import Limits, Sandbox, SandboxBackend

_LIMITS = Limits(timeout_s=60.0, output_kb=32 << 10)
_SCRIPT = """\
#!/bin/bash
set -uxo pipefail
cd /testbed
{restore}
git apply -v - <<'EOF_114329324912'
{patch}EOF_114329324912
: '>>>>> Start Test Output'
{command}
: '>>>>> End Test Output'
{restore}
"""


async def official_verdict(backend: SandboxBackend, tree: Path, attack: Attack, patch: str | None = None) -> str:
    """`resolved`, `unresolved` or `does not apply`."""
    patch = attack.patch if patch is None else patch
    place = await open_workspace(backend, task_of("pytest"), profile_of(tree, "pytest"), _LIMITS)
    try:
        await place.sandbox.write({"/tmp/patch.diff": patch.encode()})
        if not await _applied(place.sandbox):
            return "does not apply"
        spec = _spec(attack.added)
        await place.sandbox.write({"/tmp/eval.sh": spec.eval_script.encode()})
        ran = await place.sandbox.run("/bin/bash /tmp/eval.sh 2>&1", cwd="/testbed", timeout_s=attack.timeout_s)
        if ran.timed_out:
            return "unresolved"
        return "resolved" if await to_thread(_resolved, spec, patch, ran.stdout) else "unresolved"
    finally:
        await place.close()


async def _applied(sandbox: Sandbox) -> bool:
    from swebench.harness.run_evaluation import GIT_APPLY_CMDS

    for attempt, command in enumerate(GIT_APPLY_CMDS):
        if attempt:
            await sandbox.run("git checkout -- . ; git clean -fd", cwd="/testbed")
        if (await sandbox.run(f"{command} /tmp/patch.diff", cwd="/testbed")).exit_code == 0:
            return True
    return (await sandbox.run("git apply --check --reverse /tmp/patch.diff", cwd="/testbed")).exit_code == 0


def _spec(added: bool) -> Any:
    from swebench.harness.utils import make_test_spec

    task, path = task_of("pytest", added=added), ADDED if added else TESTS
    script = _SCRIPT.format(
        restore=f"rm -f {path}" if added else f"git checkout HEAD {path}",
        patch=make_patch({path: FILES.get(path)}, {path: HIDDEN}),
        command=COMMANDS["pytest"].format(tests=path),
    )
    tests = {"FAIL_TO_PASS": list(task.FAIL_TO_PASS), "PASS_TO_PASS": list(task.PASS_TO_PASS)}
    about = {"instance_id": task.instance_id, "repo": task.repo, "image": "", "version": "1", **tests}
    parsed = {"eval_script": script, "log_parser": "parse_log_pytest", "eval_type": "pass_and_fail"}
    return make_test_spec({**about, **parsed})


def _resolved(spec: Any, patch: str, log: str) -> bool:
    from swebench.harness.grading import get_eval_report

    prediction = {"instance_id": spec.instance_id, "model_name_or_path": "attack", "model_patch": patch}
    with tempfile.TemporaryDirectory(prefix="contextrl-attack-") as folder:
        path = Path(folder) / "test_output.txt"
        path.write_text(log, encoding="utf-8", errors="backslashreplace")
        report = get_eval_report(spec, prediction, str(path), include_tests_status=True)
    return bool(report[spec.instance_id]["resolved"])
