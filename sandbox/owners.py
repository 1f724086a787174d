"""Who owns a sandbox: names that tell, without any file, whether the owner process still lives.

Invariant: two processes never share an identity, not even one after the other: it holds the process's start time,
and the boot and pid namespace in which its id counts.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import re
from pathlib import Path

_counter = itertools.count()
_NAME = re.compile(r"contextrl-(?P<pid>\d+)-(?P<start>\d+)-\d+")


@functools.cache
def machine() -> str:
    """Identifies this boot of this machine and this pid namespace: where process ids mean the same."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return hashlib.sha256(f"{boot} {os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:16]


def new_name() -> str:
    """A sandbox name that belongs to this process."""
    return f"{_mine()}{next(_counter)}"


def me() -> str:
    """Tells this process from all others of this machine, dead ones included."""
    return _mine().strip("-").partition("-")[2]


def is_ours(name: str) -> bool:
    """Whether this process made this name."""
    return name.startswith(_mine())


def _mine() -> str:
    return f"contextrl-{os.getpid()}-{_start_time(os.getpid())}-"


def is_alive(name: str) -> bool:
    """Whether the process that made this name, on this machine, still runs."""
    match = _NAME.fullmatch(name)
    return match is not None and _start_time(int(match["pid"])) == match["start"]


def _start_time(pid: int) -> str:
    """In clock ticks since boot; empty when there is no such process or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
