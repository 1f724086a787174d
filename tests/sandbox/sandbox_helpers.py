"""Marks that find a sandbox's processes from outside it."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox import Sandbox

Starter = Callable[..., Awaitable[Sandbox]]
_numbers = itertools.count()


def new_mark() -> str:
    """A number of seconds that no other `sleep` on this machine sleeps."""
    return f"5{os.getpid()}{next(_numbers)}.25"


def processes_with(mark: str) -> list[int]:
    """All processes of this machine, in whatever namespace, that have the mark in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether the condition became true in time."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return True
        await asyncio.sleep(0.02)
    return condition()
