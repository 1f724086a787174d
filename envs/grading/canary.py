"""A test that must fail: whoever forges results forges this one too.

Invariant: nobody can know a canary's name before its run begins; it stands in a file of tests that the task's own
command runs, so that it fares as its neighbours do. It is no part of the log that is judged.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_FUNCTION = """

def test_{token}():
    raise AssertionError("{token}")
"""
_CASE = """

class Test{token}(__import__("unittest").TestCase):
    def test_{token}(self):
        self.fail("{token}")
"""
_PASSED = ("PASSED", "XFAIL")
_FAILED = ("FAILED", "ERROR")


@dataclass(frozen=True)
class Canary:
    """One failing test with a random name, at the end of the file `path`."""

    path: str
    token: str
    text: str
    """The whole file with it."""

    def without(self, log: str) -> str:
        """The log without the lines that speak of it."""
        return "".join(line for line in log.splitlines(keepends=True) if self.token not in line)

    def fared(self, statuses: Mapping[str, str]) -> str:
        """`failed`, as it must, `passed`, `skipped`, or `missing`."""
        found = {status for test, status in statuses.items() if self.token in test}
        if not found:
            return "missing"
        if found <= set(_FAILED):
            return "failed"
        return "passed" if found & set(_PASSED) else "skipped"


def canary_in(files: Mapping[str, str | None], command: str, tests: Iterable[str]) -> Canary | None:
    """A canary in that of the test files which holds tests of the task and is named in the command, if there is one."""
    named = [path for path, text in files.items() if text is not None and _is_tests(path) and _names(command, path)]
    wanted = tuple(tests)
    named.sort(key=lambda path: not any(_names(test, path) for test in wanted))
    if not named:
        return None
    path, token = named[0], secrets.token_hex(8)
    under_unittest = bool(re.search(r"\bruntests\.py\b|\bunittest\b", command))
    template = _CASE if under_unittest else _FUNCTION
    return Canary(path, token, (files[path] or "").rstrip("\n") + "\n" + template.format(token=token))


def _is_tests(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.endswith(".py") and (name.startswith("test") or name.endswith("_test.py"))


def _names(text: str, path: str) -> bool:
    """Whether a text has the path of a file, or its module as a dotted name (from the file's folder of tests on)."""
    dotted = path.removesuffix(".py").replace("/", ".")
    return path in text or dotted in text or ("." in dotted and dotted.partition(".")[2] in text)
