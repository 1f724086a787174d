"""The CPU time of all that runs in a sandbox, this process excepted.

Invariant: what was counted stays counted, however a process ends. Its time is its own until it has been waited for, by
its parent or by this process, which inherits the orphans; from then on it is theirs. Only a process that ignores the
ends of its children (SIGCHLD) loses what they took.

The time of what runs, and of what this process waited for, is known to the microsecond; of what others waited for, to
the kernel's tick of 10 ms.
"""

from __future__ import annotations

import os
import resource
import time

from sandbox.guest.processes import TICKS, every, fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CHILDREN, STAT = "/proc/{0}/task/{0}/children", "/proc/{0}/stat"


class CpuTime:
    """`begin`, then a command, then `spent`. Costs microseconds where the command starts nothing and nothing ends."""

    def __init__(self, last_pid: Callable[[], int]) -> None:
        """`last_pid` tells the last process id given out: where it has not changed, nothing was started."""
        self._last_pid = last_pid
        self._before = 0.0
        self._last_seen = -1
        self._pids: list[int] = []
        """Those that ran when they were last looked for, zombies included."""
        self._waited = 0.0
        """What these had waited for, seconds."""
        self._ended = 0.0
        """The same, and what this process had waited for."""
        self._shell = -1
        self._files: list[int] = []

    def begin(self, shell: int) -> None:
        """`shell`: id of the shell. Where nothing else runs nothing has changed since the last command."""
        if self._last_seen < 0 or self._pids not in ([], [shell]):
            self._before = self._read(shell, 0)

    def spent(self, shell: int, ended: int = 0) -> float:
        """User and system time since it began, seconds. `ended`: a process that this one has waited for."""
        before, self._before = self._before, self._read(shell, ended)
        return max(self._before - before, 0.0)  # below it where a job ended while it was read

    def _read(self, shell: int, ended: int) -> float:
        last_pid = self._last_pid()
        if last_pid == self._last_seen + 1 == ended:
            self._ended = self._waited + _waited_here()
        elif last_pid != self._last_seen:
            self._look(shell)
        self._last_seen = last_pid
        running = _clocks(self._pids)
        if len(running) < len(self._pids):  # what the missing one took is its parent's now
            self._look(shell)
            running = _clocks(self._pids)
        return self._ended + sum(running)

    def _look(self, shell: int) -> None:
        """Find the processes: looking through all of /proc costs ten times as much as seeing that there is no other."""
        if shell != self._shell:
            self._open(shell)
        try:
            of_shell, of_this, stat = [os.pread(file, 4096, 0) for file in self._files]
            alone = not of_shell and of_this == b"%d " % shell  # in this order: orphans come to us
            found = [(shell, fields(stat))] if alone else every()
        except (OSError, ValueError):
            found = every()
        self._pids = [pid for pid, _ in found]
        self._waited = sum(int(stat[13]) + int(stat[14]) for _, stat in found) / TICKS
        self._ended = self._waited + _waited_here()

    def _open(self, shell: int) -> None:
        for file in self._files:
            os.close(file)
        self._shell, self._files = shell, []
        try:
            for path in (CHILDREN.format(shell), CHILDREN.format(os.getpid()), STAT.format(shell)):
                self._files.append(os.open(path, os.O_RDONLY))
        except OSError:  # the shell is gone, or the kernel lists no children
            pass


def _waited_here() -> float:
    mine = resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime


def _clocks(pids: list[int]) -> list[float]:
    """The CPU time of each of these processes that exists, seconds; its threads are in it, its children are not."""
    found = []
    for pid in pids:
        try:
            found.append(time.clock_gettime(~pid << 3 | 2))  # what clock_getcpuclockid(3) makes of it
        except OSError:
            pass
    return found
