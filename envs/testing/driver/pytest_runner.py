"""pytest, told test by test."""

# ruff: noqa: D102  (the methods are pytest's)

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.metadata
import io
from collections.abc import Iterator
from typing import Any

from .guard import Plan
from .records import MESSAGE_CHARS, Calls, Emit, describe

_SETTLED = {"numprocesses": 0, "randomly_reorganize": False, "randomly_seed": 0}
"""Options of pytest-xdist, whose workers would know of nothing here, and of pytest-randomly, which draws an order."""


class PytestRecorder:
    """The same records from pytest's hooks."""

    def __init__(
        self, emit: Emit, calls: Calls | None, tests: frozenset[str], reverse: bool, plan: Plan | None
    ) -> None:
        self._emit, self._calls, self._tests, self._reverse, self._plan = emit, calls, tests, reverse, plan
        self._record: dict[str, Any] = {}

    def pytest_cmdline_main(self, config: Any) -> Iterator[None]:
        for name, value in _SETTLED.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        yield

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self._reverse:
            items.reverse()
        if self._plan is not None:
            items[:] = self._plan.spread(items, lambda item: str(item.nodeid), _twin)

    def pytest_runtest_call(self, item: Any) -> None:
        if self._plan is not None and id(item) in self._plan.twins:
            body = self._plan.failing(getattr(item, "instance", None), getattr(item, "obj", None))
            setattr(item, "_obj" if isinstance(item, importlib.import_module("pytest").Function) else "runtest", body)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            failure = {"type": "CollectError", "message": str(report.longrepr)[-MESSAGE_CHARS:], "path": "", "line": 0}
            self._emit({"id": report.nodeid, "status": "failed", "seconds": 0.0, "calls": [], "failure": failure})

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._record = {"id": nodeid, "status": "passed", "seconds": 0.0, "calls": [], "failure": None}
        if self._calls:
            self._calls.start()

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        if self._record and call.excinfo is not None and not self._record["failure"]:
            self._record["failure"] = describe(call.excinfo.value, call.excinfo.tb, self._tests)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._record["seconds"] += report.duration
        if report.failed:
            self._record["status"] = "failed"
            self._record["unready"] = report.when != "call"
        elif report.skipped and self._record["status"] == "passed":
            self._record["status"] = "xfail" if hasattr(report, "wasxfail") else "skipped"
        elif hasattr(report, "wasxfail"):
            self._record["status"] = "xfail"  # it passed where it need not: nothing can be told from it

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        if self._calls:
            self._record["calls"] = self._calls.stop()
        self._emit(self._record)


_OURS = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
"""Plugins are imported before pytest looks for them, which a repository that makes errors of warnings must not see."""


_INTERNAL_ERROR, _USAGE_ERROR = 3, 4


class Refused(Exception):
    """pytest did not run the tests, and said why."""


def preload_pytest() -> None:
    """pytest and the plugins that are installed beside it, so that the forks find them ready.

    Some plugins replace parts of pytest when they are imported. What is theirs is not the repository's doing.
    Where the repository is a part of pytest, it is not installed, and only the forks can import pytest.
    """
    with contextlib.suppress(Exception):
        importlib.import_module("pytest")
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        with contextlib.suppress(Exception):  # a plugin of the repository itself is not here: it is not installed
            importlib.import_module(plugin.module)


def _twin(item: Any) -> Any:
    """A second run of an item: an object of its own, so that its fixtures are set up and taken down anew."""
    twin = copy.copy(item)
    twin._report_sections = []
    twin.own_markers = list(item.own_markers)
    vars(twin).pop("_instance", None)  # an instance of its own
    if hasattr(twin, "_obj"):
        twin._obj = None
    if hasattr(twin, "_initrequest"):
        twin._initrequest()
    return twin


def run_pytest(
    job: dict[str, Any],
    config: dict[str, Any],
    emit: Emit,
    calls: Calls | None,
    plan: Plan | None,
) -> int:
    """Run a job's targets; pytest's exit code."""
    pytest = importlib.import_module("pytest")
    tests = frozenset(config["test_files"])
    recorder = PytestRecorder(emit, calls, tests, bool(job.get("reverse")), plan)
    pytest.hookimpl(tryfirst=True)(PytestRecorder.pytest_runtest_call)
    pytest.hookimpl(trylast=True)(PytestRecorder.pytest_collection_modifyitems)
    pytest.hookimpl(hookwrapper=True)(PytestRecorder.pytest_cmdline_main)
    options = [*config["options"], *_OURS, "-q", "-p", "no:cacheprovider", "--maxfail=0"]
    options += ["--continue-on-collection-errors"]
    code = int(pytest.main([*options, *job["targets"]], plugins=[recorder]))
    if calls is not None and code in (_INTERNAL_ERROR, _USAGE_ERROR):
        raise Refused(_said(pytest, [*options, "--collect-only", *job["targets"]]))
    return code


def _said(pytest: Any, arguments: list[str]) -> str:
    """Why pytest does not even begin: the last line that tells an error."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        pytest.main(arguments)
    lines = [line.removeprefix("INTERNALERROR>").strip() for line in text.getvalue().splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (errors or lines or ["without a word"])[-1]
