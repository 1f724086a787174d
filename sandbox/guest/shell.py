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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest.capture import Capture
    from sandbox.guest.events import Events
    from sandbox.guest.processes import Spawner

_LEAVE = signal.SIGRTMIN + 9
_PATIENCE_S = 1.0
_WORD_BYTES = 3
_NOT_RUN = 126
_STATE_END = b"# whole\n"
_LOST = b"lost"
# All on one line, so that messages count the lines of the command. `builtin` keeps functions of the same names out;
# the outer loop catches a stray `break`, and a stray `continue` tells the end of its command like any other. The
# shell's own standard input is the text and its standard output the socket: a command has neither, and nothing needs
# closing. The slash parts what is told from what a trap may have printed there. A shell that cannot even take a
# command's text, because one made a variable of ours read-only or a number, says so and goes.
_PROGRAM = (
    """trap 'builtin unset -v __command __word; """
    """{{ builtin declare -p; builtin declare -f; builtin declare -F; builtin alias -p; builtin shopt -p; """
    """builtin printf "builtin cd -- %q\\n# whole\\n" "$PWD"; }} >{folder}/state 2>/dev/null' EXIT; """
    """trap 'builtin exit 124' {leave}; """
    """[ -e {folder}/state.last ] && . {folder}/state.last >/dev/null; """
    """__word=-; while :; do while builtin printf '/%s %s %s\\n' "$?" "$__word" "$-"; builtin set +x; """
    """{{ builtin read -r -N {length} -u 1 __word && IFS= builtin read -r -d '' __command && """
    """[[ ${{__word@a}}${{__command@a}} != *[aAilnru]* ]]; }} || """
    """{{ builtin printf '/{lost}\\n'; builtin exit; }}; """
    """do builtin eval "$__command" </dev/null >{folder}/1 2>{folder}/2; done; done"""
)


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
        self._pid = 0
        self._text = -1
        self._words: socket.socket | None = None
        self._said = bytearray()
        self._cwd = "/testbed"
        self._folder = ""
        self._traces = False

    def ready(self) -> None:
        """Start a shell if none is alive. Raises `OSError`."""
        if self._pid and self._events.exit_code(self._pid) is None:
            return
        if self._pid:
            self._events.forget(self._pid)
            self._pid = 0
        if self._text < 0:
            self._text = os.memfd_create("command")
        self._words, theirs = socket.socketpair()
        self._words.setblocking(False)
        self._said.clear()
        self._traces = False
        self._events.watch(os.dup(self._words.fileno()), self._said.extend)
        self._folder = folder = self._outputs.open()
        self._keep_saved_state()
        program = _PROGRAM.format(folder=folder, leave=_LEAVE, length=2 * _WORD_BYTES, lost=_LOST.decode())
        null = os.open("/dev/null", os.O_WRONLY)
        fds = [(self._text, 0), (theirs.fileno(), 1), (null, 2)]
        cwd = self._cwd if os.path.isdir(self._cwd) else "/testbed"
        try:
            self._pid = self._spawner.spawn(["bash", "--norc", "--noprofile", "-c", program], self._env, cwd, fds)
            self._events.expect(self._pid)
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
            code = _LOST
        if code == _LOST:
            self._replace()
            self._outputs.capture(captures)
            code = self._await_end(self._tell(data), deadline, moment, wait)
        if (last_pid := self._last_pid()) != self._last_seen:
            self._last_seen = last_pid
            self._outputs.renew()
        else:
            self._outputs.drain()
        self._outputs.capture(None)
        return None if code is None else int(code) if code != _LOST else _NOT_RUN

    def _tell(self, data: bytes) -> bytes:
        """Give the shell a script; the word that will tell its end."""
        data = b"set -x;" + data if self._traces else data
        os.pwrite(self._text, data + b"\0", 0)
        os.lseek(self._text, 0, os.SEEK_SET)  # the shell reads through the same open file
        word = os.urandom(_WORD_BYTES).hex().encode()
        assert self._words is not None
        self._words.send(word)
        return word

    def _await_end(
        self, word: bytes, deadline: float, moment: Moment, wait: Callable[[float], bool]
    ) -> bytes | int | None:
        """The exit code, `_LOST` when the script was not run, None when it ran out of time."""
        while True:
            while b"\n" in self._said:
                line, _, rest = bytes(self._said).partition(b"\n")
                self._said[:] = rest
                said = line.rpartition(b"/")[2].split(b" ")
                if said == [_LOST]:
                    return _LOST
                if len(said) == 3 and said[1] in (word, b"") and said[0].isdigit():  # empty: a command unset it
                    self._heed(said[2])
                    return said[0]
            if (ended := self._events.exit_code(self._pid)) is not None:
                return ended
            if not wait(deadline):
                self._interrupt(moment)
                return None

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

    def _replace(self) -> None:
        """End the shell, which does nothing, and start another that knows of it only where it was."""
        self._note_folder()
        send(self._pid, signal.SIGKILL)
        while self._events.exit_code(self._pid) is None:
            self._events.wait(0.005)
        try:
            os.unlink(f"{self._folder}/state")
        except OSError:
            pass
        self.ready()

    def _keep_saved_state(self) -> None:
        """Leave for the new shell what the last one saved, if that is whole; never what an earlier one saved."""
        state, kept = f"{self._folder}/state", f"{self._folder}/state.last"
        try:
            with open(state, "rb") as handle:
                whole = handle.read().endswith(_STATE_END)
            os.rename(state, kept)
        except OSError:
            whole = False
        if not whole:
            try:
                os.unlink(kept)
            except OSError:
                pass
