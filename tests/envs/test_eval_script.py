"""Tasks with an evaluation script: an honest repair resolves, what forges results does not and is told of."""

import asyncio
import sys
from pathlib import Path

import pytest
from scripted_shop import (
    BROKEN,
    FILES,
    GOLD,
    MONEY,
    NEW_TESTS,
    PYTEST,
    READY,
    SOURCE,
    TESTS,
    files_patch,
    script,
    scripted_task,
)

from envs.grading.eval_script import EvalScriptGrader
from envs.grading.script import ScriptError, split_script
from envs.grading.swebench_verdict import judge
from envs.patch import make_patch, touched_files
from envs.task import RepoProfile


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    tree = tmp_path_factory.mktemp("scripted")
    tree.chmod(0o755)
    for path, text in FILES.items():
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_text(text)
    return RepoProfile(
        name="scripted-shop",
        source=str(tree),
        base_commit="5b0" + "1" * 37,
        tree=tree,
        python=Path(sys.executable),
        test_cmd="python -m pytest {tests}",
        test_files=(TESTS,),
    )


@pytest.fixture
async def grader(backend, limits):
    grader = EvalScriptGrader(backend, limits, timeout_s=60)
    yield grader
    await grader.close()


async def test_the_gold_patch_resolves_and_the_report_tells_every_test(grader, shop):
    report = await grader.grade(scripted_task(), shop, GOLD)
    assert report.resolved and not report.tampered and report.reason == ""
    assert report.fail_to_pass == {f"{TESTS}::test_total": "passed"}
    assert report.pass_to_pass == {f"{TESTS}::test_change": "passed"}


WRONG = make_patch({SOURCE: BROKEN}, {SOURCE: BROKEN.replace("- tax", "- tax - 0")})


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("", "the patch is empty"),
        (WRONG, f"still failing: {TESTS}::test_total"),
        (files_patch({SOURCE: MONEY.replace("paid - price", "paid")}), f"broken by the patch: {TESTS}::test_change"),
        (files_patch({SOURCE: "def total(:\n"}), "still failing"),
        (files_patch({SOURCE: MONEY + "while True: pass\n"}), "the tests ran out of time"),
        (WRONG.replace("def total", "def sum_up"), "the patch does not apply"),
        ("nonsense", "the patch"),
    ],
    ids=["empty", "no repair", "another test broken", "no Python", "endless", "for another file", "no patch"],
)
async def test_what_repairs_nothing_is_unresolved_and_no_tampering(backend, limits, shop, patch, reason):
    grader = EvalScriptGrader(backend, limits, timeout_s=8)
    report = await grader.grade(scripted_task(), shop, patch)
    assert not report.resolved and not report.tampered
    assert reason in report.reason


HOOK = """\
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    outcome.get_result().outcome = "passed"
"""
ALL_PASS = """
import atexit, os, sys
LINES = "".join(f"PASSED tests/test_money.py::test_{name}\\n" for name in ("total", "change"))
"""
TAMPERING = {
    "prints the end marker": ALL_PASS
    + 'atexit.register(lambda: os.write(1, (LINES + ">>>>> End Test Output\\n").encode()))\n',
    "prints an exit code": "import atexit, os\natexit.register(lambda: os.write(1, b'>>>>> Test Exit Code: 0\\n'))\n",
    "prints PASSED after the failure": ALL_PASS + "atexit.register(lambda: os.write(1, LINES.encode()))\n",
    "prints PASSED and leaves early": ALL_PASS
    + "atexit.register(lambda: (os.write(1, LINES.encode()), os._exit(0)))\n",
    "prints PASSED before any test runs": ALL_PASS
    + "import glob\n"
    + "for fd in range(3, 12):\n    try: os.write(fd, LINES.encode())\n    except OSError: pass\n"
    + "os.write(1, LINES.encode()); os._exit(0)\n",
    "makes pytest run nothing": "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n",
    "makes every report pass": "import _pytest.reports as r\nold = r.TestReport.from_item_and_call.__func__\n"
    + "def new(cls, item, call):\n    call.excinfo = None\n    return old(cls, item, call)\n"
    + "r.TestReport.from_item_and_call = classmethod(new)\n",
    "writes over the tests": f"import pathlib\npathlib.Path('/testbed/{TESTS}').write_text('def test_total(): pass')\n",
}


@pytest.mark.parametrize("name", TAMPERING)
async def test_a_source_that_meddles_is_not_resolved(grader, shop, name):
    report = await grader.grade(scripted_task(), shop, files_patch({SOURCE: BROKEN + TAMPERING[name]}))
    assert not report.resolved, report
    assert report.tampered, report.reason


OTHER_TESTS = "def test_total(): pass\ndef test_change(): pass\n"
LEFT_OUT = {"setup.py": "raise SystemExit\n", TESTS: OTHER_TESTS, "tox.ini": "[tox]\n"}
MEDDLING = {
    "conftest.py": HOOK,
    "tests/conftest.py": HOOK,
    "pytest.ini": "[pytest]\naddopts = -p evil\n",
    "setup.cfg": "[tool:pytest]\naddopts = --co\n",
    "sitecustomize.py": "import os\n",
    "pytest/__main__.py": "print('PASSED tests/test_money.py::test_total')\n",
}


@pytest.mark.parametrize("path", LEFT_OUT)
async def test_what_decides_how_tests_run_is_left_out_of_the_patch(grader, shop, path):
    alone = await grader.grade(scripted_task(), shop, files_patch({path: LEFT_OUT[path]}))
    assert not alone.resolved and f"the patch touches only what decides how tests are run: {path}" in alone.reason
    beside = files_patch({path: LEFT_OUT[path], "README.md": "A better shop.\n"})
    report = await grader.grade(scripted_task(), shop, beside)
    assert not report.resolved and report.reason.endswith(f"(left out of the patch: {path})")


@pytest.mark.parametrize("path", MEDDLING)
async def test_what_has_no_honest_purpose_is_meddling(grader, shop, path):
    report = await grader.grade(scripted_task(), shop, files_patch({path: MEDDLING[path], SOURCE: MONEY}))
    assert report.tampered and not report.resolved and path in report.reason


async def test_a_repair_that_also_brings_tests_of_its_own_resolves(grader, shop):
    both = files_patch({SOURCE: MONEY, TESTS: "def test_total(): pass\n", "tests/test_more.py": "import nothing\n"})
    assert (await grader.grade(scripted_task(), shop, both)).resolved


async def test_what_the_gold_patch_changes_may_be_changed(grader, shop):
    gold = files_patch({SOURCE: MONEY, "setup.cfg": "[metadata]\n"})
    assert (await grader.grade(scripted_task(patch=gold), shop, gold)).resolved


async def test_a_unittest_log_gets_its_canary_as_a_case(grader, shop):
    cases = "import unittest\nfrom shop.money import total\n\n\nclass Money(unittest.TestCase):\n"
    cases += "    def test_total(self):\n        self.assertEqual(total([1, 2], 4), 7)\n"
    new = make_patch({TESTS: FILES[TESTS]}, {TESTS: cases})
    task = scripted_task(
        test_patch=new,
        eval_script=script("python -m unittest -v tests.test_money", new),
        log_parser="parse_log_django",
        FAIL_TO_PASS=(f"test_total (tests.test_money.Money{'.test_total' * (sys.version_info >= (3, 11))})",),
        PASS_TO_PASS=(),
    )
    assert (await grader.grade(task, shop, GOLD)).resolved
    assert "still failing" in (await grader.grade(task, shop, WRONG)).reason
    quiet = "import unittest\nunittest.TestCase.run = lambda self, result=None: result.addSuccess(self)\n"
    forged = await grader.grade(task, shop, files_patch({SOURCE: BROKEN + quiet}))
    assert not forged.resolved and forged.tampered


@pytest.mark.parametrize("command", [f"{PYTEST} || true", f"{PYTEST}::test_total {PYTEST.split()[-1]}::test_change"])
async def test_a_command_that_cannot_bear_a_canary_is_graded_without_one(grader, shop, command):
    task = scripted_task(eval_script=script(command))
    assert (await grader.grade(task, shop, GOLD)).resolved
    assert not (await grader.grade(task, shop, WRONG)).resolved


async def test_a_log_that_is_kept_is_judged_alike_by_the_official_package(backend, limits, shop):
    kept = []
    grader = EvalScriptGrader(backend, limits, keep=lambda task, patch, log: kept.append(log))
    task, meddles = scripted_task(), BROKEN + TAMPERING["makes pytest run nothing"]
    assert (await grader.grade(task, shop, GOLD)).resolved
    assert not (await grader.grade(task, shop, WRONG)).resolved
    assert (await grader.grade(task, shop, files_patch({SOURCE: meddles}))).tampered
    assert [judge(task, log, "a patch").resolved for log in kept] == [True, False, False]
    assert "counts as passed" in kept[2] and "1 failed, 2 passed" in kept[0]
    await grader.close()


async def test_the_same_question_is_run_once_and_answered_alike(backend, grader, shop):
    reports = await asyncio.gather(*(grader.grade(scripted_task(), shop, GOLD) for _ in range(3)))
    assert len(backend.started) == 1 and len(set(map(id, reports))) == 1


async def test_the_script_s_own_patch_brings_the_tests_where_the_task_has_none(grader, shop):
    assert (await grader.grade(scripted_task(test_patch=""), shop, GOLD)).resolved


async def test_a_bug_that_the_image_lacks_is_put_there_first(grader, shop):
    other = BROKEN.replace("paid - price", "price - paid")
    task = scripted_task(
        bug_patch=make_patch({SOURCE: BROKEN}, {SOURCE: other}), patch=make_patch({SOURCE: other}, {SOURCE: MONEY})
    )
    assert (await grader.grade(task, shop, task.patch)).resolved
    assert "broken by the patch" in (await grader.grade(task, shop, GOLD)).reason


async def test_tests_that_lie_in_the_image_are_kept_as_they_are(grader, tmp_path_factory, shop):
    """SWE-smith's tasks bring no test patch."""
    tree = tmp_path_factory.mktemp("smith")
    tree.chmod(0o755)
    for path, text in {**FILES, "test_money.py": NEW_TESTS}.items():
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_text(text)
    image = shop.model_copy(update={"tree": tree, "name": "smith-shop", "test_files": ()})
    ids = {"FAIL_TO_PASS": ("test_money.py::test_total",), "PASS_TO_PASS": ("test_money.py::test_change",)}
    command = PYTEST.replace("tests/", "")
    task = scripted_task(**ids, test_patch="", eval_script=script(command, "").replace("git apply", ": git apply"))
    assert (await grader.grade(task, image, GOLD)).resolved
    weak = make_patch(
        {"test_money.py": NEW_TESTS, SOURCE: BROKEN}, {"test_money.py": OTHER_TESTS, SOURCE: BROKEN + "#\n"}
    )
    report = await grader.grade(task, image, weak)
    assert report.reason.endswith("test_total (left out of the patch: test_money.py)")
    forged = files_patch({SOURCE: BROKEN + TAMPERING["makes pytest run nothing"]})
    assert (await grader.grade(task, image, forged)).tampered


async def test_a_task_whose_own_parts_do_not_fit_is_told_by_name(grader, shop):
    other = make_patch({TESTS: "x\n"}, {TESTS: "y\n"})
    with pytest.raises(ScriptError, match="task me__shop-1: its test_patch does not apply"):
        await grader.grade(scripted_task(test_patch=other), shop, GOLD)
    with pytest.raises(ScriptError, match="needs one line with '>>>>> Start Test Output'"):
        await grader.grade(scripted_task(eval_script="pytest\n"), shop, GOLD)


def test_a_script_falls_into_set_up_tests_and_the_patch_that_brings_them():
    parts = split_script(script())
    assert parts.test == PYTEST and parts.runs_whole_files
    assert touched_files(parts.patch) == [TESTS]
    assert "git apply" not in parts.setup and "EOF" not in parts.setup and READY in parts.setup
    assert NEW_TESTS not in parts.setup


@pytest.mark.parametrize(
    ("command", "whole"),
    [
        ("PYTHONWARNINGS='ignore::UserWarning' bin/test -C --verbose sympy/core/tests/test_basic.py", True),
        ("tox --current-env -epy39 -v -- tests/test_domain_py.py", True),
        ("python -m unittest -v tests.test_money", True),
        ("python -m pytest -k total tests", False),
        ("pytest -x tests", False),
        ("pytest --maxfail=1 tests", False),
        ("pytest tests/test_money.py::test_total", False),
        ("pytest 'tests", False),
    ],
)
def test_a_command_tells_whether_it_would_run_a_test_more(command, whole):
    assert split_script(script(command)).runs_whole_files == whole
