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
                self._fds = [self._open(number, os.O_RDWR, new=True) for number in _NUMBERS]
            except OSError:
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
            ours = self._fds[index]
            self._events.drain(ours)
            try:
                self._fds[index] = self._renewed(number, ours)
            except OSError:
                continue  # no room for another: the old one serves on, with what the job writes
            self._events.watch(self._fds[index], discard)

    def _renewed(self, number: int, ours: int) -> int:
        reader = self._open(number, os.O_RDONLY)
        sink = self._events.release(ours)
        os.close(ours)
        try:
            while chunk := os.read(reader, 1 << 16):
                sink(chunk)
        except BlockingIOError:
            self._events.watch(reader, discard)
            return self._open(number, os.O_RDWR, new=True)
        os.close(reader)
        return self._open(number, os.O_RDWR)

    def _open(self, number: int, flags: int, new: bool = False) -> int:
        """A named pipe, non-blocking; opened for reading and writing it has no end, however many writers go."""
        path = f"{self._folder}/{number}"
        flags |= os.O_NONBLOCK | os.O_NOFOLLOW
        if not new:
            try:
                fd = os.open(path, flags)
            except OSError:
                fd = -1
            if fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode):
                return fd
        os.makedirs(self._folder, 0o700, exist_ok=True)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        os.mkfifo(path, 0o600)
        return os.open(path, flags)
