"""The launcher of the local backend: a small, warm, single-threaded process that forks one sandbox per request.

Invariant: when the backend's end of the control socket closes, for whatever reason, every sandbox launched here is
killed, its folder and its control groups are removed, and the launcher ends.

Requests are JSON packets, one per message, on the SOCK_SEQPACKET socket that is standard input: `{"start": cell}`
with the guest's channel as a passed descriptor, `{"kill": name}`. Answer: `{"gone": name}` when all of it is removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys

from sandbox import cgroups, jail, kernel
from sandbox.guest.frames import Channel
from sandbox.guest.main import serve

PACKET = 1 << 17


class Launcher:
    """The sandboxes launched so far and not yet gone."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self.parents = cgroups.parents() if os.geteuid() == 0 else ()
        self.running: dict[int, tuple[jail.Cell, list[str]]] = {}

    def serve(self) -> None:
        """Answer requests until the control socket closes, then end every sandbox."""
        wake, wake_in = os.pipe()
        for fd in (wake, wake_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            while self._serve_once(wake):
                pass
        finally:
            for pid in self.running:
                os.kill(pid, signal.SIGKILL)
            while self.running:
                self.reap(0)

    def _serve_once(self, wake: int) -> bool:
        """Wait for something to happen and see to it; False when the control socket closed."""
        ready = select.select([self.control.fileno(), wake], [], [])[0]
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            self.reap(os.WNOHANG)
        return self.control.fileno() not in ready or self._answer_one()

    def _answer_one(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self.control, PACKET, 1)
        except ConnectionError:  # closed while answers of ours were unread
            return False
        if not data:
            return False
        request = json.loads(data)
        if "start" in request:
            self.start(jail.Cell(**request["start"]), socket.socket(fileno=fds[0]))
        else:
            self.kill(request["kill"])
        return True

    def start(self, cell: jail.Cell, channel: socket.socket) -> None:
        """Fork one sandbox; whatever fails is told on its channel."""
        groups: list[str] = []
        with channel:
            try:
                os.mkdir(cell.lease)
                groups = cgroups.make(self.parents, cell.name, cell.memory_mb, cell.pids, cell.cpus)
                pid = self._fork(cell, groups, channel)
            except OSError as error:
                Channel(-1, channel.fileno()).send({"failed": "launcher", "reason": str(error)})
                self._clean_up(cell, groups)
                return
        self.running[pid] = (cell, groups)

    def _fork(self, cell: jail.Cell, groups: list[str], channel: socket.socket) -> int:
        """Process 1 of a new pid namespace; this process stays in its own."""
        kernel.unshare(kernel.CLONE_NEWPID)
        try:
            pid = os.fork()
            if pid == 0:
                become_sandbox(cell, groups, channel)
        finally:
            kernel.setns(self.own_pid_namespace, kernel.CLONE_NEWPID)
        return pid

    def kill(self, name: str) -> None:
        """End a sandbox; the kernel ends all its processes with its process 1."""
        for pid, (cell, _) in self.running.items():
            if cell.name == name:
                os.kill(pid, signal.SIGKILL)
                return
        self._tell_gone(name)

    def reap(self, flags: int) -> None:
        """Collect sandboxes that have ended and remove what is left of them."""
        while self.running:
            pid, _ = os.waitpid(-1, flags)
            if pid == 0:
                return
            if pid in self.running:
                self._clean_up(*self.running.pop(pid))

    def _clean_up(self, cell: jail.Cell, groups: list[str]) -> None:
        cgroups.remove(groups)
        with contextlib.suppress(OSError):
            os.rmdir(cell.lease)
        self._tell_gone(cell.name)

    def _tell_gone(self, name: str) -> None:
        with contextlib.suppress(OSError):  # the backend may be gone itself
            self.control.send(json.dumps({"gone": name}).encode())


def become_sandbox(cell: jail.Cell, groups: list[str], channel: socket.socket) -> None:
    """In the forked process: keep the channel and nothing else, build the jail, serve. Never returns."""
    try:
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 2)
        for fd in (0, 1):
            os.dup2(channel.fileno(), fd)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.closerange(3, 4096)
        cgroups.join(groups)
        jail.enter(cell, limited_by_cgroup=bool(groups))
        kernel.die_with_parent(signal.SIGKILL)
        serve(0, 1, cell.env)
    except jail.JailError as error:
        Channel(0, 1).send({"failed": error.step, "reason": str(error)})
    except Exception as error:
        Channel(0, 1).send({"failed": "launcher", "reason": repr(error)})
    finally:
        os._exit(1)


def enter_own_namespaces() -> None:
    """Not root: become the administrator of a user and a pid namespace, in which sandboxes can then be made."""
    jail.new_user_namespace(jail.SANDBOX_UID, os.geteuid(), os.getegid())
    kernel.unshare(kernel.CLONE_NEWPID)
    pid = os.fork()
    if pid:
        os.close(0)
        os._exit(os.waitpid(pid, 0)[1] and 1)
    kernel.die_with_parent(signal.SIGKILL)


def main() -> None:
    """Serve the control socket on standard input."""
    control = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the owner, who then closes the socket
    if os.geteuid() != 0:
        try:
            enter_own_namespaces()
        except jail.JailError as error:
            control.send(json.dumps({"failed": error.step, "reason": str(error)}).encode())
            sys.exit(1)
    control.send(json.dumps({"ready": True}).encode())
    Launcher(control).serve()


if __name__ == "__main__":
    main()
