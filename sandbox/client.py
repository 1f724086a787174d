"""The owner's side of a sandbox: speaks to the guest program over whatever stream its backend opened.

Invariant: requests and answers alternate strictly. When that order is lost (a call was cancelled, the guest died or
does not answer in time) the sandbox is broken for good: every later call raises `SandboxError`, only `stop` works.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox import transfer
from sandbox.channel import Channel, packed
from sandbox.protocol import TESTBED, ExecResult, Limits, SandboxError, SandboxFileError

# Bytecode is matched to its source by size and whole seconds: a fast edit would go unnoticed, so none is kept.
COMMAND_ENV = {"HOME": "/tmp", "LANG": "C.UTF-8", "USER": "sandbox", "PYTHONDONTWRITEBYTECODE": "1"}
"""What every command finds in its environment, besides PATH."""

_BLOCKED_S = 0.5
GRACE_S = 30.0
"""How much longer than its time limit a command may take to be killed and reported before the guest counts as dead."""


class GuestSandbox:
    """A running sandbox of any backend (see `sandbox.protocol.Sandbox`)."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        channel: Channel,
        remove: Callable[[], Awaitable[None]],
    ) -> None:
        """`remove` ends the sandbox from outside and returns when nothing is left of it."""
        self._name = name
        self._limits = limits
        self._channel = channel
        self._remove = remove
        self._lock = asyncio.Lock()
        self._broken = ""
        self._asked = ""
        self._stopping: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Unique on this machine."""
        return self._name

    @property
    def channel(self) -> Channel:
        """The frames to and from the guest, for whoever relays them instead of calling the methods below."""
        return self._channel

    async def begin(self, seed: Sequence[bytes] = (), disk_mb: int | None = None) -> None:
        """Say how to begin and wait until the guest is ready. Raises `LaunchFailed` when it could not be started.

        `seed`: frames from which the guest makes /testbed (`sandbox.seeds`); `disk_mb`: how much may be written to
        /testbed where no file system limits it.
        """
        request = {"seed": len(seed), "disk_mb": disk_mb, "lease_s": self._limits.lease_s}
        header, _ = await self._exchange(request, b"", GRACE_S, seed)
        if "failed" in header:
            raise LaunchFailed(header["failed"], header["reason"])

    async def run(
        self,
        command: str | list[str],
        *,
        timeout_s: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> ExecResult:
        """Run a command (see `Sandbox.run`): a string in the sandbox's shell, a list as it is."""
        limit = self._limits.timeout_s if timeout_s is None else timeout_s
        if not 0 <= limit < 1e9:
            raise ValueError(f"a command cannot have {limit} s: give timeout_s as a number of seconds")
        request: dict[str, Any] = {"op": "run", "timeout": limit, "cap": self._limits.output_kb << 10}
        if isinstance(command, str) and cwd is None and env is None:
            request["script"] = command
        else:
            request["argv"] = ["bash", "-c", command] if isinstance(command, str) else list(command)
            request["cwd"] = TESTBED if cwd is None else os.fspath(cwd)
            request["env"] = dict(env or {})
            if not all(isinstance(word, str) for word in (*request["argv"], *request["env"], *request["env"].values())):
                raise TypeError("a command is a string or a list of strings, and its environment is of strings")
        header, body = await self._exchange(request, b"", limit + GRACE_S)
        with self._making_sense():
            texts, start = [], 0
            for head, tail, dropped in header["streams"]:
                texts.append(_text(body[start : start + head], body[start + head : start + head + tail], dropped))
                start += head + tail
            return ExecResult(
                exit_code=header["code"],
                stdout=texts[0],
                stderr=texts[1],
                seconds=header["seconds"],
                timed_out=header["timed_out"],
                dropped_bytes=sum(dropped for _, _, dropped in header["streams"]),
                cpu_seconds=_seconds(header.get("cpu")),
            )

    async def interrupt(self) -> None:
        """End the command that runs now (see `Sandbox.interrupt`)."""
        if self._asked == "run":
            with contextlib.suppress(ConnectionError):  # the command's own answer tells that
                await self._channel.send(packed({"op": "interrupt"}))

    async def read(self, path: str) -> bytes:
        """The contents of a regular file. Relative paths start at /testbed. Raises `SandboxFileError`."""
        return (await self._file({"op": "read", "path": path}))[1]

    async def write(self, files: Mapping[str, bytes | None]) -> None:
        """Write files (parents are made), delete those mapped to None. One round trip for all of them."""
        entries = [(path, None if data is None else len(data), None) for path, data in files.items()]
        await self._file({"op": "write", "files": entries}, b"".join(data for data in files.values() if data))

    async def upload(self, source: Path, target: str) -> None:
        """Copy a file or a folder into the sandbox (see `Sandbox.upload`)."""
        entries = await asyncio.to_thread(transfer.survey, source)
        for batch in transfer.batches(entries):
            request, body = await asyncio.to_thread(transfer.packed, source, target, batch)
            await self._file(request, body)

    async def download(self, source: str, target: Path) -> None:
        """Copy a file or a folder out of the sandbox (see `Sandbox.download`)."""
        listed = (await self._file({"op": "list", "path": source}))[0]
        with self._making_sense(), transfer.new_copy(target) as copy:
            entries = [transfer.Entry(*entry) for entry in listed["entries"]]
            for batch in transfer.batches(entries):
                paths = [transfer.joined(source, entry.name) for entry in batch if entry.size is not None]
                header, body = await self._file({"op": "read_many", "paths": paths}) if paths else ({"sizes": []}, b"")
                await asyncio.to_thread(transfer.unpack, copy, batch, header["sizes"], body)

    async def stop(self) -> None:
        """End every process in it and remove it. Safe to call twice, and to cancel: the removal goes on."""
        if self._stopping is None:
            self._broken = self._broken or "it was stopped"
            self._stopping = asyncio.create_task(self._stop())
        try:
            await asyncio.shield(self._stopping)
        except SandboxError:
            self._stopping = None  # the next call tries again
            raise

    async def _stop(self) -> None:
        self._channel.close()
        await self._remove()

    @contextlib.contextmanager
    def _making_sense(self) -> Iterator[None]:
        """What comes from a guest may be anything; what it cannot mean is the sandbox's failure."""
        try:
            yield
        except SandboxError:
            raise
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise SandboxFileError(f"sandbox {self._name} sent what makes no sense: {error!r}") from error

    async def _file(self, request: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        header, answer = await self._exchange(request, body, GRACE_S + len(body) / 1e6)
        if "refused" in header:
            raise SandboxFileError(f"sandbox {self._name}: {header['refused']}")
        return header, answer

    async def _exchange(
        self, request: dict[str, Any], body: bytes, patience: float, more: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], bytes]:
        frame = packed(request, body)  # what cannot be sent leaves the sandbox as it is
        async with self._lock:
            if self._broken:
                raise SandboxError(f"sandbox {self._name} cannot be used any more: {self._broken}")
            self._broken, self._asked = "an earlier call was cancelled", request.get("op", "")
            try:
                answer = await self._patiently(iter((frame, *more)), patience)
            except TimeoutError as error:
                self._broken = f"its guest did not answer within {patience:.0f} s"
                raise SandboxError(f"sandbox {self._name}: {self._broken}") from error
            except OSError as error:
                self._broken = "its process 1 died, most likely for want of memory, or its lease has expired"
                raise SandboxError(f"sandbox {self._name}: {self._broken}") from error
            finally:
                self._asked = ""
            if self._stopping is None:
                self._broken = ""
            return answer

    async def _patiently(self, frames: Iterator[bytes], patience: float) -> tuple[dict[str, Any], bytes]:
        """The answer, waited for as long as `patience`, in which the event loop must have run."""
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            try:
                async with asyncio.timeout(patience):
                    for frame in frames:
                        self._channel.write(frame)
                        await self._channel.drain()
                    await self._channel.drain()
                    return await self._channel.answer()
            except TimeoutError:
                if clock() - started < patience + _BLOCKED_S:
                    raise  # else something kept the loop busy: the answer may lie there unread


class LaunchFailed(SandboxError):
    """The guest could not be started: the step that failed, and why."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"the sandbox could not be started: {reason}")
        self.step = step
        self.reason = reason


def _seconds(said: Any) -> float | None:
    """A time, if one was told."""
    if said is None:
        return None
    if not 0 <= said < 1e12:
        raise ValueError(f"{said!r} is no time")
    return float(said)


def _text(head: bytes, tail: bytes, dropped: int) -> str:
    """Undecodable bytes appear as \\xNN; a gap is told where it is."""
    gap = f"\n[... {dropped} bytes left out ...]\n".encode() if dropped else b""
    return (head + gap + tail).decode("utf-8", "backslashreplace")
