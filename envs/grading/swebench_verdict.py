"""The official `swebench` package reads a test log and decides.

Invariant: `resolved` and the lists of tests are what `swebench.harness.grading.get_eval_report` says of the same log,
and nothing of ours. What we do not believe of a log is decided elsewhere (`envs.grading.eval_script`).

The package is an optional part, takes a second to import, and is imported only when a log is judged.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envs.task import TaskInstance

START = ">>>>> Start Test Output"
END = ">>>>> End Test Output"
EXIT_CODE = ">>>>> Test Exit Code"
_TELLING = {"PASSED": "passed", "XFAIL": "passed", "FAILED": "failed", "ERROR": "error", "SKIPPED": "skipped"}


class VerdictError(ValueError):
    """A log cannot be judged: the package is missing, or the task names a parser that it does not have."""


@dataclass(frozen=True)
class Verdict:
    """What the official package says."""

    report: Mapping[str, Any]
    """Its report of this instance: `resolved`, `patch_successfully_applied`, `tests_status`, ..."""
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Every test that its parser found -> PASSED, FAILED, ERROR, SKIPPED or XFAIL."""

    @property
    def resolved(self) -> bool:
        """Whether the patch solves the task."""
        return bool(self.report["resolved"])

    @property
    def readable(self) -> bool:
        """Whether it took the log for one of a test run."""
        return bool(self.report["patch_successfully_applied"])

    def told(self, tests: Sequence[str]) -> dict[str, str]:
        """Test id -> passed, failed, error, skipped or missing."""
        lists = self.report.get("tests_status", {}).values()
        succeeded = {test for part in lists for test in part["success"]}
        return {test: self._told(test, test in succeeded) for test in tests}

    def _told(self, test: str, succeeded: bool) -> str:
        exact = _TELLING.get(self.statuses.get(test, ""), "missing")
        if exact == "missing" and succeeded:
            return "passed"  # the package lets a cut id stand for the whole ones
        return exact


def judge(task: TaskInstance, log: str, patch: str | None) -> Verdict:
    """The official verdict on a log that has the markers around the test output. Raises `VerdictError`."""
    grading, spec = _official(task)
    prediction = {"instance_id": task.instance_id, "model_name_or_path": "", "model_patch": patch}
    with tempfile.TemporaryDirectory(prefix="contextrl-verdict-") as folder:
        path = Path(folder) / "test_output.txt"
        path.write_bytes(log.encode("utf-8", "backslashreplace"))
        report = grading.get_eval_report(spec, prediction, str(path), include_tests_status=True)[task.instance_id]
        statuses = grading.get_logs_eval(spec, str(path))[0]
    return Verdict(report, statuses)


def assembled(test_output: str, exit_code: int) -> str:
    """The log of a run as the official harness writes it. The caller has made sure that no marker is inside."""
    return f"{START}\n{test_output}\n{END}\n{EXIT_CODE}: {exit_code}\n"


def contradicted(task: TaskInstance, test_output: str) -> list[str]:
    """Tests of the task that one line of the output calls failed and another passed.

    The official parsers keep the last line of a test, so that a patch that prints `PASSED` late turns a failure round.
    Ids that the parser cut at a space name several tests, and what merely looks like one (`[100%]`) names none.
    """
    _, spec = _official(task)
    parse = _registry()[spec.log_parser]
    wanted = {test for test in (*task.FAIL_TO_PASS, *task.PASS_TO_PASS) if _names_one_test(test)}
    said: dict[str, set[bool]] = defaultdict(set)
    for line in dict.fromkeys(test_output.replace("\r", "\n").split("\n")):
        for test, status in parse(line, spec).items():
            if test in wanted and status != "SKIPPED":
                said[test].add(status in ("PASSED", "XFAIL"))
    return sorted(test for test, answers in said.items() if len(answers) > 1)


def _names_one_test(test: str) -> bool:
    return test.count("[") == test.count("]") and not test.startswith("[")


def ensure_installed() -> None:
    """Raises `VerdictError`, with what to do, where the package is missing."""
    _registry()


def _official(task: TaskInstance) -> tuple[Any, Any]:
    """The grading module, and the task as the package wants it."""
    parser = task.log_parser or _parser_of(task.repo)
    if parser not in _registry():
        raise VerdictError(
            f"task {task.instance_id} names the log parser {parser!r}, which the package swebench does not have"
        )
    from swebench.harness import grading
    from swebench.harness.constants import FAIL_ONLY_REPOS
    from swebench.types import TestSpec

    eval_type = task.eval_type or ("fail_only" if task.repo in FAIL_ONLY_REPOS else "pass_and_fail")
    tests = {"FAIL_TO_PASS": [*task.FAIL_TO_PASS], "PASS_TO_PASS": [*task.PASS_TO_PASS]}
    about = {"instance_id": task.instance_id, "image": task.image, "repo": task.repo, "version": task.version}
    return grading, TestSpec(**about, **tests, eval_script_list=[], log_parser=parser, eval_type=eval_type)


def _parser_of(repo: str) -> str:
    """Rows of before SWE-bench 5 do not name their parser: there it went by the repository."""
    _registry()
    from swebench.harness.log_parsers.python import MAP_REPO_TO_PARSER_PY as parsers

    if repo not in parsers:
        known = "give the task a log_parser, such as parse_log_pytest"
        raise VerdictError(f"nothing says how to read the test log of {repo or 'a task without a repository'}: {known}")
    return str(parsers[repo].__name__)


def _registry() -> dict[str, Any]:
    try:
        from swebench.harness.log_parsers import PARSER_REGISTRY
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "swebench":
            raise
        raise VerdictError(
            "tasks with an eval_script are judged by the official package swebench, which is not installed: "
            "pip install 'contextrl[swebench]'"
        ) from None
    return PARSER_REGISTRY  # type: ignore[no-any-return]
