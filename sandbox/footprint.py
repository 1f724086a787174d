"""How much memory sandboxes take, measured in two ways.

Invariant: what cannot be measured is `None`, never a guess. `available_mb` holds everything, the kernel's share too,
but also what the rest of the machine does meanwhile; `resident_mb` holds the processes of the sandboxes alone, pages
that several of them share counted once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sandbox.engine_api import Engine, engine_socket


def available_mb() -> float:
    """What new programs could still use on this machine, MiB (`MemAvailable`)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/meminfo does not tell MemAvailable")


def resident_mb(pids: Iterable[int]) -> float | None:
    """The sum of the processes' proportional set sizes, MiB. None where the kernel does not let this user see it."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (ProcessLookupError, FileNotFoundError):  # it ended meanwhile
            continue
        except PermissionError:
            return None
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def descendants(roots: Iterable[int]) -> set[int]:
    """These processes and all below them."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := _parent(int(entry))):
            children.setdefault(parent, []).append(int(entry))
    found, left = set(), list(roots)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found


async def container_processes(names: Iterable[str]) -> set[int]:
    """All processes of these containers of the local engine, each container's shim included. Raises `EngineError`."""
    engine = Engine(engine_socket())
    first = [(await engine.json("GET", f"/containers/{name}/json"))["State"]["Pid"] for name in names]
    return descendants(shim for pid in first if (shim := _parent(pid)))


def _parent(pid: int) -> int:
    """0 when there is none, or no such process any more."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0
