"""The peers: where they are installed, and one process for each that is measured."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import venv
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

from sandbox.home import home

REQUIREMENTS = Path(__file__).parents[1] / "peers.txt"
DRIVER = Path(__file__).with_name("driver.py")
ROOT = Path(__file__).parents[2]
WITHOUT_PACKAGE = ("docker CLI", "unshare", "ours")
_PATIENCE_S = 120.0


class PeerFailed(Exception):
    """A peer could not do what it was asked to; in its own words."""


def environment() -> Path:
    return home() / "benchmark-peers"


def default_python() -> Path:
    """The environment of the peers where there is one, else this interpreter."""
    python = environment() / "bin" / "python"
    return python if python.exists() else Path(sys.executable)


def install() -> None:
    """Make the environment of the peers anew."""
    venv.create(environment(), clear=True, with_pip=True)
    command = [str(environment() / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
    subprocess.run([*command, "--disable-pip-version-check"], check=True)


class Peer:
    """One peer in a process of its own."""

    def __init__(self, name: str, process: Process, version: str) -> None:
        self.name = f"{name} {version}".strip()
        self.pid = process.pid
        self._process = process

    @classmethod
    async def start(cls, kind: str, image: str, python: Path) -> Peer:
        """Raises `PeerFailed` where it is not installed."""
        own = kind in WITHOUT_PACKAGE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable if own else str(python), str(DRIVER), kind, image),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={**os.environ, **({"PYTHONPATH": str(ROOT)} if own else {})},
            start_new_session=True,
        )
        hello = await cls._answer(process)
        if "ready" not in hello:
            await process.wait()
            raise PeerFailed(hello.get("missing") or "its process died")
        return cls(kind, process, hello["ready"])

    async def timed(self, operation: str) -> float:
        """How long one call took in its process, milliseconds."""
        return float((await self._ask(operation))["ms"])

    async def result(self, operation: str) -> Any:
        """What one call gave."""
        return (await self._ask(operation))["result"]

    async def end(self) -> None:
        """Let it end by itself, if it has not; its sandboxes must be closed already."""
        if self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL, to it alone."""
        os.kill(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def _ask(self, operation: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{operation}\n".encode())
        answer = await self._answer(self._process)
        if "ms" not in answer:
            raise PeerFailed(f"{self.name}, {operation}: {answer.get('error', 'its process died')}")
        return answer

    @staticmethod
    async def _answer(process: Process) -> dict[str, Any]:
        assert process.stdout is not None
        async with asyncio.timeout(_PATIENCE_S):
            line = await process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {}
        return answer
