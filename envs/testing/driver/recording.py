"""With which arguments the tests call some functions.

Invariant: watching changes nothing that a test can see but time: arguments are encoded when the call begins, and what
cannot be encoded without touching it is left out.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import inspect
import os
import signal
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .arguments import ArgumentError, Arguments, encode_call
from .histories import Histories, is_method
from .modules import load, lookup
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
    """One function that was seen, and its calls so far."""

    key: str
    """Empty where only the histories of objects want it."""
    first: int
    """The last instruction before the body of a call begins; a generator comes by again after it."""
    function: types.FunctionType | None
    """None where it is not found by its name, or stands behind a decorator that hides it."""
    method: bool
    tries: int = 0
    calls: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> bool:
        """Whether more of its calls are wanted."""
        later = self.function is None or self.function.__code__.co_flags & (_LATER & ~inspect.CO_GENERATOR)
        return bool(self.key) and not later and self.tries < TRIES and len(self.calls) < CALLS


class Recorder(Calls):
    """Notes the calls of functions (`path::qualname`), by `sys.setprofile`, between `start` and `stop`."""

    def __init__(self, functions: Iterable[str], emit: Emit) -> None:
        self._emit = emit
        self._new: list[list[str]] = []
        self._wanted = {(os.path.abspath(key.partition("::")[0]), key.partition("::")[2]): key for key in functions}
        self._known: dict[int, tuple[types.CodeType, _Watched | None]] = {}
        self._histories = Histories()

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
        if self._new:
            self._emit({"recorded": self._new})
            self._new = []
        return []

    def _note(self, frame: types.FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        known = self._known.get(id(code))
        if known is None:  # the code object is kept, so that its id stays its own
            known = self._known[id(code)] = (code, self._watch(frame))
        entry = known[1]
        if entry is None or frame.f_lasti > entry.first:
            return
        if entry.wanted and entry.function is not None:
            self._record(frame, entry, entry.function)
        if entry.method:
            self._histories.note(frame, lambda: self._after_self(frame, entry))

    def _record(self, frame: types.FrameType, entry: _Watched, function: types.FunctionType) -> None:
        entry.tries += 1
        self._histories.begin(frame)
        with contextlib.suppress(ArgumentError):
            positional, keyword = _arguments(frame, function)
            text = encode_call(frame.f_globals["__name__"], positional, keyword, self._histories)
            if text not in entry.calls:
                entry.calls.add(text)
                self._new.append([entry.key, text])

    def _after_self(self, frame: types.FrameType, entry: _Watched) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a method as data, for a history. Raises `ArgumentError`."""
        if entry.function is None:
            raise ArgumentError("a method that is not what its name stands for")
        positional, keyword = _arguments(frame, entry.function)
        return Arguments(self._histories).told(positional[1:], keyword)

    def _watch(self, frame: types.FrameType) -> _Watched | None:
        code = frame.f_code
        key, method = self._wanted.get((code.co_filename, code.co_qualname), ""), is_method(code)
        if not key and not method:
            return None
        try:
            function = inspect.unwrap(function_of(sys.modules[frame.f_globals["__name__"]], code.co_qualname))
        except (AttributeError, KeyError, ValueError):
            function = None
        if getattr(function, "__code__", None) is not code:
            function = None  # what the name stands for takes other arguments
        starts = [step.offset for step in dis.get_instructions(code) if step.opname == "RESUME"]
        return _Watched(key, starts[0] if starts else -1, function, method)


def find(function: str, module: str) -> Any:
    """What `path::qualname` stands for. Raises `ImportError`, `AttributeError`."""
    path, _, qualname = function.partition("::")
    return function_of(load(module, path), qualname)


def function_of(module: types.ModuleType, qualname: str) -> Any:
    """A function or method that takes all that its definition names, `self` and `cls` too."""
    owner, _, name = qualname.rpartition(".")
    if not owner:
        return lookup(module, name)
    found = vars(lookup(module, owner))[name]
    if isinstance(found, property):
        return found.fget
    if isinstance(found, functools.cached_property):
        return found.func
    return found.__func__ if isinstance(found, (staticmethod, classmethod)) else found


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
