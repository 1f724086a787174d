"""`contextrl sandbox shell`: type into a fresh sandbox what an agent could.

Invariant: however it ends, nothing is left of the sandbox. What is typed runs in the shell that agents get, so what is
seen is what they see; what it prints cannot move the cursor of a terminal.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from contextrl.cli import show

if TYPE_CHECKING:
    from sandbox import ExecResult, Image, Sandbox

T = TypeVar("T")
INTERRUPTED = 130
OUTPUT_KB = 16 << 10
_EXIT = re.compile(r"\s*(?:exit|logout)(?:\s+(\d+))?\s*;?\s*")
_INCOMPLETE = re.compile(r"unexpected end of file|unexpected EOF|delimited by end-of-file")
_ODD_BACKSLASHES = re.compile(r"(?<!\\)(?:\\\\)*\\\Z")


def shell(
    repository: Annotated[str | None, typer.Argument(help="A name from `contextrl repo ls`; else nothing.")] = None,
    backend: Annotated[str, typer.Option(help="auto, docker, local or remote.")] = "auto",
    network: Annotated[bool, typer.Option("--network", help="Open the network.")] = False,
    image: Annotated[str | None, typer.Option(help="Base image of the Docker backend.")] = None,
) -> None:
    """Type commands into a fresh sandbox; Ctrl-C ends the command, Ctrl-D or `exit` the sandbox.

    Commands from a pipe are run as one script; the exit code is the script's.
    """
    wanted = _image_of(repository)
    script = None if sys.stdin.isatty() else sys.stdin.read()
    with opened(wanted, backend, network, image) as box:
        code = Terminal(box).talk() if script is None else Terminal(box).show(script)
    raise typer.Exit(code)


def _image_of(repository: str | None) -> Image:
    from envs.repos import load_profile
    from envs.runtime import image_of
    from sandbox import Image
    from sandbox.home import home

    if repository is not None:
        return image_of(load_profile(repository))
    nothing = home() / "empty"
    nothing.mkdir(mode=0o755, exist_ok=True)
    return Image("empty", nothing)


@contextmanager
def opened(image: Image, backend: str, network: bool, base: str | None) -> Iterator[Sandbox]:
    """A fresh sandbox on the background loop. Raises `SandboxError`."""
    from sandbox import BackendOptions, Limits, open_backend, run_sync

    limits = Limits(timeout_s=Limits.lease_s, output_kb=OUTPUT_KB)
    sandboxes = run_sync(open_backend(backend, BackendOptions(docker_base=base)))
    try:
        yield run_sync(sandboxes.start(image, limits, network=network))
    finally:
        run_sync(sandboxes.close())


class Terminal:
    """Reads commands, runs them, prints what they print."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box

    def talk(self) -> int:
        """Until Ctrl-D or `exit`; its exit code."""
        import readline  # noqa: F401 (`input` edits lines once this is there)

        code = 0
        while True:
            try:
                text = self._read()
            except EOFError:
                typer.echo()
                return code
            except KeyboardInterrupt:
                typer.echo()
                continue
            if leaving := _EXIT.fullmatch(text):
                return int(leaving[1]) % 256 if leaving[1] else code
            if text.strip():
                code = self.show(text)

    def show(self, text: str) -> int:
        """Run a script and print what it printed; its exit code. Ctrl-C ends the script and not the sandbox."""
        result = _patiently(self._box.run(text), self._box)
        for stream, output in ((sys.stdout, result.stdout), (sys.stderr, result.stderr)):
            stream.write(show.plain(output) if stream.isatty() else output)
            if output and not output.endswith("\n") and stream.isatty():
                stream.write("\n")
            stream.flush()
        return INTERRUPTED if result.timed_out else result.exit_code

    def _read(self) -> str:
        """A line, and further ones as long as bash says that there must be more. Raises `EOFError`."""
        lines = [input(f"{self._cwd()} $ ")]
        while self._is_incomplete("\n".join(lines)):
            lines.append(input("> "))
        return "\n".join(lines)

    def _cwd(self) -> str:
        return show.plain(self._run("builtin pwd").stdout.strip()) or "?"

    def _is_incomplete(self, text: str) -> bool:
        if not text.strip():
            return False
        return bool(_ODD_BACKSLASHES.search(text) or _INCOMPLETE.search(self._run(["bash", "-nc", text]).stderr))

    def _run(self, command: str | list[str]) -> ExecResult:
        result = _patiently(self._box.run(command), self._box)
        if result.exit_code == INTERRUPTED:  # what was typed is forgotten
            raise KeyboardInterrupt
        return result


def _patiently(work: Coroutine[Any, Any, ExecResult], box: Sandbox) -> ExecResult:
    """The result; Ctrl-C interrupts the command in the sandbox, and its result comes at once."""
    from sandbox import run_sync

    running = run_sync(_begin(work))
    while not running.done():
        try:
            run_sync(_wait(running))
        except KeyboardInterrupt:
            run_sync(box.interrupt())
    return running.result()


async def _begin(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.ensure_future(work)


async def _wait(running: asyncio.Task[Any]) -> None:
    await asyncio.wait({running})
