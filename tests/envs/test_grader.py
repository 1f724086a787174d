"""Verdicts from real test runs: the right patch, wrong ones, dishonest ones, and failures that are ours."""

import asyncio
from dataclasses import replace

import pytest
from shop_repository import BROKEN, MONEY, PREFIX, TESTS

from envs.grading.canaries import draw_plan
from envs.grading.policy import count_patch
from envs.grading.sandbox_grader import SandboxGrader, verdict
from envs.patch import PatchError, make_patch
from envs.testing.runner import Outcome
from sandbox.protocol import Limits, SandboxError


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
        ("def broken(:", "the test run did not finish"),
        (MONEY + "import os; os._exit(0)\n", "the test process was left without a word"),
        (MONEY + "import sys; sys.exit(0)\n", "the test run did not finish"),
        (BROKEN + "import unittest; raise unittest.SkipTest\n", "the test run did not finish"),
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
    assert report.resolved, report.reason
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
        ("nonsense", "the patch is no diff"),
        (make_patch({"tests/test_money.py": TESTS}, {"tests/test_money.py": ""}), "nothing but tests/test_money.py"),
        (new("tests/deep/helper.py"), "the patch changes nothing but tests/deep/helper.py, which decides how tests"),
        (new("shop/conftest.py"), "nothing but shop/conftest.py"),
        (new("evil.pth"), "makes evil.pth, which every Python would run at its start"),
        (new("unittest/__init__.py"), "makes unittest/__init__.py, which would stand in for another module"),
        (new("random.py"), "makes random.py, which would stand in for another module"),
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
    other = task.model_copy(update={"FAIL_TO_PASS": (PREFIX + "total",)})
    assert (await grader.grade(other, profile, task.patch)).resolved
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
        count_patch(task, profile.model_copy(update={"tree": tree}), patch)


def outcome(plan, results, code, **more):
    """A run as the guard sees it: every test as told, every twin failed."""
    runs = {}
    for name, status in results.items():
        letters = plan.get(PREFIX + name, "t")
        runs[PREFIX + name] = tuple(status if letter == "t" else "failed" for letter in letters)
    return Outcome("ok", code=code, runs=runs, **more)


PASSED = dict.fromkeys(["total", "no_prices", "change", "cart"], "passed")


@pytest.mark.parametrize(
    ("results", "resolved"),
    [
        (PASSED, True),
        ({**PASSED, "change": "skipped"}, True),
        ({**PASSED, "total": "skipped"}, False),
        ({**PASSED, "total": "xfail"}, False),
        ({**PASSED, "change": "xfail"}, True),
        ({name: "passed" for name in ("total", "no_prices", "change")}, False),
        ({**PASSED, "other": "failed"}, True),
        ({}, False),
    ],
)
def test_the_rule(task, results, resolved):
    plan = draw_plan(task)
    report = verdict(task, plan, outcome(plan, results, 1 if results else 0))
    assert report.resolved is resolved and bool(report.reason) is not resolved and not report.tampered


def test_every_test_has_twins_and_nobody_knows_which_run_is_one(task):
    plans = [draw_plan(task) for _ in range(40)]
    assert all(set(plan) == {*task.FAIL_TO_PASS, *task.PASS_TO_PASS} for plan in plans)
    assert all(runs.count("t") == 1 and runs.count("c") == 3 for plan in plans for runs in plan.values())
    assert len({runs for plan in plans for runs in plan.values()}) == 4
    many = task.model_copy(update={"FAIL_TO_PASS": tuple(f"t{i}" for i in range(100))})
    assert len(draw_plan(many)) == 24 + len(task.PASS_TO_PASS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda o: replace(o, runs={t: ("passed",) * len(r) for t, r in o.runs.items()}), "that must fail is reported"),
        (
            lambda o: replace(o, runs={t: (*r, "passed") for t, r in o.runs.items()}),
            "reported 5 times but was run 4",
        ),
        (lambda o: replace(o, code=0), "exit code 0 contradicts the results"),
        (lambda o: replace(o, changed=("assertEqual",)), "parts of the test runner were replaced: assertEqual"),
        (lambda o: replace(o, end="left"), "left without a word"),
    ],
)
def test_signs_of_meddling(task, change, reason):
    plan = draw_plan(task)
    honest = outcome(plan, PASSED, 1)
    assert verdict(task, plan, honest).resolved
    report = verdict(task, plan, change(honest))
    assert report.tampered and not report.resolved and reason in report.reason
