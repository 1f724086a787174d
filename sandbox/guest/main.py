"""Process 1 of a sandbox: answers requests until the channel closes.

Invariant: no command can trace this process, reach its descriptors or name its channel; a request that fails is
answered, never fatal.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

from sandbox.guest.commands import INTERRUPT, Commands
from sandbox.guest.disk import Disk
from sandbox.guest.events import Events
from sandbox.guest.files import Refused, list_tree, read_file, read_files, write_files
from sandbox.guest.frames import Channel
from sandbox.guest.seccomp import confine
from sandbox.guest.seed import fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PR_SET_DUMPABLE = 4
_FIRST_FREE_FD = 9
_AFTER_S = 0.1


def serve(fd_in: int, fd_out: int, env: dict[str, str]) -> None:
    """Begin as the first frame says, then answer. Never returns."""
    if os.getpid() != 1:
        raise SystemExit("the guest is process 1 of a sandbox and must not run anywhere else")
    while os.open("/dev/null", os.O_RDWR) < _FIRST_FREE_FD:
        pass  # the numbers that commands and the shell get are never those of a descriptor of ours
    channel = Channel(os.dup(fd_in), os.dup(fd_out))
    for fd in {fd_in, fd_out} - {0, 1, 2}:
        os.close(fd)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Commands have this process's user id: not dumpable, they can neither trace it nor reach its descriptors.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    confine()
    events = Events(channel.fd_in)
    commands = _begin(channel, events, env)
    while True:
        if channel.pending or events.wait(commands.disk.every_s):
            request, body = channel.receive()
            if request["op"] != INTERRUPT:  # else it came too late: the command has ended by itself
                channel.send(*_answer(commands, request, body))
        commands.disk.check()


def _begin(channel: Channel, events: Events, env: dict[str, str]) -> Commands:
    request, _ = channel.receive()
    events.expires = time.monotonic() + request["lease_s"]
    # The alarm ends it while it waits for an owner who neither reads nor writes. A command can send that signal too.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0) if time.monotonic() >= events.expires else None)
    signal.setitimer(signal.ITIMER_REAL, request["lease_s"] + _AFTER_S, _AFTER_S)
    try:
        fill(channel, request["seed"], "/testbed")
        commands = Commands(channel, events, env, Disk(request["disk_mb"]))
    except OSError as error:
        channel.send({"failed": "begin", "reason": str(error)})
        os._exit(1)
    channel.send({"ready": 1})
    commands.warm_up()
    return commands


def _answer(commands: Commands, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        if request["op"] == "run":
            return commands.run(request)
        if request["op"] == "read":
            return {}, read_file(request["path"])
        if request["op"] == "read_many":
            return read_files(request["paths"])
        return list_tree(request["path"]) if request["op"] == "list" else write_files(request, body), b""
    except Refused as error:
        return {"refused": str(error)}, b""
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        return {"refused": f"{request.get('path', '?')}: {reason}"}, b""
