"""Test logs of the official harness and of SWE-smith grade as their reports say.

Short logs of our own in the real forms always run. Where real runs lie (`CONTEXTRL_HARNESS_RUNS`, or `shared/data`
beside the repository) they are graded too: `python -m benchmarks.harness_runs FOLDER` is the same check.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness_logs import CASES, SMITH, F, P, log_of

from benchmarks.harness_runs import compare
from envs.grading import swebench_verdict, swesmith_verdict
from envs.grading.swebench_verdict import VerdictError, contradicted, judge
from envs.task import TaskInstance

ROOT = Path(__file__).parents[2]
PLACES = (os.environ.get("CONTEXTRL_HARNESS_RUNS", ""), ROOT.parent / "shared" / "data")
REAL = next((Path(place) for place in PLACES if place and (Path(place) / "grader").is_dir()), None)


def task_of(case, **changes):
    lists = {F: case.tests(F), P: case.tests(P)}
    about = {"instance_id": "shop-1", "repo": case.repo, "base_commit": "0a1b2c", "problem_statement": "", "patch": "x"}
    return TaskInstance(**{**about, **lists, **changes})


@pytest.mark.parametrize("told_exit_code", [False, True], ids=["old log", "new log"])
@pytest.mark.parametrize("name", CASES)
def test_a_log_is_judged_test_by_test(name, told_exit_code):
    case = CASES[name]
    verdict = judge(task_of(case), log_of(case.output, case.exit_code if told_exit_code else None), "a patch")
    assert verdict.readable
    assert verdict.resolved == case.resolved
    for kind in (F, P):
        listed = verdict.report["tests_status"][kind]
        assert sorted(listed["success"]) == sorted(case.passing.get(kind, ()))
        assert sorted(listed["failure"]) == sorted(case.failing.get(kind, ()))
        assert all(status in ("passed", "skipped") for status in verdict.told(case.passing.get(kind, ())).values())
        assert "passed" not in verdict.told(case.failing.get(kind, ())).values()


def test_the_package_has_the_last_word_on_an_exit_code_that_no_failure_explains():
    case = CASES["requests, cut and shortened ids"]
    assert judge(task_of(case), log_of(case.output, 0), "a patch").resolved
    assert not judge(task_of(case), log_of(case.output, 2), "a patch").resolved


def test_a_log_that_broke_off_and_a_missing_patch_resolve_nothing():
    case = CASES["pytest, all well"]
    broken = judge(task_of(case), case.output, "a patch")
    assert not broken.readable and not broken.resolved and set(broken.told(case.tests(F)).values()) == {"missing"}
    assert judge(task_of(case), log_of(case.output), None).report["patch_is_None"]


def test_a_test_that_fails_and_passes_in_one_log_is_found_though_the_package_believes_the_last_line():
    case = CASES["pytest, one fails and one is not there"]
    test = "tests/test_cart.py::test_tax"
    task = task_of(case, FAIL_TO_PASS=(test,), PASS_TO_PASS=())
    forged = case.output + f"PASSED {test}\n"
    unrelated = forged + "FAILED tests/test_cart.py::test_other\n"
    assert judge(task, log_of(unrelated, 1), "a patch").resolved
    assert contradicted(task, forged) == [test]
    assert contradicted(task, case.output.replace("FAILED " + test, f"FAILED {test}\rPASSED {test}")) == [test]
    assert contradicted(task, case.output) == []


def test_ids_that_stand_for_several_tests_are_no_contradiction():
    case = CASES["pytest, a progress mark that was taken for a test"]
    assert contradicted(task_of(case), case.output + "FAILED [100%]\n") == []
    cut = CASES["requests, cut and shortened ids"]
    assert contradicted(task_of(cut), cut.output + "FAILED test_cart.py::test_total[a c] - assert\n") == []


def test_a_parser_that_nobody_has_is_told():
    case = CASES["django"]
    with pytest.raises(VerdictError, match="task shop-1 names the log parser 'parse_log_cobol'"):
        judge(task_of(case, log_parser="parse_log_cobol"), log_of(case.output), "a patch")
    with pytest.raises(VerdictError, match="nothing says how to read the test log of me/shop"):
        judge(task_of(case, repo="me/shop"), log_of(case.output), "a patch")
    assert judge(task_of(case, repo="me/shop", log_parser="parse_log_django"), log_of(case.output), "a patch").readable


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch):
    case = CASES["django"]
    monkeypatch.setitem(sys.modules, "swebench.harness.log_parsers", None)
    with pytest.raises(VerdictError, match=r"pip install 'contextrl\[swebench\]'"):
        judge(task_of(case), log_of(case.output), "a patch")


def test_the_package_is_imported_only_to_judge():
    code = "import sys, envs.grading.swebench_verdict; sys.exit('swebench' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    assert swebench_verdict.START.startswith(">>>>>")


def test_a_log_of_swe_smith_gives_its_report():
    tests = [f"tests/test_cart.py::test_{name}" for name in ("tax", "total", "known", "not_run")]
    report = swesmith_verdict.evaluation_report(log_of(SMITH.format(tax="PASSED")), tests[:1], tests[1:])
    assert report["resolved"] and report["tests_status"]["PASS_TO_PASS"] == {"success": tests[1:], "failure": []}
    report = swesmith_verdict.evaluation_report(log_of(SMITH.format(tax="FAILED")), tests[:1], tests[1:])
    assert not report["resolved"] and report["tests_status"]["FAIL_TO_PASS"] == {"success": [], "failure": tests[:1]}
    broken = swesmith_verdict.evaluation_report(SMITH.format(tax="PASSED"), tests[:1], tests[1:])
    assert not broken["resolved"] and "tests_status" not in broken


def test_a_validation_of_swe_smith_gives_its_lists():
    fails, passes = log_of(SMITH.format(tax="FAILED")), log_of(SMITH.format(tax="PASSED"))
    assert swesmith_verdict.validation_report(fails, passes) == {
        "FAIL_TO_PASS": ["tests/test_cart.py::test_tax"],
        "PASS_TO_PASS": ["tests/test_cart.py::test_total"],
        "FAIL_TO_FAIL": [],
        "PASS_TO_FAIL": [],
    }
    assert swesmith_verdict.validation_report(passes, fails)["PASS_TO_FAIL"] == ["tests/test_cart.py::test_tax"]
    assert len(swesmith_verdict.validation_report("", passes)["FAIL_TO_PASS"]) == 2


if REAL is not None:

    def test_real_runs_grade_as_their_reports_say():
        runs = compare(REAL)
        assert len(runs) >= 28 and sum(run.tests for run in runs) > 4000
        assert [(run.name, run.differences) for run in runs if run.differences] == []
