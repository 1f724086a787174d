"""Functions of the repository as the recorder sees them: frames with their names, their definitions, their arguments.

Invariant: arguments that are told call the function again by its name; where that cannot be, none are told.
"""

from __future__ import annotations

import dis
import inspect
import sys
import types
from dataclasses import dataclass, field
from typing import Any

from .histories import is_method
from .modules import function_of

CALLS = 40
"""Different calls that are kept of a function."""
TRIES = 200
"""Calls of a function that are looked at."""
_LATER = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass
class Watched:
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


def watched(frame: types.FrameType, path: str | None, wanted: frozenset[str]) -> Watched | None:
    """What a frame's function is, `path` being its file in the sources; None for what is neither there nor a method."""
    code = frame.f_code
    method = is_method(code)
    if path is None and not method:
        return None
    key = f"{path}::{code.co_qualname}"
    function = _definition(frame)
    if getattr(function, "__code__", None) is not code or code.co_flags & _LATER:
        function = None  # what the name stands for takes other arguments, or gives no answer by itself
    starts = [step.offset for step in dis.get_instructions(code) if step.opname == "RESUME"]
    return Watched(key, path is not None, key in wanted, starts[0] if starts else -1, function, method)


def _definition(frame: types.FrameType) -> Any:
    """What a frame's name stands for."""
    code = frame.f_code
    try:
        if code.co_filename.startswith("<"):  # the generated __init__ of a data class
            return next(
                vars(base)["__init__"] for base in type(frame.f_locals["self"]).__mro__ if "__init__" in vars(base)
            )
        return inspect.unwrap(function_of(sys.modules[frame.f_globals["__name__"]], code.co_qualname))
    except (AttributeError, KeyError, ValueError, StopIteration):
        return None


def arguments_of(frame: types.FrameType, function: types.FunctionType) -> tuple[list[Any], dict[str, Any]]:
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
