"""With which arguments the tests call some functions.

Invariant: watching changes nothing that a test can see but time: arguments are encoded when the call begins, and what
cannot be encoded without touching it is left out.
"""

from __future__ import annotations

import dis
import inspect
import json
import os
import signal
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .arguments import ArgumentError, Arguments, encode_call
from .histories import Histories, is_method
from .modules import function_of, path_of
from .records import Calls, Emit

CALLS = 40
"""Different calls that are kept of a function."""
TRIES = 200
"""Calls of a function that are looked at."""
WATCH_S = 1.0
"""CPU seconds of each test that are watched."""
_LATER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass
class _Watched:
    """One function of the repository that was seen, and its calls so far."""

    key: str
    """`path::qualname`."""
    source: bool
    """Whether it lies in the sources, not in the tests."""
    wanted: bool
    first: int
    """The last instruction before the body of a call begins; a generator comes by again after it."""
    function: types.FunctionType | None
    """None where it is not found by its name, or stands behind a decorator that hides it."""
    method: bool
    tries: int = 0
    calls: set[tuple[str, str]] = field(default_factory=set)
    """Its own, and calls that led to it."""

    @property
    def full(self) -> bool:
        """Whether no more of its calls are looked at."""
        return self.tries >= TRIES or len(self.calls) >= CALLS


@dataclass(frozen=True)
class _Entry:
    """A call of the sources that was made from outside of them, and has not ended."""

    frame: types.FrameType
    key: str
    text: str | None
    """None where its arguments cannot be told."""


class Recorder(Calls):
    """Notes the calls of functions (`path::qualname`), by `sys.setprofile`, between `start` and `stop`.

    Of each it also notes which calls, made by the tests themselves, led to it.
    """

    def __init__(self, functions: Iterable[str], sources: frozenset[str], emit: Emit) -> None:
        self._emit = emit
        self._new: list[list[str]] = []
        self._wanted = frozenset(functions)
        self._files = {os.path.abspath(path): path for path in sources}
        self._known: dict[int, tuple[types.CodeType, _Watched | None]] = {}
        self._histories = Histories()
        self._entry: _Entry | None = None

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
            known = self._known[id(code)] = (code, self._watch(frame))
        entry = known[1]
        if entry is not None and frame.f_lasti <= entry.first:
            self._called(frame, entry)

    def _called(self, frame: types.FrameType, entry: _Watched) -> None:
        from_test = entry.source and self._entry is None
        text = self._text(frame, entry) if entry.wanted or from_test else None
        if from_test:
            self._entry = _Entry(frame, entry.key, text)
        if entry.wanted and self._entry is not None:
            self._add(entry, entry.key, text)
            self._add(entry, self._entry.key, self._entry.text)
        if entry.method:
            self._histories.note(frame, lambda: self._after_self(frame, entry))

    def _text(self, frame: types.FrameType, entry: _Watched) -> str | None:
        """The call's arguments; None where they cannot be told, or enough of the function were."""
        if entry.full or entry.function is None:
            return None
        entry.tries += 1
        self._histories.begin(frame)
        try:
            positional, keyword = _arguments(frame, entry.function)
            return encode_call(frame.f_globals["__name__"], positional, keyword, self._histories)
        except ArgumentError:
            return None

    def _add(self, entry: _Watched, key: str, text: str | None) -> None:
        if text is not None and (key, text) not in entry.calls:
            entry.calls.add((key, text))
            self._new.append([entry.key, key, text])

    def _leave(self, entry: _Entry, value: object) -> None:
        """The test has its answer; an object of the repository has a history from now on."""
        self._entry = None
        if entry.text is not None and path_of(type(value).__module__):
            call = json.loads(entry.text)
            self._histories.got(value, ["function", entry.key, call["module"]], call["args"], call["kwargs"])

    def _after_self(self, frame: types.FrameType, entry: _Watched) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a method as data, for a history. Raises `ArgumentError`."""
        if entry.function is None:
            raise ArgumentError("a method that is not what its name stands for")
        positional, keyword = _arguments(frame, entry.function)
        return Arguments(self._histories).told(positional[1:], keyword)

    def _watch(self, frame: types.FrameType) -> _Watched | None:
        code = frame.f_code
        path, method = self._files.get(code.co_filename), is_method(code)
        if path is None and not method:
            return None
        key = f"{path}::{code.co_qualname}"
        try:
            function = inspect.unwrap(function_of(sys.modules[frame.f_globals["__name__"]], code.co_qualname))
        except (AttributeError, KeyError, ValueError):
            function = None
        if getattr(function, "__code__", None) is not code or code.co_flags & (_LATER & ~inspect.CO_GENERATOR):
            function = None  # what the name stands for takes other arguments, or gives no answer by itself
        starts = [step.offset for step in dis.get_instructions(code) if step.opname == "RESUME"]
        return _Watched(key, path is not None, key in self._wanted, starts[0] if starts else -1, function, method)


def _arguments(frame: types.FrameType, function: types.FunctionType) -> tuple[list[Any], dict[str, Any]]:
    """The call's arguments without those that are the defaults themselves (they may be markers)."""
    code, values = frame.f_code, frame.f_locals
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    rest = code.co_varnames[len(names) :]
    more = values[rest[0]] if code.co_flags & inspect.CO_VARARGS else ()
    named = values[rest[bool(code.co_flags & inspect.CO_VARARGS)]] if code.co_flags & inspect.CO_VARKEYWORDS else {}
    first = names[: code.co_argcount]
    ends = function.__defaults__ or ()
    defaults = dict(zip(first[len(first) - len(ends) :], ends, strict=True)) | (function.__kwdefaults__ or {})
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    for index, name in enumerate(names):
        if not more and name in defaults and values[name] is defaults[name]:
            continue
        if index == len(positional) and index < code.co_argcount:
            positional.append(values[name])
        else:
            keyword[name] = values[name]
    return positional + list(more), {**keyword, **named}
