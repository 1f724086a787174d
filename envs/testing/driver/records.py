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

MESSAGE_CHARS = 600
PROFILE_S = 0.3


def describe(error: BaseException, trace: TracebackType | None, tests: frozenset[str]) -> dict[str, Any]:
    """What a failing test said, and the innermost line of a test file on the way there."""
    try:
        message = str(error)
    except Exception:
        message = ""
    found: dict[str, Any] = {"type": type(error).__name__, "message": message[:MESSAGE_CHARS], "path": "", "line": 0}
    while trace is not None:
        path = os.path.relpath(trace.tb_frame.f_code.co_filename)
        if path in tests:
            found.update(path=path, line=trace.tb_lineno)
        trace = trace.tb_next
    return found


class Calls:
    """Which functions of the sources a test calls, by `sys.setprofile`.

    Watching a call costs more than most calls: after `PROFILE_S` CPU seconds the rest of the test runs unwatched.
    """

    def __init__(self, sources: frozenset[str]) -> None:
        self._sources = {os.path.abspath(path): path for path in sources}
        self._seen: dict[int, CodeType] = {}

    def start(self) -> None:
        """Watch from now on."""
        self._seen = {}
        signal.signal(signal.SIGVTALRM, lambda *_: sys.setprofile(None))
        signal.setitimer(signal.ITIMER_VIRTUAL, PROFILE_S)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            code = frame.f_code  # by id: hashing a code object hashes its contents
            self._seen[id(code)] = code

    def stop(self) -> list[tuple[str, str]]:
        """Watch no longer; (path, qualified name) of what was called."""
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        found = {
            (self._sources[code.co_filename], code.co_qualname.split(".<locals>")[0])
            for code in self._seen.values()
            if code.co_filename in self._sources
        }
        return sorted(found)
