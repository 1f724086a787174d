"""Whether a call reads the clock, or what else is another one in every process.

Invariant: only calls of C functions are looked at, by `sys.setprofile`; nothing is replaced.
"""

from __future__ import annotations

import sys
import types

_TIMES = {"time", "monotonic", "perf_counter", "process_time", "thread_time"}
_TIMES |= {f"{name}_ns" for name in _TIMES} | {"localtime", "gmtime", "ctime", "asctime", "strftime"}
_READS = {"time": _TIMES, "posix": {"getpid", "urandom", "times"}}
_OF_CLASSES = {"now", "utcnow", "today"}


class Watch:
    """Watches what happens within it; `read` says whether the clock was read."""

    def __init__(self) -> None:
        self.read = False

    def __enter__(self) -> Watch:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: types.FrameType, event: str, called: object) -> None:
        if event == "c_call" and type(called) is types.BuiltinFunctionType:
            name, owner = called.__name__, called.__self__
            module = owner.__name__ if type(owner) is types.ModuleType else ""
            self.read |= name in _READS.get(module, ()) or (name in _OF_CLASSES and isinstance(owner, type))
