"""The shell of a sandbox: one bash that runs string after string, so that its state stays.

Invariant: nothing that a command prints can end it, answer for it or show up in another's output. Each command has
pipes of its own for its output, and its end is told on a pipe that no process it starts holds, with a word that is new
each time. A shell that is gone (exit, exec, kill, time-out) is replaced before the next command; what it could save of
its state (variables, functions, aliases, working directory) is there again.

How a command runs: its text lies in a memory file; a short line on the shell's standard input makes it read and
evaluate that, with both outputs sent to two named pipes. Fast because nothing is forked.
"""

from __future__ import annotations

import os
import signal
import stat
import time

from sandbox.guest.capture import Capture, discard
from sandbox.guest.processes import send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest.events import Events
    from sandbox.guest.processes import Moment, Spawner

_ENDED_FD, _TEXT_FD = 3, 4
_FOLDERS = ("/dev/shm", "/tmp")
_LEAVE = signal.SIGRTMIN + 9
_PATIENCE_S = 1.0
_STATE_END = b"# whole\n"
# Children get neither of the two descriptors; `builtin` keeps functions of the same names out.
_PREAMBLE = """\
trap '{{ builtin declare -p; builtin declare -f; builtin declare -F; builtin alias -p; builtin shopt -p;
builtin printf "builtin cd -- %q\\n# whole\\n" "$PWD"; }} >{folder}/state 2>/dev/null' EXIT
trap 'builtin exit 124' {leave}
readonly __contextrl='IFS= builtin read -r -d "" __command </dev/fd/{text}
builtin eval "$__command" </dev/null >{folder}/1 2>{folder}/2 {ended}>&- {text}<&-
builtin printf "%s %s\\n" >&{ended} "$?"'
"""


class Shell:
    """Started when it is first needed. `ready` before each `run`."""

    def __init__(self, events: Events, spawner: Spawner, env: dict[str, str], null: int) -> None:
        self._events = events
        self._spawner = spawner
        self._env = env
        self._null = null
        self._pid = 0
        self._text = -1
        self._lines = -1
        self._folder = ""
        self._cwd = "/testbed"
        self._said = bytearray()

    def ready(self) -> None:
        """Start a shell if none is alive. Raises `OSError`."""
        self._events.reap()
        if self._pid and self._events.exit_code(self._pid) is None:
            return
        if self._pid:
            self._events.forget(self._pid)
            os.close(self._lines)
            self._pid = 0
        elif self._text < 0:
            self._text = os.memfd_create("command")
        self._make_folder()
        lines_out, self._lines = os.pipe()
        ended_out, ended_in = os.pipe()
        os.set_blocking(ended_out, False)
        self._said.clear()
        self._events.watch(ended_out, self._said.extend)
        null = os.open("/dev/null", os.O_WRONLY)
        fds = [(lines_out, 0), (null, 1), (null, 2), (ended_in, _ENDED_FD), (self._text, _TEXT_FD)]
        try:
            cwd = self._cwd if os.path.isdir(self._cwd) else "/testbed"
            self._pid = self._spawner.spawn(["bash", "--norc", "--noprofile"], self._env, cwd, fds)
            self._events.expect(self._pid)
        finally:
            for fd in (lines_out, ended_in, null):
                os.close(fd)
        text = _PREAMBLE.format(folder=self._folder, leave=_LEAVE, text=_TEXT_FD, ended=_ENDED_FD)
        os.write(self._lines, text.encode() + self._restoration())

    def run(
        self,
        script: str,
        captures: tuple[Capture, Capture],
        deadline: float,
        moment: Moment,
        wait: Callable[[float], bool],
    ) -> int | None:
        """Run a script; its exit code, None when it ran out of time. Raises `ValueError`, `OSError`."""
        data = script.encode("utf-8", "surrogateescape")
        if b"\0" in data:
            raise ValueError("a command cannot contain a NUL byte")
        os.pwrite(self._text, data + b"\0", 0)
        os.ftruncate(self._text, len(data) + 1)
        outputs = [self._open_output(number) for number in (1, 2)]
        for fd, capture in zip(outputs, captures):
            self._events.watch(fd, capture.add)
        word = os.urandom(8).hex()
        os.write(self._lines, f'eval "$__contextrl" {word}\n'.encode())
        code = self._await_end(word.encode(), outputs, deadline, moment, wait)
        for number, fd in enumerate(outputs, 1):
            if not self._events.drain(fd, discard):
                os.unlink(f"{self._folder}/{number}")  # a background job holds it: the next command gets another
        return code

    def _await_end(
        self, word: bytes, outputs: list[int], deadline: float, moment: Moment, wait: Callable[[float], bool]
    ) -> int | None:
        while True:
            while b"\n" in self._said:
                line, _, rest = bytes(self._said).partition(b"\n")
                self._said[:] = rest
                code, _, said = line.partition(b" ")
                if said == word and code.isdigit():
                    self._note_folder()
                    return int(code)
            if (ended := self._events.exit_code(self._pid)) is not None:
                return ended
            if not wait(deadline):
                self._note_folder()
                self._interrupt(outputs, moment)
                return None

    def _interrupt(self, outputs: list[int], moment: Moment) -> None:
        """End the command and its shell, which saves its state first if it still can."""
        for fd in outputs:
            self._events.drain(fd, discard)  # bash would tell which of its children were killed, by number
        until = time.monotonic() + _PATIENCE_S
        send(self._pid, _LEAVE)
        send(self._pid, signal.SIGCONT)
        while self._events.exit_code(self._pid) is None:
            moment.end_all_since(self._events.reap, spare=self._pid)
            self._events.wait(0.005)
            if time.monotonic() > until:
                send(self._pid, signal.SIGKILL)
        moment.end_all_since(self._events.reap)

    def _note_folder(self) -> None:
        try:
            self._cwd = os.readlink(f"/proc/{self._pid}/cwd")
        except OSError:
            pass

    def _restoration(self) -> bytes:
        """What makes the new shell read what the last one saved, if that is whole."""
        path = f"{self._folder}/state"
        try:
            with open(path, "rb") as handle:
                whole = handle.read().endswith(_STATE_END)
            os.rename(path, f"{path}.last")  # what a shell could not save is not what an earlier one saved
        except OSError:
            return b""
        return f". {path}.last\n".encode() if whole else b""

    def _make_folder(self) -> None:
        for parent in _FOLDERS:
            self._folder = f"{parent}/.contextrl"
            try:
                os.makedirs(self._folder, 0o700, exist_ok=True)
                for number in (1, 2):
                    os.close(self._open_output(number))
            except OSError:
                continue
            return
        raise OSError(f"no named pipe can be made below {' or '.join(_FOLDERS)}")

    def _open_output(self, number: int) -> int:
        """The reading end of a named pipe that nobody writes to yet, non-blocking."""
        path = f"{self._folder}/{number}"
        for _ in range(2):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            except FileNotFoundError:
                os.makedirs(self._folder, 0o700, exist_ok=True)
                os.mkfifo(path, 0o600)
                continue
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                return fd
            os.close(fd)
            os.unlink(path)
            os.mkfifo(path, 0o600)
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
