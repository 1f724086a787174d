"""SWE-smith's own rules for its own logs and reports.

Invariant: a log of SWE-smith's `pytest --verbose` gives the report that SWE-smith gives. These rules are there to read
and check its reports: a test that is missing from the log counts as passed, which is no rule to grade a policy by. The
package itself cannot be installed beside swebench 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from envs.grading.swebench_verdict import END, START

_STATUS = re.compile(r"^(\S+)\s+(PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")
_BROKEN_OFF = (">>>>> Patch Apply Failed", ">>>>> Tests Timed Out")


def test_output(log: str) -> str | None:
    """What stands between the markers as `bash -x` shows them; None where the run broke off."""
    start, end = f"+ : '{START}'", f"+ : '{END}'"
    if any(sign in log for sign in _BROKEN_OFF) or not log.find(start) < log.rfind(end) or start not in log:
        return None
    return log.partition(start)[2].partition(end)[0]


test_output.__test__ = False  # type: ignore[attr-defined]


def parse_log(text: str) -> dict[str, str]:
    """Test id -> PASSED, FAILED, ERROR, SKIPPED or XFAIL, from `path::test STATUS [ 12%]`; the last line counts."""
    found = (_STATUS.match(line) for line in text.split("\n"))
    return {match[1]: match[2] for match in found if match}


def evaluation_report(log: str, fail_to_pass: Sequence[str], pass_to_pass: Sequence[str]) -> dict[str, Any]:
    """The report of a patch that exists, as SWE-smith writes it (there the patch never counts as applied)."""
    report: dict[str, Any] = {
        "patch_is_None": False,
        "patch_exists": True,
        "patch_successfully_applied": False,
        "resolved": False,
    }
    text = test_output(log)
    if text is None:
        return report
    statuses = parse_log(text)
    lists = {"FAIL_TO_PASS": fail_to_pass, "PASS_TO_PASS": pass_to_pass, "FAIL_TO_FAIL": (), "PASS_TO_FAIL": ()}
    status = {name: _halves(tests, statuses) for name, tests in lists.items()}
    return {**report, "resolved": not any(part["failure"] for part in status.values()), "tests_status": status}


def _halves(tests: Sequence[str], statuses: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        "success": [test for test in tests if statuses.get(test, "PASSED") in ("PASSED", "XFAIL")],
        "failure": [test for test in tests if statuses.get(test) in ("FAILED", "ERROR")],
    }


def validation_report(with_bug: str, without_bug: str) -> dict[str, list[str]]:
    """What a bug does to the tests: logs of the suite with it and without it."""
    before, after = parse_log(test_output(with_bug) or ""), parse_log(test_output(without_bug) or "")
    report: dict[str, list[str]] = {
        f"{old}_TO_{new}": [test for test in after if _was(before, test, old) and _was(after, test, new)]
        for old, new in (("FAIL", "PASS"), ("PASS", "PASS"), ("FAIL", "FAIL"), ("PASS", "FAIL"))
    }
    new_tests = {"FAIL_TO_PASS": "PASS", "PASS_TO_FAIL": "FAIL"}
    for name, status in new_tests.items():
        report[name] += [test for test in after if test not in before and _was(after, test, status)]
    report["FAIL_TO_PASS"] += [test for test in before if test not in after and _was(before, test, "FAIL")]
    return report


def _was(statuses: Mapping[str, str], test: str, status: str) -> bool:
    return statuses.get(test, "").startswith(status)
