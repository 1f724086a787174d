"""Reading the logs of test runners.

Invariant: a test that the log reports more than once has the worst of its statuses, so that nothing printed beside
a failure can turn it into a success. Expected failures count as passed, unexpected successes as failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from envs.task import LogParser

TestStatus = Literal["passed", "skipped", "failed", "error"]
_WORSE: tuple[TestStatus, ...] = ("passed", "skipped", "failed", "error")

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


@dataclass
class TestLog:
    """What a log says. Ids: `module.Class.test` (unittest), `path::Class::test` (pytest)."""

    __test__ = False

    results: dict[str, TestStatus] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    """The first line of what each failure says, at most 300 characters; memory addresses are made equal."""
    finished: bool = False
    """The runner's own last line is there: it was not cut short."""

    @property
    def failing(self) -> list[str]:
        """Ids that failed or broke, in the order of the log."""
        return [test for test, status in self.results.items() if status in ("failed", "error")]

    @property
    def passing(self) -> list[str]:
        """Ids that passed, in the order of the log."""
        return [test for test, status in self.results.items() if status == "passed"]

    def add(self, test: str, status: TestStatus) -> None:
        """Note a status; the worst one stays."""
        self.results[test] = max(status, self.results.get(test, status), key=_WORSE.index)

    def explain(self, test: str, message: str) -> None:
        """Note why a test failed; the first reason stays."""
        self.messages.setdefault(test, _ADDRESS.sub("0x...", message.strip())[:300])


def parse_log(log: str, parser: LogParser) -> TestLog:
    """Read the log of `python -m unittest -v` or of `pytest -v` or `-rA` (standard output and error together)."""
    lines = _ANSI.sub("", log).splitlines()
    return _unittest(lines) if parser == "unittest" else _pytest(lines)


# -- unittest ---------------------------------------------------------------------------------------------------

_CASE = re.compile(r"\s*(?P<name>[\w.]+) \((?P<where>[\w.<>]+)\)(?P<rest>$| .*)")
_ENDING = re.compile(r"(?:^|\.\.\. )(ok|FAIL|ERROR|skipped .*|expected failure|unexpected success)\s*$")
_SECTION = re.compile(r"(FAIL|ERROR): (?P<name>[\w.]+) \((?P<where>[\w.<>]+)\)")
_UNITTEST: dict[str, TestStatus] = {
    "ok": "passed",
    "FAIL": "failed",
    "ERROR": "error",
    "skipped": "skipped",
    "expected": "passed",
    "unexpected": "failed",
}


def _unittest(lines: list[str]) -> TestLog:
    """First one line per test (`test_x (m.C.test_x) ... ok`, docstrings and prints between), then the failures."""
    log = TestLog()
    running, section, armed = "", "", False
    for i, line in enumerate(lines):
        if re.match(r"Ran \d+ tests? in ", line):
            log.finished, section = True, ""
        elif line.startswith("=" * 70) and i + 1 < len(lines) and (head := _SECTION.match(lines[i + 1])):
            section, running, armed = _unittest_id(head), "", False
            log.add(section, _UNITTEST[head[1]])
        elif section:
            if line.startswith("Traceback ("):
                armed = True  # of chained exceptions the last one speaks
            elif armed and line[:1].strip():
                log.messages.pop(section, None)
                log.explain(section, line)
                armed = False
        else:
            running = _unittest_line(log, line, running)
    return log


def _unittest_line(log: TestLog, line: str, running: str) -> str:
    """Take one line of the list of tests; the id of the test that runs after it, empty for none."""
    case, ending = _CASE.match(line), _ENDING.search(line)
    if case:
        running = _unittest_id(case)
    status = _UNITTEST[ending[1].split()[0]] if ending else None
    part = case is not None and case["rest"].startswith((" (", " ["))  # a subtest: only its failure is the test's
    if status and running and (not part or status in ("failed", "error")):
        log.add(running, status)
    return running if status is None or part else ""


def _unittest_id(case: re.Match[str]) -> str:
    """`module.Class.test`; Python before 3.11 writes `test (module.Class)`."""
    name, where = case["name"], case["where"]
    test = where if where.endswith(f".{name}") else f"{where}.{name}"
    return test.removeprefix("unittest.loader._FailedTest.")


# -- pytest -----------------------------------------------------------------------------------------------------

_WORDS: dict[str, TestStatus] = {
    "PASSED": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
    "XFAIL": "passed",
    "XPASS": "passed",
}
_WORD = "|".join(_WORDS)
_VERBOSE = re.compile(rf"(\S+?::.+?) ({_WORD})(?: \(.*\))?\s*(?:\[ *\d+%\])?$")
_XDIST = re.compile(rf"\[gw\d+\] \[ *\d+%\] ({_WORD}) (\S+?::.+?)\s*$")
_SUMMARY = re.compile(rf"({_WORD}) ((?:[^\s\[]|\[.*?\](?= - |$)|\[)+)(?: - (.*))?$")
_TITLE = re.compile(r"_{3,} (?:ERROR (?:at \w+ of|collecting) )?(.+?) _{3,}$")
_TALLY = r"\d+ (?:passed|failed|errors?|skipped|deselected|xfailed|xpassed|warnings?)"
_LAST = re.compile(rf"(?:=+ )?(?:no tests ran|{_TALLY}(?:, {_TALLY})*) in [\d.]+ ?s")


def _pytest(lines: list[str]) -> TestLog:
    """`-v` prints a line per test while it runs; then the failures with their `E` lines; then `-rA`'s summary."""
    log = TestLog()
    reasons: dict[str, str] = {}
    title, shown, summary = "", False, False
    for line in lines:
        if line.startswith("=") and "short test summary info" in line:
            summary, shown = True, False
        elif re.match(r"=+ (FAILURES|ERRORS|PASSES) =+$", line):
            shown = True  # captured output stands here: no status is read from it
        elif _LAST.match(line):
            log.finished = True
        elif shown:
            if head := _TITLE.match(line):
                title = head[1]
            elif re.match(r"E   \S", line) and title:
                reasons.setdefault(title, line[1:])
        elif summary and (found := _SUMMARY.match(line)) and ("::" in found[2] or found[1] == "ERROR"):
            log.add(found[2], _WORDS[found[1]])
            if found[3] and found[1] in ("FAILED", "ERROR"):
                reasons.setdefault(found[2], found[3])
        elif not summary and (found := _VERBOSE.match(line)):
            log.add(found[1], _WORDS[found[2]])
        elif not summary and (found := _XDIST.match(line)):
            log.add(found[2], _WORDS[found[1]])
    _explain(log, log.failing, reasons)
    return log


def _explain(log: TestLog, tests: Iterable[str], reasons: dict[str, str]) -> None:
    """A failure's section is titled `Class.test` or, where it could not be collected, with its path."""
    for test in tests:
        title = ".".join(test.split("::")[1:])
        reason = reasons.get(title) or reasons.get(test)
        if reason:
            log.explain(test, reason)
