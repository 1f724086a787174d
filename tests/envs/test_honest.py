"""Honest repairs of repositories that test in every way there is: always 1; the bug itself: always 0, untampered."""

import sys

import pytest
from honest_tests import CASES, UNITTEST
from shop_repository import BROKEN, MONEY

from envs.grading.sandbox_grader import SandboxGrader
from envs.patch import make_patch
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Job, run_jobs
from sandbox.protocol import Limits

SOURCE, TESTS = "shop/money.py", "tests/test_money.py"
EVERY = [(name, "pytest", files) for name, files in CASES.items()]
EVERY += [(name, "unittest", files) for name, files in UNITTEST.items()]


def repository(folder, files, runner):
    folder.chmod(0o755)
    for path, text in {"shop/__init__.py": "", SOURCE: MONEY, "tests/__init__.py": "", **files}.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    command = "python -m pytest -rA {tests}" if runner == "pytest" else "python -m unittest -v {tests}"
    return RepoProfile(
        name=f"honest-{abs(hash(str(folder)))}",
        source=str(folder),
        base_commit="5b0" + "3" * 37,
        tree=folder,
        python=sys.executable,
        test_cmd=command,
        log_parser=runner,
        source_files=(SOURCE,),
        test_files=(TESTS,),
    )


async def task_of(profile, backend):
    """A task as the pipeline makes it: what its tests do with the bug and without."""
    jobs = [Job((TESTS,)), Job((TESTS,), {SOURCE: BROKEN})]
    right, wrong = await run_jobs(profile, jobs, backend=backend, workers=1)
    assert right.end == wrong.end == "ok", (right, wrong)
    return TaskInstance(
        instance_id="honest",
        repo=profile.name,
        base_commit=profile.base_commit,
        problem_statement="total([1, 2], 4) gives -1, expected 7.\n",
        patch=make_patch({SOURCE: BROKEN}, {SOURCE: MONEY}),
        FAIL_TO_PASS=tuple(t for t in right.statuses if t in right.passed - wrong.passed),
        PASS_TO_PASS=tuple(t for t in right.statuses if t in right.passed & wrong.passed),
        profile=profile.name,
        setup={SOURCE: BROKEN},
        test_targets=(TESTS,),
    )


@pytest.mark.parametrize(("runner", "files"), [pytest.param(r, f, id=f"{r}, {n}") for n, r, f in EVERY])
async def test_a_repair_is_resolved_and_no_repair_is_not(backend, tmp_path, runner, files):
    profile = repository(tmp_path, files, runner)
    task = await task_of(profile, backend)
    assert task.FAIL_TO_PASS and task.PASS_TO_PASS, task
    grader = SandboxGrader(backend, Limits(timeout_s=30.0))
    report = await grader.grade(task, profile, task.patch)
    assert report.resolved, (report.reason, report)
    remark = make_patch({SOURCE: BROKEN}, {SOURCE: BROKEN + "# a remark\n"})
    report = await grader.grade(task, profile, remark)
    assert not report.resolved and not report.tampered, report
    await grader.close()
