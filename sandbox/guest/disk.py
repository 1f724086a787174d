"""A watch over what a sandbox writes to /testbed where no file system limits it (a container's own layer).

Invariant: a sandbox whose files exceed the limit has none of its processes left a moment later, and its next answer
says so. Looking costs next to nothing: only when the disk as a whole has lost space are the sandbox's files counted.
"""

from __future__ import annotations

import os
import signal
import stat

from sandbox.guest.processes import living, send

_MIB = 1 << 20
_MAX_FILES = 200_000


class Disk:
    """Call `check` every `every_s` seconds. `told` is what the next answer should say."""

    def __init__(self, limit_mb: int | None = None, folder: str = "/testbed") -> None:
        self.every_s = float("inf") if limit_mb is None else 0.25
        self.told = ""
        self._limit_mb = limit_mb or 0
        self._folder = folder
        self._free, self._free_files = 0.0, 0
        if limit_mb is not None:
            self._before, self._files_before = self._used()
            self._free, self._free_files = self._left()

    def check(self) -> None:
        """End all processes when the files of the sandbox have grown beyond the limit."""
        if self.every_s == float("inf"):
            return
        free, files = self._left()
        # Others may free space while this sandbox takes it, so the most that was ever free is what counts.
        self._free, self._free_files = max(self._free, free), max(self._free_files, files)
        if self._free - free < self._limit_mb / 4 and self._free_files - files < _MAX_FILES / 4:
            return
        self._free, self._free_files = free, files
        used, count = self._used()
        if used - self._before > self._limit_mb or count - self._files_before > _MAX_FILES:
            send(-1, signal.SIGKILL)
            self.told = f"more than {self._limit_mb} MiB written to {self._folder}: every process was ended"

    def _left(self) -> tuple[float, int]:
        status = os.statvfs(self._folder)
        return status.f_bfree * status.f_frsize / _MIB, status.f_ffree

    def _used(self) -> tuple[float, int]:
        """MiB and number of files below the folder, and of deleted ones that processes still hold open."""
        size = count = 0
        for blocks in _deleted(os.stat(self._folder).st_dev).values():
            size += blocks * 512
            count += 1
        for parent, folders, files in os.walk(self._folder):
            for name in folders + files:
                try:
                    size += os.lstat(os.path.join(parent, name)).st_blocks * 512
                except OSError:
                    continue
                count += 1
        return size / _MIB, count


def _deleted(device: int) -> dict[int, int]:
    """Number -> blocks of the files of this device that have no name any more, but are open in a process.

    A process that does not let itself be looked into, which takes intent, is ended.
    """
    found = {}
    for pid, _ in living():
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)
        except PermissionError:
            send(pid, signal.SIGKILL)
            continue
        except OSError:
            continue
        for name in names:
            try:
                status = os.stat(f"{folder}/{name}")
            except OSError:
                continue
            if status.st_nlink == 0 and status.st_dev == device and stat.S_ISREG(status.st_mode):
                found[status.st_ino] = status.st_blocks
    return found
