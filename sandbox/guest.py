"""The program inside every sandbox: it runs commands and moves files for the client at the other end of its channel.

Invariant: only whole frames written by this program leave through the channel, whatever commands print or do, and
a command that ran out of time leaves no process behind. It must be process 1 of its own pid namespace: when the
channel closes it ends, and the kernel ends everything else with it.

Standard library only, one file, Python 3.8 or newer: the Docker backend sends its source ahead of the
first frame.

A frame is `FRAME` (lengths of header and body), a JSON header, a binary body.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import stat
import struct
import time
from typing import Any

FRAME = struct.Struct(">IQ")
TESTBED = "/testbed"
ROOTS = (TESTBED, "/tmp")
CHUNK = 1 << 16
MAX_READ = 256 << 20
PR_SET_DUMPABLE = 4
RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD)


class Refused(Exception):
    """A file request that cannot be served; the text goes to the client."""


class Capture:
    """Head and tail of a stream, at most `cap` bytes together; counts what falls out between them."""

    def __init__(self, cap: int) -> None:
        self.half = max(cap // 2, 1)
        self.head = bytearray()
        self.tail = bytearray()
        self.seen = 0

    def add(self, chunk: bytes) -> None:
        """Append to the stream."""
        self.seen += len(chunk)
        room = self.half - len(self.head)
        if room > 0:
            self.head += chunk[:room]
            chunk = chunk[room:]
        self.tail += chunk
        if len(self.tail) > self.half + 16 * CHUNK:
            del self.tail[: -self.half]

    def finish(self) -> tuple[bytes, bytes, int]:
        """Head, tail, and the number of bytes left out between them."""
        del self.tail[: -self.half]
        return bytes(self.head), bytes(self.tail), self.seen - len(self.head) - len(self.tail)


class Channel:
    """Frames in and out. The file descriptors are closed on exec, so no command ever holds them."""

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self.fd_in = fd_in
        self.fd_out = fd_out

    def _read_exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            try:
                chunk = os.read(self.fd_in, min(size - len(parts), 1 << 20))
            except ConnectionError:
                chunk = b""
            if not chunk:
                os._exit(0)  # the owner is gone: so is the sandbox
            parts += chunk
        return bytes(parts)

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next frame: header and body."""
        header_size, body_size = FRAME.unpack(self._read_exactly(FRAME.size))
        header = json.loads(self._read_exactly(header_size))
        return header, self._read_exactly(body_size)

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Write one frame."""
        text = json.dumps(header).encode()
        data = memoryview(FRAME.pack(len(text), len(body)) + text + body)
        while data:
            data = data[os.write(self.fd_out, data) :]


def living() -> set[int]:
    """Ids of all processes of this pid namespace but this one, zombies left out."""
    found = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or entry == "1":
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as handle:
                state = handle.read().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if state not in (b"Z", b"X"):
            found.add(int(entry))
    return found


def find_program(name: str, path: str) -> str:
    """The file that `name` stands for on the search path `path`; `name` itself when there is none."""
    if "/" not in name:
        for folder in path.split(":"):
            candidate = os.path.join(folder or ".", name)
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
    return name


class Commands:
    """Runs one command at a time and keeps draining the pipes of background jobs that earlier ones left."""

    def __init__(self, channel: Channel, env: dict[str, str], oom_fd: int = -1) -> None:
        self.channel = channel
        self.env = env
        self.oom_fd = oom_fd
        self.oom_base = int(os.pread(oom_fd, 16, 0)) if oom_fd >= 0 else 0
        self.streams: dict[int, Capture | None] = {}
        self.exits: dict[int, int] = {}
        self.poll = select.poll()
        self.wake, wake_in = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_in, False)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for fd in (self.wake, channel.fd_in):
            self.poll.register(fd, select.POLLIN)

    def wait(self, seconds: float | None) -> bool:
        """Serve pipes and dead children until something happened; True when the channel wants attention."""
        incoming = False
        for fd, _ in self.poll.poll(None if seconds is None else max(0, int(seconds * 1000) + 1)):
            if fd == self.channel.fd_in:
                incoming = True
            elif fd == self.wake:
                self._reap()
            else:
                self._pull(fd)
        return incoming

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.exits[pid] = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _pull(self, fd: int) -> int:
        """Read once from a pipe; the number of bytes, 0 when there is nothing more."""
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return 0
        capture = self.streams[fd]
        if not chunk:
            self.poll.unregister(fd)
            del self.streams[fd]
            os.close(fd)
        elif capture is not None:
            capture.add(chunk)
        return len(chunk)

    def _open(self, cap: int) -> tuple[int, int, Capture]:
        fd, write_end = os.pipe()
        os.set_blocking(fd, False)
        capture = self.streams[fd] = Capture(cap)
        self.poll.register(fd, select.POLLIN)
        return fd, write_end, capture

    def _spawn(self, argv: list[str], env: dict[str, str], cwd: str, out: int, err: int) -> int:
        os.chdir(cwd)
        try:
            program = find_program(argv[0], env.get("PATH", "/usr/bin:/bin"))
            self._prefer_for_oom(1000)
            return os.posix_spawn(
                program,
                argv,
                env,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, out, 1),
                    (os.POSIX_SPAWN_DUP2, err, 2),
                ],
                setsid=True,
                setsigdef=RESTORED_SIGNALS,
            )
        finally:
            self._prefer_for_oom(0)
            os.chdir("/")

    def _prefer_for_oom(self, score: int) -> None:
        """Children inherit the score: when memory runs out the kernel takes one of them, not this process."""
        if self.oom_fd >= 0:
            os.pwrite(self.oom_fd, b"%d" % max(score, self.oom_base), 0)

    def run(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Run one command to its end or its deadline; the answer's header and body (both streams)."""
        before = living()
        started = time.monotonic()
        captures, ends, fds = [], [], []
        for _ in ("stdout", "stderr"):
            fd, end, capture = self._open(request["cap"])
            fds.append(fd)
            ends.append(end)
            captures.append(capture)
        self.exits.clear()
        timed_out = False
        try:
            pid = self._spawn(request["argv"], dict(self.env, **request["env"]), request["cwd"], *ends)
        except (OSError, ValueError) as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            text = f"cannot run {request['argv'][:1]} in {request['cwd']}: {error}\n"
            captures[1].add(text.encode("utf-8", "backslashreplace"))
            pid = 0
        finally:
            for end in ends:
                os.close(end)
        if pid:
            code, timed_out = self._watch(pid, started + request["timeout"], before)
        self._drain(fds)
        seconds = time.monotonic() - started
        parts = [capture.finish() for capture in captures]
        header = {
            "code": code,
            "seconds": seconds,
            "timed_out": timed_out,
            "streams": [[len(head), len(tail), dropped] for head, tail, dropped in parts],
        }
        return header, b"".join(head + tail for head, tail, _ in parts)

    def _watch(self, pid: int, deadline: float, before: set[int]) -> tuple[int, bool]:
        """Wait for the command; past the deadline end everything that was born since it started."""
        while pid not in self.exits:
            left = deadline - time.monotonic()
            if left <= 0:
                self._kill_since(before)
                return 124, True
            if self.wait(left):
                os._exit(0)  # nobody speaks during a command: the channel closed
        return self.exits[pid], False

    def _kill_since(self, before: set[int]) -> None:
        for round_ in range(200):
            young = living() - before
            if not young:
                return
            if not before or round_ == 100:
                os.kill(-1, signal.SIGKILL)  # in one stroke: no fork can slip through
            for pid in young:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.001)

    def _drain(self, fds: list[int]) -> None:
        """Take what the command left in its pipes; a background job that holds them is not waited for."""
        for fd in fds:
            left = 1 << 20  # more than a pipe holds: beyond it is what a background job wrote meanwhile
            while left > 0 and fd in self.streams:
                count = self._pull(fd)
                if count == 0:
                    break
                left -= count
            if fd in self.streams:
                self.streams[fd] = None


def resolve(path: str, follow: bool) -> str:
    """The real path, links in it followed (the last one only when `follow`); it must lie in `ROOTS`."""
    full = os.path.join(TESTBED, path)
    folder, name = os.path.split(full)
    real = os.path.realpath(full) if follow else os.path.join(os.path.realpath(folder), name)
    inside = any(real.startswith(root + "/") for root in ROOTS)
    if not inside or name in ("", ".", ".."):
        raise Refused(f"{path}: not a file below {' or '.join(ROOTS)}")
    return real


def open_below(real: str, flags: int, make_parents: bool = False) -> int:
    """Open a resolved path without following any link, so that a link swapped in meanwhile is refused."""
    parts = real.strip("/").split("/")
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for depth, part in enumerate(parts[:-1]):
            if make_parents and depth > 0:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=fd)
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
        found = os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644, dir_fd=fd)
    finally:
        os.close(fd)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise Refused(f"{real}: not a regular file")
    return found


def read_file(path: str) -> bytes:
    """The contents of a regular file in `ROOTS`."""
    with os.fdopen(open_below(resolve(path, True), os.O_RDONLY), "rb") as handle:
        data = handle.read(MAX_READ + 1)
    if len(data) > MAX_READ:
        raise Refused(f"{path}: larger than {MAX_READ >> 20} MiB")
    return data


def write_file(path: str, data: bytes | None) -> None:
    """Write one file, or delete it when `data` is None; deleting what is not there is no error."""
    if data is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(resolve(path, False))
        return
    fd = open_below(resolve(path, True), os.O_WRONLY | os.O_CREAT, make_parents=True)
    with os.fdopen(fd, "wb") as handle:
        handle.truncate(0)
        handle.write(data)


def write_files(entries: list[list[Any]], body: bytes) -> None:
    """Entries are [path, size] or [path, null] in the order of their bytes in the body."""
    start = 0
    for path, size in entries:
        data = None if size is None else body[start : start + size]
        start += size or 0
        try:
            write_file(path, data)
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from error


def answer(commands: Commands, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """Serve one request; a file request that fails is answered, not fatal."""
    try:
        if request["op"] == "run":
            return commands.run(request)
        if request["op"] == "read":
            return {}, read_file(request["path"])
        write_files(request["files"], body)
        return {}, b""
    except Refused as error:
        return {"refused": str(error)}, b""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return {"refused": f"{request.get('path', '?')}: {reason}"}, b""


def serve(fd_in: int, fd_out: int, env: dict[str, str]) -> None:
    """Answer requests until the channel closes. Never returns."""
    if os.getpid() != 1:
        raise SystemExit("guest.py is process 1 of a sandbox and must not run anywhere else")
    channel = Channel(os.dup(fd_in), os.dup(fd_out))
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        oom_fd = os.open("/proc/self/oom_score_adj", os.O_RDWR)
    except OSError:
        oom_fd = -1
    # Commands have this process's user id: not dumpable, they can neither trace it nor reach its descriptors.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    commands = Commands(channel, env, oom_fd)
    channel.send({"hello": 1})
    while True:
        if commands.wait(None):
            channel.send(*answer(commands, *channel.receive()))


if __name__ == "__main__":
    try:
        serve(0, 1, dict(os.environ))
    except OSError as problem:
        raise SystemExit(0 if problem.errno == errno.EPIPE else 1) from problem
