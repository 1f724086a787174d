"""Objects by their history: how a test made one, and what it asked of it since.

Invariant: a history holds all that the test itself asked of the object, in order, and nothing that the object asked of
itself; where one step cannot be told as text, the object has no history. Nothing is asked of the objects.
"""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable, Sequence
from typing import Any

_HERE = os.getcwd() + os.sep
STEPS = 20
"""Calls after which an object's history is too long."""
_CALLERS = 12
"""Frames in which the object itself is looked for as the caller."""
_OBJECTS = 500
_LATER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

Tell = Callable[[], tuple[list[Any], dict[str, Any]]]
"""The arguments of a call as data, without `self`. Raises `ValueError` where they cannot be told."""


class Histories:
    """The histories of the objects that one test made. It keeps the objects alive until `clear`."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, list[Any] | None]] = {}
        self._beginning: object = None
        self._within: object = None

    def clear(self) -> None:
        """The test has ended."""
        self._known.clear()
        self._beginning = self._within = None

    def begin(self, frame: types.FrameType) -> None:
        """A function is about to be watched: its `self` is bare where this is the call that makes it, and as it was
        before its own call where that is what calls.
        """
        self._beginning = self._within = None
        if is_method(frame.f_code):
            value = _self(frame)
            if id(value) in self._known:
                self._within = value if _asks_itself(frame, value) else None
            elif frame.f_code.co_name == "__init__":
                self._beginning = value

    def note(self, frame: types.FrameType, tell: Tell) -> None:
        """A method begins."""
        value, name = _self(frame), frame.f_code.co_name
        self._beginning = self._within = None
        kept = self._known.get(id(value))
        if kept is None and (name != "__init__" or len(self._known) >= _OBJECTS):
            return
        if kept is not None and (kept[1] is None or _asks_itself(frame, value)):
            return
        try:
            if frame.f_code.co_flags & _LATER or (kept and kept[1] and len(kept[1][3]) >= STEPS):
                raise ValueError
            told = tell()
        except ValueError:
            self._known[id(value)] = value, None
            return
        if kept is None:
            self._known[id(value)] = value, [None, *told, []]
        elif kept[1]:
            kept[1][3].append([name, *told])

    def keeps(self, owner: int) -> bool:
        """Whether the object with that id has a history, and so stays alive."""
        return owner in self._known

    def got(self, value: object, maker: list[Any], args: list[Any], kwargs: dict[str, Any]) -> None:
        """A call gave an object; `maker` is the function that was called, as data."""
        kept = self._known.get(id(value))
        if (kept is None or kept[1] is None) and len(self._known) < _OBJECTS:
            self._known[id(value)] = value, [maker, args, kwargs, []]

    def of(self, value: Any) -> list[Any] | None:
        """`[maker, args, kwargs, steps]` of an object: what made it, None for its own class; a step is
        `[name, args, kwargs]`. `[None]` for an object that is being made now.
        """
        if value is self._beginning is not None:
            return [None]
        kept = self._known.get(id(value))
        if kept is None or kept[1] is None:
            return None
        *made, steps = kept[1]
        return [*made, steps[:-1] if value is self._within else list(steps)]


def is_method(code: types.CodeType) -> bool:
    """Whether a code object is a method of a class of the repository, or makes an object of a data class."""
    generated = code.co_name == "__init__" and code.co_filename.startswith("<")
    here = generated or code.co_filename.startswith(_HERE)
    return here and code.co_argcount > 0 and code.co_varnames[0] == "self"


def remade(maker: Any, history: Sequence[Any]) -> Any:
    """A new object with a history (its arguments being values again); what a step raises is no matter.

    `maker` is its class, or a function that gives it.
    """
    if not history:
        return maker.__new__(maker)
    args, kwargs, steps = history
    made = maker(*args, **kwargs)
    for name, positional, keyword in steps:
        try:
            found = getattr(made, name)
            if not isinstance(inspect.getattr_static(type(made), name, None), property):
                found(*positional, **keyword)
        except Exception:
            continue
    return made


def _self(frame: types.FrameType) -> Any:
    return frame.f_locals.get("self")


def _asks_itself(frame: types.FrameType, value: Any) -> bool:
    """Whether the object is at work further up."""
    caller = frame.f_back
    for _ in range(_CALLERS):
        if caller is None:
            return False
        if is_method(caller.f_code) and _self(caller) is value:
            return True
        caller = caller.f_back
    return False
