"""What a sandbox waits for: requests, output, the ends of processes, the end of its lease.

Invariant: every pipe that is watched is drained, also after its command has ended, so no background job ever blocks;
every dead child is reaped; past the end of the lease this process ends, whatever happens in it.
"""

from __future__ import annotations

import os
import select
import signal
import time

from sandbox.guest.capture import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Sink = Callable[[bytes], None]


class Events:
    """One poll over all of it."""

    def __init__(self, channel_fd: int) -> None:
        self.expires = float("inf")
        """When the lease ends, seconds of the monotonic clock."""
        self._channel_fd = channel_fd
        self._sinks: dict[int, Sink] = {}
        self._exits: dict[int, int | None] = {}
        self._poll = select.poll()
        self._wake, wake_in = os.pipe()
        for fd in (self._wake, wake_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for fd in (self._wake, channel_fd):
            self._poll.register(fd, select.POLLIN)

    def expect(self, pid: int) -> None:
        """Remember how this child ends; other dead children are reaped and forgotten."""
        self._exits[pid] = None

    def exit_code(self, pid: int) -> int | None:
        """Of an expected child: 128 + signal where one killed it; None while it lives."""
        return self._exits[pid]

    def forget(self, pid: int) -> None:
        """No longer expect this child."""
        del self._exits[pid]

    def watch(self, fd: int, sink: Sink) -> None:
        """Give all that comes out of a non-blocking descriptor to `sink`, until its end; then close it."""
        self._sinks[fd] = sink
        self._poll.register(fd, select.POLLIN)

    def watches(self, fd: int) -> bool:
        """Whether the descriptor is still watched: its end has not come."""
        return fd in self._sinks

    def redirect(self, fd: int, sink: Sink) -> None:
        """Give what comes from now on to another sink."""
        self._sinks[fd] = sink

    def release(self, fd: int) -> Sink:
        """Watch a descriptor no longer, and leave it open; its sink."""
        self._poll.unregister(fd)
        return self._sinks.pop(fd)

    def wait(self, seconds: float | None) -> bool:
        """Serve pipes and dead children until something happened; True when the channel wants attention."""
        incoming = False
        left = self.expires - time.monotonic()
        if left <= 0:
            os._exit(0)
        seconds = left if seconds is None else min(seconds, left)
        for fd, _ in self._poll.poll(None if seconds == float("inf") else min(int(seconds * 1000) + 1, 1 << 30)):
            if fd == self._channel_fd:
                incoming = True
            elif fd == self._wake:
                self.reap()
            else:
                self._pull(fd)
        return incoming

    def reap(self) -> None:
        """Collect the children that have ended."""
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._exits:
                self._exits[pid] = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def drain(self, fd: int) -> None:
        """Take what has been written so far."""
        left = 1 << 20  # more than a pipe holds: beyond it is what a background job wrote meanwhile
        while left > 0 and fd in self._sinks:
            count = self._pull(fd)
            if count == 0:
                break
            left -= count

    def _pull(self, fd: int) -> int:
        """Read once; the number of bytes, 0 when there is nothing more."""
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return 0
        except ConnectionError:  # a shell was killed before it read what it was told
            chunk = b""
        if chunk:
            self._sinks[fd](chunk)
        else:
            self._poll.unregister(fd)
            del self._sinks[fd]
            os.close(fd)
        return len(chunk)
