"""Which process trains a run: told as a text that stays true when the process has ended.

Invariant: a process counts as running only where that can be seen: on its own host, with the start time that it had.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Literal

State = Literal["running", "ended", "unknown"]
"""`unknown`: on another host."""


def this_process() -> str:
    """What names this process for ever: host, number, time of its start."""
    return f"{platform.node() or 'localhost'} {os.getpid()} {_started(os.getpid())}"


def state_of(holder: str) -> State:
    """Whether the process that called itself so still runs. Empty: nobody holds the run."""
    if not holder:
        return "ended"
    host, _, process = holder.partition(" ")
    number, _, started = process.partition(" ")
    if host != (platform.node() or "localhost"):
        return "unknown"
    return "running" if number.isdigit() and _started(int(number)) == started != "" else "ended"


def describe(holder: str) -> str:
    """For a sentence: `process 12 on host`."""
    host, _, process = holder.partition(" ")
    return f"process {process.partition(' ')[0]} on {host}"


def _started(process: int) -> str:
    """The time of its start as the kernel counts; `?` where only its being there is known, empty where it is not."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[19] if fields[0] not in "ZX" else ""
    except OSError:
        pass
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "?"
