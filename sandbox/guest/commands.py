"""Commands: one at a time, to its end or its deadline, with what it printed.

Invariant: the answer to a command holds what that command wrote and nothing that an earlier one left running writes;
past its deadline every process that was born since it began is gone.
"""

from __future__ import annotations

import os
import time

from sandbox.guest.capture import Capture, discard
from sandbox.guest.cpu_time import CpuTime
from sandbox.guest.processes import Moment, Spawner
from sandbox.guest.shell import Shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.guest.disk import Disk
    from sandbox.guest.events import Events
    from sandbox.guest.frames import Channel

INTERRUPT = "interrupt"
"""The one request that may come while a command runs. It has no answer of its own."""
TIMED_OUT = 124
_INTERRUPTED = 130
_NOT_RUN = 126
_NOT_FOUND = 127


class Commands:
    """Runs strings in the shell that lives as long as the sandbox, lists and strings with an environment apart."""

    def __init__(self, channel: Channel, events: Events, env: dict[str, str], disk: Disk) -> None:
        self._channel = channel
        self._interrupted = False
        self._events = events
        self._env = env
        self.disk = disk
        self._null = os.open("/dev/null", os.O_RDONLY)
        self._loadavg = os.open("/proc/loadavg", os.O_RDONLY)
        self._cpu_time = CpuTime(self._last_pid)
        self._apart = 0
        self._spawner = Spawner()
        self._shell = Shell(events, self._spawner, env, self._last_pid)

    def warm_up(self) -> None:
        """Start the shell, so that a sandbox that waits in a pool has it. Where it cannot, its first command tells."""
        try:
            self._shell.ready()
        except OSError:
            pass

    def run(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Run one command; the answer's header and body (standard output, standard error)."""
        captures = (Capture(request["cap"]), Capture(request["cap"]))
        started = time.monotonic()
        deadline = started + request["timeout"]
        self._interrupted = False
        self._apart = 0
        self._cpu_time.begin(self._shell.pid)
        try:
            if "script" in request:
                code = self._shell.run(request["script"], captures, deadline, self._wait)
            else:
                code = self._run_apart(request, captures, deadline)
        except (OSError, ValueError, TypeError) as error:
            code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUN
            what = request["argv"][:1] if "argv" in request else "the shell"
            captures[1].add(f"cannot run {what}: {error}\n".encode("utf-8", "backslashreplace"))
        seconds = time.monotonic() - started
        cpu = self._cpu_time.spent(self._shell.pid, self._apart)
        if self.disk.told:
            captures[1].add(f"{self.disk.told}\n".encode())
            self.disk.told = ""
        parts = [capture.finish() for capture in captures]
        header = {
            "code": (_INTERRUPTED if self._interrupted else TIMED_OUT) if code is None else code,
            "seconds": seconds,
            "cpu": cpu,
            "timed_out": code is None and not self._interrupted,
            "streams": [[len(head), len(tail), dropped] for head, tail, dropped in parts],
        }
        return header, b"".join(head + tail for head, tail, _ in parts)

    def _last_pid(self) -> int:
        return int(os.pread(self._loadavg, 128, 0).split()[-1])

    def _wait(self, deadline: float) -> bool:
        """Let things happen; False when the deadline has passed, or the client wants no more of it."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        if self._channel.pending or self._events.wait(min(left, self.disk.every_s)):
            if self._channel.receive()[0]["op"] != INTERRUPT:
                os._exit(0)  # whoever speaks there has lost the order of requests and answers
            self._interrupted = True
            return False
        self.disk.check()
        return True

    def _run_apart(self, request: dict[str, Any], captures: tuple[Capture, Capture], deadline: float) -> int | None:
        """Run a program of its own; its exit code, None when it ran out of time."""
        moment = Moment(self._last_pid())
        pipes: list[tuple[int, int]] = []
        try:
            pipes += [os.pipe()]
            pipes += [os.pipe()]
            fds = [(self._null, 0), *((write_end, 1 + number) for number, (_, write_end) in enumerate(pipes))]
            pid = self._spawner.spawn(request["argv"], dict(self._env, **request["env"]), request["cwd"], fds)
        except BaseException:
            for read_end, _ in pipes:
                os.close(read_end)
            raise
        finally:
            for _, write_end in pipes:
                os.close(write_end)
        for (read_end, _), capture in zip(pipes, captures):
            os.set_blocking(read_end, False)
            self._events.watch(read_end, capture.add)
        self._events.expect(pid)
        while (code := self._events.exit_code(pid)) is None:
            if not self._wait(deadline):
                moment.end_all_since(self._events.reap)
                break
        self._events.forget(pid)
        self._apart = 0 if code is None else pid
        for read_end, _ in pipes:
            self._events.drain(read_end)
            if self._events.watches(read_end):
                self._events.redirect(read_end, discard)
        return code
