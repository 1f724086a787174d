"""What validation has shown is not run again, and nothing else is believed."""

from shop_repository import BROKEN, MONEY

from envs.grading.sandbox_grader import SandboxGrader
from envs.grading.validated import ValidatedGrader
from envs.patch import make_patch


def change(text):
    return make_patch({"shop/money.py": BROKEN}, {"shop/money.py": text})


async def test_the_gold_repair_needs_no_sandbox(backend, limits, task, profile):
    truly = await SandboxGrader(backend, limits).grade(task, profile, task.patch)
    backend.started.clear()
    report = await ValidatedGrader(SandboxGrader(backend, limits)).grade(task, profile, change(MONEY))
    assert report.resolved and backend.started == []
    assert (report.fail_to_pass, report.pass_to_pass) == (truly.fail_to_pass, truly.pass_to_pass)


async def test_everything_else_is_graded(backend, limits, task, profile):
    grader = ValidatedGrader(SandboxGrader(backend, limits))
    assert (await grader.grade(task, profile, change(MONEY + "# a remark\n"))).resolved
    assert not (await grader.grade(task, profile, change(BROKEN + "# a remark\n"))).resolved
    assert len(backend.started) == 2
    assert not (await grader.grade(task, profile, "")).resolved
    other = make_patch({"shop/money.py": BROKEN}, {"shop/money.py": MONEY, "shop/new.py": "x = 1\n"})
    assert (await grader.grade(task, profile, other)).resolved
    assert len(backend.started) == 3
