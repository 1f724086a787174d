"""The processes beside this one: kept out of it, and ended.

Invariant: after `end_others` no process runs in this sandbox that was not there before the driver started, however its
parents left it behind (a session of its own, a double fork).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

_DUMPABLE, _SUBREAPER = 4, 36
_ARENA_MAX = -8
_ROUNDS = 200


def become_unreadable() -> None:
    """Nobody of the same user may look into this process or its files; orphans below it become its children."""
    libc = ctypes.CDLL(None)
    libc.prctl(_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)


def become_readable() -> None:
    """For a fork, in which tests may look at /proc/self as everywhere."""
    ctypes.CDLL(None).prctl(_DUMPABLE, 1, 0, 0, 0)


def share_arenas() -> None:
    """Threads made from now on reserve no 64 MiB of addresses each, by which a limit on addresses would allow a few."""
    with contextlib.suppress(AttributeError):  # not every C library has it, nor reserves any
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def others() -> frozenset[int]:
    """Every process that there is but this one."""
    return frozenset(int(name) for name in os.listdir("/proc") if name.isdigit()) - {os.getpid()}


def end_others(before: frozenset[int]) -> None:
    """End all processes but this one and those that were there before."""
    for _ in range(_ROUNDS):
        left = [pid for pid in others() - before if not _is_zombie(pid)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not left:
            return
        time.sleep(0.001)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in (b"Z", b"X")
    except OSError:
        return True
