"""What is told of each test, and of what it called.

Invariant: one record per test, emitted as soon as the test has ended.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any

Emit = Callable[[dict[str, Any]], None]

_HERE = os.getcwd()

MESSAGE_CHARS = 600
PROFILE_S = 0.3
UNKNOWN = 1000
"""How far a function is from a test that has no frame on the way to it (a fixture calls it)."""


def describe(error: BaseException, trace: TracebackType | None, tests: frozenset[str]) -> dict[str, Any]:
    """What a failing test said, and the innermost line of a test file on the way there."""
    try:
        message = str(error)
    except Exception:
        message = ""
    found: dict[str, Any] = {"type": type(error).__name__, "message": message[:MESSAGE_CHARS], "path": "", "line": 0}
    while trace is not None:
        path = os.path.relpath(os.path.join(_HERE, trace.tb_frame.f_code.co_filename), _HERE)  # tests change folders
        if path in tests:
            found.update(path=path, line=trace.tb_lineno)
        trace = trace.tb_next
    return found


class Calls:
    """Which functions of the sources a test calls, and how far from itself, by `sys.setprofile`.

    Watching a call costs more than most calls: after `PROFILE_S` CPU seconds the rest of the test runs unwatched.
    """

    def __init__(self, sources: frozenset[str], tests: frozenset[str]) -> None:
        self._sources = {os.path.abspath(path): path for path in sources}
        self._tests = {os.path.abspath(path) for path in tests}
        self._seen: dict[int, tuple[CodeType, int]] = {}
        self._depth = 0
        self._test_depth: int | None = None

    def start(self) -> None:
        """Watch from now on."""
        self._seen = {}
        self._depth, self._test_depth = 0, None
        signal.signal(signal.SIGVTALRM, lambda *_: sys.setprofile(None))
        signal.setitimer(signal.ITIMER_VIRTUAL, PROFILE_S)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            self._depth += 1
            code = frame.f_code  # by id: hashing a code object hashes its contents
            if self._test_depth is None and code.co_filename in self._tests:
                self._test_depth = self._depth
            away = UNKNOWN if self._test_depth is None else self._depth - self._test_depth
            seen = self._seen.get(id(code))
            if seen is None or away < seen[1]:
                self._seen[id(code)] = code, away
        elif event == "return":
            if self._depth == self._test_depth:
                self._test_depth = None
            self._depth -= 1

    def stop(self) -> list[tuple[str, str, int]]:
        """Watch no longer; (path, qualified name, calls from the test to it the shortest way) of what was called."""
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        found: dict[tuple[str, str], int] = {}
        for code, away in self._seen.values():
            if code.co_filename in self._sources:
                key = self._sources[code.co_filename], code.co_qualname.split(".<locals>")[0]
                found[key] = min(away, found.get(key, UNKNOWN))
        return [(*key, away) for key, away in sorted(found.items())]
