"""The shell of a sandbox: one bash that runs string after string, so that its state stays.

Invariant: nothing that a command prints can end it, answer for it or show up in another's output. A command's output
goes to pipes that nothing older holds, and its end is told on a socket that no process it starts holds, with a word
that is new each time. A shell that is gone (exit, exec, kill, time-out) is replaced before the next command; what it
could save of its state (variables, functions, aliases, options of `shopt`, working directory) is there again.

How a command runs: its text lies in a memory file; a word on the socket makes the shell read and evaluate it. Nothing
is forked and no file is made, so it costs a tenth of a millisecond.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from sandbox.guest.outputs import Outputs
from sandbox.guest.processes import Moment, send
from sandbox.guest.program import LEAVE, LOST, WORD_BYTES, drop_saved_state, keep_saved_state, program, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest.capture import Capture
    from sandbox.guest.events import Events
    from sandbox.guest.processes import Spawner

_BASH = ["bash", "--norc", "--noprofile", "-c"]
_PATIENCE_S = 1.0
_NOT_RUN = 126
_MOST_SAID, _MOST_HEARD = 1 << 12, 1 << 17
"""Bytes kept of an unfinished line, and of all that was told: what floods it is not the end of a command."""


class Shell:
    """Started by `ready`, and again whenever a command needs it and it is gone."""

    def __init__(self, events: Events, spawner: Spawner, env: dict[str, str], last_pid: Callable[[], int]) -> None:
        """`last_pid` tells the last process id given out: where it has not changed, nothing was started."""
        self._events = events
        self._spawner = spawner
        self._env = env
        self._outputs = Outputs(events)
        self._last_pid = last_pid
        self._last_seen = 0
        self.pid = 0
        """Of the shell that was started last; 0 where none is."""
        self._text = -1
        self._words: socket.socket | None = None
        self._said = bytearray()
        self._cwd = "/testbed"
        self._folder = ""
        self._traces = False
        self._lost = False

    def ready(self) -> None:
        """Start a shell if none is alive. Raises `OSError`."""
        if self.pid and self._events.exit_code(self.pid) is None:
            return
        if self.pid:
            self._events.forget(self.pid)
            self.pid = 0
        if self._text < 0:
            self._text = os.memfd_create("command")
        self._words, theirs = socket.socketpair()
        self._words.setblocking(False)
        self._said.clear()
        self._traces = False
        self._lost = False
        self._events.watch(os.dup(self._words.fileno()), self._hear)
        self._folder = folder = self._outputs.open()
        keep_saved_state(folder)
        null = os.open("/dev/null", os.O_WRONLY)
        fds = [(self._text, 0), (theirs.fileno(), 1), (null, 2)]
        cwd = self._cwd if os.path.isdir(self._cwd) else "/testbed"
        try:
            self.pid = self._spawner.spawn([*_BASH, program(folder)], self._env, cwd, fds)
            self._events.expect(self.pid)
            self._last_seen = self._last_pid()
        finally:
            os.close(null)
            theirs.close()

    def run(
        self,
        script: str,
        captures: tuple[Capture, Capture],
        deadline: float,
        wait: Callable[[float], bool],
    ) -> int | None:
        """Run a script; its exit code, None when it ran out of time. Raises `ValueError`, `OSError`."""
        data = script.encode("utf-8", "surrogateescape")
        if b"\0" in data:
            raise ValueError("a command cannot contain a NUL byte")
        self.ready()
        moment = Moment(self._last_seen)
        self._outputs.capture(captures)
        code = self._await_end(self._tell(data), deadline, moment, wait)
        if code == b"1" and not any(capture.seen for capture in captures) and not self._outputs.are_there():
            self._outputs.open()
            code = LOST
        if code == LOST:
            self._replace()
            self._outputs.capture(captures)
            code = self._await_end(self._tell(data), deadline, moment, wait)
        if (last_pid := self._last_pid()) != self._last_seen:
            self._last_seen = last_pid
            self._outputs.renew()
        else:
            self._outputs.drain()
        self._outputs.capture(None)
        return None if code is None else int(code) if code != LOST else _NOT_RUN

    def _tell(self, data: bytes) -> bytes:
        """Give the shell a script; the word that will tell its end."""
        data = b"set -x;" + data if self._traces else data
        os.pwrite(self._text, data + b"\0", 0)
        os.lseek(self._text, 0, os.SEEK_SET)  # the shell reads through the same open file
        word = os.urandom(WORD_BYTES).hex().encode()
        self._said.clear()
        self._lost = False
        assert self._words is not None
        self._words.send(word)
        return word

    def _await_end(
        self, word: bytes, deadline: float, moment: Moment, wait: Callable[[float], bool]
    ) -> bytes | int | None:
        """The exit code, `LOST` when the script was not run, None when it ran out of time."""
        while True:
            *lines, rest = bytes(self._said).split(b"\n")
            self._said[:] = rest[-_MOST_SAID:]
            for line in lines:
                end = told(line, word)
                if end is not None and end[0] == LOST:
                    self._lost = True  # it goes now; a word from elsewhere does not make a command run twice
                elif end is not None:
                    self._heed(end[1])
                    return end[0]
            if (ended := self._events.exit_code(self.pid)) is not None:
                return LOST if self._lost else ended
            if not wait(deadline):
                self._interrupt(moment)
                return None

    def _hear(self, chunk: bytes) -> None:
        self._said += chunk
        del self._said[:-_MOST_HEARD]

    def _heed(self, flags: bytes) -> None:
        """What the shell's options mean for us: it is quiet between commands, and a restricted one is of no use."""
        self._traces = b"x" in flags
        if b"r" in flags:
            self._replace()

    def _interrupt(self, moment: Moment) -> None:
        """End the command and its shell, which saves its state first if it still can."""
        self._outputs.drain()
        self._outputs.capture(None)  # bash would tell which of its children were killed, by number
        self._note_folder()
        until = time.monotonic() + _PATIENCE_S
        send(self.pid, LEAVE)
        send(self.pid, signal.SIGCONT)
        while self._events.exit_code(self.pid) is None:
            moment.end_all_since(self._events.reap, spare=self.pid)
            self._events.wait(0.005)
            if time.monotonic() > until:
                send(self.pid, signal.SIGKILL)
        moment.end_all_since(self._events.reap)

    def _note_folder(self) -> None:
        try:
            self._cwd = os.readlink(f"/proc/{self.pid}/cwd")
        except OSError:
            pass

    def _replace(self) -> None:
        """End the shell, which does nothing, and start another that knows of it only where it was."""
        self._outputs.drain()
        self._note_folder()
        send(self.pid, signal.SIGKILL)
        while self._events.exit_code(self.pid) is None:
            self._events.wait(0.005)
        drop_saved_state(self._folder)
        self.ready()
