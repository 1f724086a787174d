"""With which arguments the tests call some functions.

Invariant: watching changes nothing that a test can see but time: arguments are encoded when the call begins, and what
cannot be encoded without touching it is left out.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .arguments import ArgumentError, Arguments, encode_call
from .histories import Histories
from .records import Calls, Emit
from .values import is_own
from .watched import Watched, arguments_of, watched

WATCH_S = 1.0
"""CPU seconds of each test that are watched."""


@dataclass(frozen=True)
class _Entry:
    """A call of the sources that was made from outside of them, and has not ended."""

    frame: types.FrameType
    key: str
    text: str | None
    """None where its arguments cannot be told."""
    owner: int
    """Id of the object whose method it is; 0 of a function."""
    reached: set[str]
    """The watched functions that were called in it."""


class Recorder(Calls):
    """Notes the calls of functions (`path::qualname`), by `sys.setprofile`, between `start` and `stop`.

    Of each it also notes which calls, made by the tests themselves, led to it.
    """

    def __init__(self, functions: Iterable[str], sources: frozenset[str], emit: Emit) -> None:
        self._emit = emit
        self._new: list[list[str]] = []
        self._wanted = frozenset(functions)
        self._files = {os.path.abspath(path): path for path in sources}
        self._known: dict[int, tuple[types.CodeType, Watched | None]] = {}
        self._histories = Histories()
        self._entry: _Entry | None = None
        self._watched: dict[str, Watched] = {}
        self._bearing: dict[int, set[str]] = {}
        """Object -> the watched functions that had a part in it."""

    def start(self) -> None:
        """Watch from now on."""
        signal.signal(signal.SIGVTALRM, lambda *_: sys.setprofile(None))
        signal.setitimer(signal.ITIMER_VIRTUAL, WATCH_S)
        sys.setprofile(self._note)

    def stop(self) -> list[tuple[str, str, int]]:
        """Watch no longer, and tell which calls are new; nothing goes into the test's own record."""
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        self._histories.clear()
        self._bearing.clear()
        self._entry = None
        if self._new:
            self._emit({"recorded": self._new})
            self._new = []
        return []

    def _note(self, frame: types.FrameType, event: str, value: object) -> None:
        if event == "return" and self._entry is not None and self._entry.frame is frame:
            self._leave(self._entry, value)
        if event != "call":
            return
        code = frame.f_code
        known = self._known.get(id(code))
        if known is None:  # the code object is kept, so that its id stays its own
            known = self._known[id(code)] = (code, watched(frame, self._files.get(code.co_filename), self._wanted))
        entry = known[1]
        if entry is not None and frame.f_lasti <= entry.first:
            self._called(frame, entry)

    def _called(self, frame: types.FrameType, entry: Watched) -> None:
        from_test = entry.source and self._entry is None
        text = self._text(frame, entry) if entry.wanted or from_test else None
        if from_test:
            owner = id(frame.f_locals["self"]) if entry.method else 0
            self._entry = _Entry(frame, entry.key, text, owner, set())
            for key in self._bearing.get(owner, ()):
                self._add(self._watched[key], entry.key, text)
        if entry.wanted and self._entry is not None:
            self._watched[entry.key] = entry
            self._entry.reached.add(entry.key)
            self._add(entry, entry.key, text)
            self._add(entry, self._entry.key, self._entry.text)
        if entry.method:
            self._histories.note(frame, lambda: self._after_self(frame, entry))

    def _text(self, frame: types.FrameType, entry: Watched) -> str | None:
        """The call's arguments; None where they cannot be told, or enough of the function were."""
        if entry.full or entry.function is None:
            return None
        entry.tries += 1
        self._histories.begin(frame)
        try:
            positional, keyword = arguments_of(frame, entry.function)
            return encode_call(frame.f_globals["__name__"], positional, keyword, self._histories)
        except ArgumentError:
            return None

    def _add(self, entry: Watched, key: str, text: str | None) -> None:
        if text is not None and (key, text) not in entry.calls:
            entry.calls.add((key, text))
            self._new.append([entry.key, key, text])

    def _leave(self, entry: _Entry, value: object) -> None:
        """The test has its answer; an object of the repository has a history from now on."""
        self._entry = None
        if entry.text is not None and is_own(type(value)):
            call = json.loads(entry.text)
            self._histories.got(value, ["function", entry.key, call["module"]], call["args"], call["kwargs"])
        for owner in (entry.owner, id(value)) if entry.reached else ():
            if self._histories.keeps(owner):
                self._bearing.setdefault(owner, set()).update(entry.reached)

    def _after_self(self, frame: types.FrameType, entry: Watched) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a method as data, for a history. Raises `ArgumentError`."""
        if entry.function is None:
            raise ArgumentError("a method that is not what its name stands for")
        positional, keyword = arguments_of(frame, entry.function)
        return Arguments(self._histories).told(positional[1:], keyword)
