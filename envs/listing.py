"""The files of a sandbox as they are listed from outside.

Invariant: the caches that tools leave behind (`.git`, `__pycache__`, ...) are never listed, and the list comes from a
program that nobody in the sandbox can have replaced.
"""

from __future__ import annotations

from typing import NamedTuple

from sandbox.protocol import TESTBED, Sandbox, SandboxError

LINK = -1
"""The size of a symbolic link."""
_CACHES = frozenset((".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"))
_FILE, _LINK = r"%s %m %T@ %C@ %P\0", r"-1 %P\0%l\0"


_CLOSED = "Permission denied"


class Shown(NamedTuple):
    """What a list tells of a file's contents."""

    size: int
    """Bytes; `LINK` for a symbolic link."""
    executable: bool = False
    """By its owner."""
    target: str = ""
    """Where a link leads."""


class Listed(NamedTuple):
    """A file in a list. Times are seconds since 1970."""

    shown: Shown
    modified: float
    changed: float
    """Of its status last, by the kernel's clock: no program can choose it."""


async def list_files(sandbox: Sandbox) -> dict[str, Listed]:
    """Path -> file, of all files and links but caches, and but those in folders that were closed to their owner.

    Raises `SandboxError`.
    """
    prune = [word for name in sorted(_CACHES) for word in ("-o", "-name", name)][1:]
    wanted = ["-type", "f", "-printf", _FILE, "-o", "-type", "l", "-printf", _LINK]
    result = await sandbox.run(["/usr/bin/find", TESTBED, "(", *prune, ")", "-prune", "-o", *wanted])
    closed = result.stderr and all(line.endswith(_CLOSED) for line in result.stderr.splitlines())
    if result.dropped_bytes or (result.exit_code and not closed):
        raise SandboxError(f"the files of {TESTBED} cannot be listed: {result.stderr[-200:] or 'there are too many'}")
    records = iter(result.stdout.split("\0")[:-1])
    return dict(_link(record[3:], next(records)) if record.startswith("-1 ") else _file(record) for record in records)


def _file(record: str) -> tuple[str, Listed]:
    size, mode, modified, changed, path = record.split(" ", 4)
    return path, Listed(Shown(int(size), bool(int(mode, 8) & 0o100)), float(modified), float(changed))


def _link(path: str, target: str) -> tuple[str, Listed]:
    return path, Listed(Shown(LINK, target=target), 0.0, 0.0)


def is_cache(path: str) -> bool:
    """Whether it is a file that tools make again by themselves: nobody's work."""
    return path.endswith(".pyc") or not _CACHES.isdisjoint(path.split("/"))
