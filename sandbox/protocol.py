"""What a sandbox is: the contract that every backend keeps.

Invariant: a sandbox starts from its image and nothing else, shares no process, file or socket with any other
sandbox, and is gone (processes, mounts, containers) once `stop` has returned or its owner has died.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol

TESTBED = "/testbed"
"""Where the repository lies in every sandbox, and the working directory of every command."""


class SandboxError(RuntimeError):
    """The sandbox itself failed (engine gone, no space): never the fault of what ran in it. Retry elsewhere."""


class BackendUnavailable(SandboxError):
    """A backend cannot work on this machine; the message says what is missing and what to do."""


class SandboxFileError(SandboxError, OSError):
    """A file operation was refused or failed: no such file, a path outside the sandbox, a device."""


_LEAST = {"memory_mb": 32, "pids": 8, "cpus": 0.01, "file_mb": 1, "tmp_mb": 1, "output_kb": 1}
"""With less no sandbox starts."""


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use. Applied by the kernel, not by convention."""

    memory_mb: int = 1024
    pids: int = 256
    cpus: float = 1.0
    file_mb: int = 64
    """Largest single file that can be written, MiB."""
    tmp_mb: int = 256
    """How much can be written to each of /testbed and /tmp (together in the local backend), MiB."""
    timeout_s: float = 60.0
    """Default wall-clock limit of one command."""
    output_kb: int = 256
    """Captured bytes of each of stdout and stderr, KiB; the head and the tail are kept."""
    lease_s: float = 4 * 3600.0
    """How long the sandbox may exist, seconds. Then it ends itself, whatever runs in it and whoever waits for it."""

    def __post_init__(self) -> None:
        """Raises `ValueError`: to an engine or a kernel zero and less mean no limit at all."""
        for field_ in fields(self):
            value, least = getattr(self, field_.name), _LEAST.get(field_.name, 0)
            whole = isinstance(field_.default, int)
            if type(value) not in ((int,) if whole else (int, float)) or not least <= value < 1e12 or value == 0:
                above = f"of at least {least}" if least else "above 0"
                raise ValueError(f"the limit {field_.name} is {value!r}: give a {'whole ' * whole}number {above}")


@dataclass(frozen=True)
class Image:
    """What a sandbox starts from. Content-addressed: equal names mean equal contents.

    `tree` becomes /testbed. `python` is the interpreter commands find as `python` in the local backend (a
    virtual environment's; its prefix is mounted read-only). `requirements` are pip requirement lines (with hashes
    where known) that the Docker backend installs when it builds the image on its base image. `reference` is a published
    Docker image in which the repository lies ready at /testbed; tree, python and requirements are then left alone, and
    only the Docker backend can start it. Its history is replaced by one commit (`sandbox.published.prepare`).
    `python_version`, such as "3.12", is what the Docker backend's base image must have; empty takes what it has.
    """

    name: str
    tree: Path = Path()
    python: Path | None = None
    requirements: tuple[str, ...] = ()
    reference: str = ""
    python_version: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` where there is nothing to start from."""
        if self.tree == Path() and not self.reference:
            raise ValueError(f"image {self.name} needs a tree, or a reference to a published image")


@dataclass(frozen=True)
class ExecResult:
    """What a command did. A command that ran out of time has `timed_out` and exit code 124."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool = False
    dropped_bytes: int = 0
    """How many output bytes were left out between head and tail."""
    cpu_seconds: float | None = None
    """CPU time, user and system, of what ran in the sandbox meanwhile: children, jobs and what was killed included.
    None where it cannot be measured."""

    @property
    def output(self) -> str:
        """Standard output followed by standard error."""
        return self.stdout + self.stderr


@dataclass(frozen=True)
class SandboxInfo:
    """A sandbox that exists now, as it looks from outside."""

    name: str
    backend: str
    image: str = ""
    """Name of its image, where that is known."""
    owner_alive: bool | None = None
    """Whether the process that started it still runs; None for one of another machine."""
    started: float | None = None
    """Seconds since 1970, where that is known."""
    expires: float | None = None
    """When its lease ends, seconds since 1970, where that is known."""


class Sandbox(Protocol):
    """One running sandbox. Every method may raise `SandboxError`; none is safe to call after `stop`."""

    @property
    def name(self) -> str:
        """Unique on this machine; also the container's name or the lease folder's."""

    async def run(
        self,
        command: str | list[str],
        *,
        timeout_s: float | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> ExecResult:
        """Run a command, with an empty standard input. A time-out kills its whole process tree.

        A string is run by the sandbox's own shell, a bash that lives as long as the sandbox: working directory,
        variables, functions and options stay for the next string. With `cwd` or `env` it runs in a bash of its own
        and leaves nothing behind. A list is a program and its arguments, run without a shell, at /testbed unless
        `cwd` says otherwise.
        """

    async def interrupt(self) -> None:
        """End the command that runs now, as its time limit would; its exit code is 130. Nothing if none runs."""

    async def read(self, path: str) -> bytes:
        """The contents of a regular file. Relative paths start at /testbed. Raises `SandboxFileError`."""

    async def write(self, files: Mapping[str, bytes | None]) -> None:
        """Write files (parents are made), delete those mapped to None. One round trip for all of them."""

    async def upload(self, source: Path, target: str) -> None:
        """Copy a file or a folder with all below it from this machine, contents and execute bits. Parents are made.

        Raises `SandboxFileError` and changes nothing when there is a link, a FIFO, a socket or a device among them.
        """

    async def download(self, source: str, target: Path) -> None:
        """Copy a file or a folder with all below it to this machine. `target` must not exist yet.

        Raises `SandboxFileError` and leaves no `target` when there is a link, a FIFO, a socket or a device among them.
        """

    async def stop(self) -> None:
        """End every process in it and remove it. Safe to call twice."""


class SandboxBackend(Protocol):
    """Starts sandboxes of one kind."""

    @property
    def name(self) -> str:
        """`docker`, `local` or `remote`."""

    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
        """A fresh sandbox of the image, network closed unless asked for. Raises `SandboxError`."""

    async def alive(self) -> list[str]:
        """Names of the sandboxes of this backend that exist now, whoever started them."""

    async def gc(self) -> list[str]:
        """Remove the sandboxes whose owner process is gone; their names."""

    async def close(self) -> None:
        """Stop all sandboxes that this object started, and its helpers."""


@dataclass(frozen=True)
class BackendOptions:
    """How to open a backend (see `sandbox.open_backend`)."""

    docker_base: str | None = None
    """Base image of the Docker backend; None builds one from Debian's packages when no registry answers."""
    ca_bundle: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    """Addresses of sandbox services (remote backend). Empty: those in CONTEXTRL_SANDBOX_SERVICES, comma separated."""
    token: str | None = None
    """What the services ask for. None: CONTEXTRL_SANDBOX_TOKEN."""
