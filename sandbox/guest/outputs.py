"""The two pipes that the shell's commands write their output to.

Invariant: while a command runs, nothing that an earlier command left running holds them: what a background job writes
later is read, so that it does not block, and dropped. They have names, because that is how a running bash can be given
new ones; making and opening them again is needed only after a command that started processes.
"""

from __future__ import annotations

import os
import stat

from sandbox.guest.capture import discard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.guest.capture import Capture
    from sandbox.guest.events import Events

_FOLDERS = ("/dev/shm", "/tmp")
_NUMBERS = (1, 2)


class Outputs:
    """Standard output and standard error."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._folder = ""
        self._fds: list[int] = []

    def open(self) -> str:
        """Make new pipes; the folder that they lie in, by their numbers. Raises `OSError`."""
        for fd in self._fds:
            self._events.release(fd)
            os.close(fd)
        self._fds = []
        for parent in _FOLDERS:
            self._folder = f"{parent}/.contextrl"
            try:
                os.makedirs(self._folder, 0o700, exist_ok=True)
                os.chmod(self._folder, 0o700)
                for number in _NUMBERS:
                    self._fds.append(self._fresh(number))
            except OSError:
                while self._fds:
                    os.close(self._fds.pop())
                continue
            for fd in self._fds:
                self._events.watch(fd, discard)
            return self._folder
        raise OSError(f"no named pipe can be made below {' or '.join(_FOLDERS)}")

    def capture(self, captures: tuple[Capture, Capture] | None) -> None:
        """Where what comes goes from now on; None: nowhere."""
        for number, fd in enumerate(self._fds):
            self._events.redirect(fd, discard if captures is None else captures[number].add)

    def are_there(self) -> bool:
        """Whether a command can still open them: it can remove or close its predecessor's way to them."""
        for number in _NUMBERS:
            try:
                os.close(os.open(f"{self._folder}/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
            except OSError:
                return False
        return True

    def drain(self) -> None:
        """Take all that has been written so far."""
        for fd in self._fds:
            self._events.drain(fd)

    def renew(self) -> None:
        """After a command that started processes: take what they wrote, then let go of a pipe that one still holds."""
        for index, number in enumerate(_NUMBERS):
            self._events.drain(self._fds[index])
            self._fds[index] = self._renewed(number, self._fds[index])
            self._events.watch(self._fds[index], discard)

    def _renewed(self, number: int, ours: int) -> int:
        """What to read from now on: the same pipe if nobody holds it, else another, if there is room for one."""
        sink = self._events.release(ours)
        reader = self._reopened(ours, os.O_RDONLY)
        os.close(ours)
        try:
            while chunk := os.read(reader, 1 << 16):
                sink(chunk)
        except BlockingIOError:  # there is a writer
            replaced = self._replaced(number)
        else:
            replaced = not self._has_name(number, reader) and self._replaced(number)
        again = self._opened(number) if replaced else self._reopened(reader, os.O_RDWR)
        if replaced:
            self._events.watch(reader, discard)
        else:
            os.close(reader)
        return again

    def _has_name(self, number: int, fd: int) -> bool:
        """Whether the name still is that of this pipe: a command can remove it."""
        try:
            return os.path.samestat(os.stat(f"{self._folder}/{number}", follow_symlinks=False), os.fstat(fd))
        except OSError:
            return False

    def _replaced(self, number: int) -> bool:
        """Give the name to a new pipe. False where there is no room for one."""
        path = f"{self._folder}/{number}"
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)
            os.mkfifo(f"{path}.new", 0o600)
            os.rename(f"{path}.new", path)
        except OSError:
            return False
        return True

    def _reopened(self, fd: int, flags: int) -> int:
        """The same pipe once more, whatever became of its name."""
        return os.open(f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK)

    def _opened(self, number: int) -> int:
        """A pipe by its name, non-blocking; opened for reading and writing it has no end, however many writers go."""
        fd = os.open(f"{self._folder}/{number}", os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError("something else has the name of a pipe")
        return fd

    def _fresh(self, number: int) -> int:
        """A pipe for a new shell; where there is no room, the one that the last shell had."""
        if not self._replaced(number):
            try:
                return self._opened(number)
            except OSError:  # nothing to lose
                path = f"{self._folder}/{number}"
                if os.path.lexists(path):
                    os.unlink(path)
                os.mkfifo(path, 0o600)
        return self._opened(number)
