"""What functions answer to calls that no test makes.

Invariant: an answer is text, told as soon as it is there; what it is compared with never comes into the sandbox, so
that nothing in there can know it, and a process that is taken over by the code under test gains nothing.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import Any

from .answers import canonical
from .arguments import ArgumentError
from .clock import Watch
from .modules import find
from .reading import decode_call
from .values import dumps, name_of


class TooSlow(BaseException):
    """A call used up its time."""


def run_calls(
    calls: list[list[str]], emit: Callable[[dict[str, Any]], None], call_s: float, lasting: bool = False
) -> None:
    """Answer every call [function, arguments], in order; each has so many CPU seconds.

    `lasting`: one that reads the clock fails, as its answer will be another one tomorrow.
    """
    signal.signal(signal.SIGVTALRM, _too_slow)
    for function, arguments in calls:
        emit({"answer": answer(function, arguments, call_s, lasting)})


def answer(function: str, arguments: str, call_s: float, lasting: bool = False) -> str:
    """`{"returns": ...}`, `{"raises": ...}`, with `"arguments"` where the call changed them; `{"fails": ...}` for a
    call that could not be made, took too long, or would not be `lasting`.
    """
    try:
        module, positional, keyword = decode_call(arguments)
        found = find(function, module)
    except (ArgumentError, ImportError, AttributeError, KeyError) as error:
        return dumps({"fails": type(error).__name__})
    except Exception as error:  # of a module's top level
        return dumps({"fails": name_of(type(error))})
    before = canonical([positional, keyword], drain=False)
    signal.setitimer(signal.ITIMER_VIRTUAL, call_s)
    try:
        with Watch() if lasting else contextlib.nullcontext() as watch:
            told = _call(found, positional, keyword)
        if watch is not None and watch.read:
            return dumps({"fails": "clock"})
        if function.endswith(".__exit__") and told == {"returns": None}:
            told = {"returns": False}  # is as good
        after = canonical([positional, keyword], drain=False)
    except TooSlow:
        return dumps({"fails": "slow"})
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return dumps(told if after == before else {**told, "arguments": after})


def _call(function: Any, positional: list[Any], keyword: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"returns": canonical(function(*positional, **keyword))}
    except TooSlow:
        raise
    except BaseException as error:  # SystemExit is an answer too
        return {"raises": name_of(type(error))}


def _too_slow(*_: object) -> None:
    raise TooSlow
