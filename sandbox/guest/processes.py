"""The processes of a sandbox: which were born since when, how they are started and how they are ended.

Invariant: what `Moment.end_all_since` ends stays ended: it returns when nothing born since the moment is alive, however
often it forked, and nothing older is touched unless the young fork faster than they can be found.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TICKS = os.sysconf("SC_CLK_TCK")
"""Of the kernel's clock in /proc, per second."""
_ROUNDS = 200
RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD)


class Moment:
    """Now, as a point between two births: the kernel's clock in its own ticks, and the last process id given out."""

    def __init__(self, last_pid: int) -> None:
        """`last_pid`: the last word of /proc/loadavg, now or a little earlier."""
        self.tick = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)
        self.last_pid = last_pid

    def born_since(self) -> list[int]:
        """Processes that started after this moment. Ids come round again, so they decide within one tick only."""
        return [pid for pid, tick in living() if tick > self.tick or (tick == self.tick and pid > self.last_pid)]

    def end_all_since(self, reap: Callable[[], None], spare: int = 0) -> None:
        """Kill what was born since, but the process `spare`."""
        for round_ in range(_ROUNDS):
            young = [pid for pid in self.born_since() if pid != spare]
            if not young:
                return
            if round_ == _ROUNDS // 2:
                send(-1, signal.SIGKILL)  # in one stroke: no fork can slip through
            for pid in young:
                send(pid, signal.SIGKILL)
            reap()
            time.sleep(0.001)


def living() -> list[tuple[int, int]]:
    """Id and start time (ticks since boot) of all processes of this pid namespace but process 1, zombies left out."""
    return [(pid, int(fields[19])) for pid, fields in every() if fields[0] not in (b"Z", b"X")]


def every() -> list[tuple[int, list[bytes]]]:
    """Id and `fields` of all processes of this pid namespace but process 1."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or entry == "1":
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb", buffering=0) as handle:
                found.append((int(entry), fields(handle.read(4096))))
        except OSError:
            continue
    return found


def fields(stat: bytes) -> list[bytes]:
    """The fields of /proc/ID/stat from the third on, which is the first after the name."""
    return stat.rpartition(b")")[2].split()


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def find_program(name: str, path: str) -> str:
    """The file that `name` stands for on the search path `path`; `name` itself when there is none."""
    if "/" not in name:
        for folder in path.split(":"):
            candidate = os.path.join(folder or ".", name)
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
    return name


class Spawner:
    """Starts processes that the kernel prefers to this one when memory runs out."""

    def __init__(self) -> None:
        try:
            self._oom_fd = os.open("/proc/self/oom_score_adj", os.O_RDWR)
        except OSError:
            self._oom_fd = -1
        self._oom_base = int(os.pread(self._oom_fd, 16, 0)) if self._oom_fd >= 0 else 0

    def spawn(self, argv: list[str], env: dict[str, str], cwd: str, fds: list[tuple[int, int]]) -> int:
        """Start a program in a session of its own; `fds`: (descriptor here, number there). Raises `OSError`."""
        if not argv:
            raise ValueError("the command is empty")
        os.chdir(cwd)
        try:
            program = find_program(argv[0], env.get("PATH", "/usr/bin:/bin"))
            self._prefer_for_oom(1000)
            return os.posix_spawn(
                program,
                argv,
                env,
                file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in fds],
                setsid=True,
                setsigdef=RESTORED_SIGNALS,
            )
        finally:
            self._prefer_for_oom(0)
            os.chdir("/")

    def _prefer_for_oom(self, score: int) -> None:
        """Children inherit the score."""
        if self._oom_fd >= 0:
            os.pwrite(self._oom_fd, b"%d" % max(score, self._oom_base), 0)
