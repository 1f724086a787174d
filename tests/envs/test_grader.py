"""Verdicts from real test runs: the right patch, wrong ones, dishonest ones, and failures that are ours."""

import asyncio

import pytest
from shop_repository import BROKEN, MONEY, PREFIX, TESTS

from envs.grader import SandboxGrader, patched_files, verdict
from envs.patch import PatchError, make_patch
from envs.runtime import TestRun
from envs.testlog import TestLog
from sandbox.protocol import ExecResult, Limits, SandboxError


def change(**files):
    """A patch to what the task shows: file name (money -> shop/money.py) -> new text."""
    before = {"shop/money.py": BROKEN, "tests/test_money.py": TESTS}
    after = {f"shop/{name}.py": text for name, text in files.items()}
    return make_patch({path: before.get(path) for path in after}, after)


@pytest.fixture
async def grader(backend, limits):
    grader = SandboxGrader(backend, limits)
    yield grader
    await grader.close()


async def test_the_gold_patch_is_resolved(grader, task, profile):
    report = await grader.grade(task, profile, task.patch)
    assert report.resolved and report.reason == ""
    assert report.fail_to_pass == dict.fromkeys(task.FAIL_TO_PASS, "passed")
    assert report.pass_to_pass == dict.fromkeys(task.PASS_TO_PASS, "passed")
    assert report.seconds > 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BROKEN + "# a remark\n", f"still failing: {PREFIX}total, {PREFIX}no_prices"),
        (BROKEN.replace("sum(prices) - tax", "7"), f"still failing: {PREFIX}no_prices"),  # the hidden test
        (MONEY.replace("paid - price", "price"), f"broken by the patch: {PREFIX}change"),
        ("def broken(:", "the test run did not finish (exit code 1)"),
        (MONEY + "import os; os._exit(0)\n", "the test run did not finish (exit code 0)"),
        (MONEY + "import sys; sys.exit(0)\n", "the test run did not finish (exit code 0)"),
        (MONEY + "import atexit, os; atexit.register(os._exit, 3)\n", "exit code 3 contradicts the log (0 failing)"),
        (BROKEN + "import unittest; raise unittest.SkipTest\n", "the test run did not finish (exit code 1)"),
    ],
)
async def test_a_patch_that_does_not_repair(grader, task, profile, text, reason):
    report = await grader.grade(task, profile, change(money=text))
    assert not report.resolved and report.reason == reason


async def test_printing_success_beside_a_failure_does_not_help(grader, task, profile):
    forged = f"import sys\nprint('test_total ({PREFIX}total) ... ok', file=sys.stderr)\n"
    report = await grader.grade(task, profile, change(money=BROKEN + forged))
    assert report.fail_to_pass[PREFIX + "total"] == "failed" and not report.resolved


async def test_a_repository_with_pytest(grader, task, profile):
    ids = {"FAIL_TO_PASS": "total no_prices", "PASS_TO_PASS": "change cart"}
    update = {key: tuple(f"tests/test_money.py::Money::test_{n}" for n in names.split()) for key, names in ids.items()}
    pytest_task = task.model_copy(update=update)
    runner = {"test_cmd": "python -m pytest -rA {tests}", "log_parser": "pytest"}
    report = await grader.grade(pytest_task, profile.model_copy(update=runner), task.patch)
    assert report.resolved, report
    report = await grader.grade(pytest_task, profile.model_copy(update=runner), change(money=BROKEN + "# a remark\n"))
    assert report.reason == f"still failing: {', '.join(update['FAIL_TO_PASS'])}"


async def test_running_out_of_time(backend, task, profile):
    grader = SandboxGrader(backend, Limits(timeout_s=1.0))
    report = await grader.grade(task, profile, change(money=MONEY + "while True: pass\n"))
    assert report.reason == "the tests ran out of time" and not report.resolved


def new(path):
    return make_patch({}, {path: "x = 1\n"})


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("", "the patch is empty"),
        (" \n", "the patch is empty"),
        ("nonsense", "the patch changes nothing"),
        (make_patch({"tests/test_money.py": TESTS}, {"tests/test_money.py": ""}), "touches tests/test_money.py"),
        (new("tests/deep/helper.py"), "touches tests/deep/helper.py"),
        (new("shop/conftest.py"), "touches shop/conftest.py"),
        (new("setup.cfg"), "touches setup.cfg"),
        (new("evil.pth"), "touches evil.pth"),
        (new("unittest/__init__.py"), "touches unittest/__init__.py"),
        (new("unittest.py"), "touches unittest.py"),
        (new("shop/money.py"), "the patch does not apply: shop/money.py: the patch creates a file that is there"),
        (new("shop/money.py/x.py"), "the patch does not apply: a folder of shop/money.py/x.py is a file"),
        (new("shop"), "the patch does not apply: shop is not a regular file"),
        (make_patch({"shop/money.py": MONEY}, {"shop/money.py": "x"}), "does not apply: shop/money.py: hunk 1"),
        (make_patch({}, {"big.txt": "x" * (1 << 21)}), "is longer than"),
    ],
)
async def test_patches_that_never_reach_a_sandbox(grader, backend, task, profile, patch, reason):
    report = await grader.grade(task, profile, patch)
    assert not report.resolved and reason in report.reason
    assert backend.started == []


async def test_equal_patches_are_graded_once(grader, backend, task, profile):
    wrong = change(money=BROKEN + "# a remark\n")
    reports = await asyncio.gather(*(grader.grade(task, profile, p) for p in [task.patch, wrong, task.patch] * 3))
    assert [report.resolved for report in reports] == [True, False, True] * 3
    assert (await grader.grade(task, profile, task.patch)).resolved
    assert len(backend.started) == 2
    other = task.model_copy(update={"FAIL_TO_PASS": (PREFIX + "gone",)})
    assert not (await grader.grade(other, profile, task.patch)).resolved
    assert len(backend.started) == 3


class FailingBackend:
    """Fails as often as told, then hands over to the real one."""

    def __init__(self, backend, failures):
        self.backend, self.failures = backend, failures

    async def start(self, image, limits, *, network=False):
        self.failures -= 1
        if self.failures >= 0:
            raise SandboxError("no space")
        return await self.backend.start(image, limits)


async def test_a_failing_sandbox_is_no_verdict(backend, task, profile):
    grader = SandboxGrader(FailingBackend(backend, 1))
    first, second = await asyncio.gather(
        *(grader.grade(task, profile, task.patch) for _ in range(2)), return_exceptions=True
    )
    assert isinstance(first, SandboxError) and isinstance(second, SandboxError)
    assert (await grader.grade(task, profile, task.patch)).resolved


async def test_closing_gives_up_what_runs(backend, task, profile):
    grader = SandboxGrader(backend)
    endless = asyncio.create_task(grader.grade(task, profile, change(money=MONEY + "while True: pass\n")))
    await backend.has_started.wait()
    await grader.close()
    with pytest.raises(asyncio.CancelledError):
        await endless
    assert await backend.alive() == []


def test_a_link_in_the_repository_is_not_followed(task, profile, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "secret").write_text("x\n")
    (tree / "link").symlink_to(tmp_path / "secret")
    patch = make_patch({"link": "x\n"}, {"link": "y\n"})
    with pytest.raises(PatchError, match="link is not a regular file"):
        patched_files(task, profile.model_copy(update={"tree": tree}), patch)


@pytest.mark.parametrize(
    ("results", "exit_code", "resolved"),
    [
        ({"total": "passed", "no_prices": "passed", "change": "passed", "cart": "passed"}, 0, True),
        ({"total": "passed", "no_prices": "passed", "change": "skipped", "cart": "passed"}, 0, True),
        ({"total": "skipped", "no_prices": "passed", "change": "passed", "cart": "passed"}, 0, False),
        ({"total": "passed", "no_prices": "passed", "change": "passed"}, 0, False),
        ({"total": "passed", "no_prices": "passed", "change": "passed", "cart": "passed", "other": "failed"}, 1, True),
        ({"total": "passed", "no_prices": "passed", "change": "passed", "cart": "passed", "other": "failed"}, 0, False),
        ({"total": "passed", "no_prices": "passed", "change": "passed", "cart": "passed"}, 1, False),
        ({}, 0, False),
    ],
)
def test_the_rule(task, results, exit_code, resolved):
    log = TestLog({PREFIX + name: status for name, status in results.items()}, finished=True)
    report = verdict(task, TestRun(ExecResult(exit_code, "", "", 0.1), log))
    assert report.resolved is resolved and bool(report.reason) is not resolved
