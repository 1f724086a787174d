"""unittest, told test by test."""

# ruff: noqa: D102  (the methods are unittest's)

from __future__ import annotations

import copy
import time
import unittest
from collections.abc import Iterator
from typing import Any

from .guard import Plan
from .records import Calls, Emit, describe


class Recorder(unittest.TestResult):
    """Emits one record per test as soon as it has ended."""

    def __init__(self, emit: Emit, calls: Calls | None, tests: frozenset[str]) -> None:
        super().__init__()
        self._emit, self._calls, self._tests = emit, calls, tests
        self._status, self._failure, self._began = "passed", None, 0.0
        self.failed = False

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._status, self._failure, self._began = "passed", None, time.perf_counter()
        if self._calls:
            self._calls.start()

    def stopTest(self, test: unittest.TestCase) -> None:
        calls = self._calls.stop() if self._calls else []
        seconds = time.perf_counter() - self._began
        self.failed = self.failed or self._status == "failed"
        record = {"id": test.id(), "status": self._status, "seconds": seconds, "calls": calls}
        self._emit({**record, "failure": self._failure})
        super().stopTest(test)

    def _fail(self, test: unittest.TestCase, err: Any) -> None:
        failure = describe(err[1], err[2], self._tests)
        if not isinstance(test, unittest.TestCase):  # setUpClass or setUpModule: no test was started
            self.failed = True
            self._emit({"id": test.id(), "status": "failed", "seconds": 0.0, "calls": [], "failure": failure})
        elif self._status != "failed":
            self._status, self._failure = "failed", failure  # type: ignore[assignment]

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self._fail(test, err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._fail(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self._fail(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._status = "skipped" if self._status == "passed" else self._status

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._status = "xfail"

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._status = "failed"


def flatten(suite: Any) -> Iterator[Any]:
    """The tests of a suite, one by one."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        elif type(item).__module__ != "doctest":  # a docstring's examples are no tests of the test files
            yield item


def _twin(test: Any, plan: Plan) -> Any:
    name = test._testMethodName
    twin = copy.copy(test)  # not made anew: whoever made the test may have given it more than its name
    twin._cleanups = []
    setattr(twin, name, plan.failing(twin, getattr(test, name)))  # found before the class's own
    return twin


def run_unittest(
    job: dict[str, Any],
    config: dict[str, Any],
    emit: Emit,
    calls: Calls | None,
    plan: Plan | None,
) -> int:
    """Run a job's targets; the exit code that unittest would give."""
    tests = frozenset(config["test_files"])
    names = [name[:-3].replace("/", ".") if name.endswith(".py") else name for name in job["targets"]]
    chosen = list(flatten(unittest.defaultTestLoader.loadTestsFromNames(names)))
    if job.get("reverse"):
        chosen.reverse()
    if plan is not None:
        chosen = list(plan.spread(chosen, lambda test: str(test.id()), lambda test: _twin(test, plan)))
    result = Recorder(emit, calls, tests)
    unittest.TestSuite(chosen).run(result)
    return int(result.failed)
