"""An engine that is killed and comes back: on one of our own, so that no other test notices."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import BackendOptions, DockerBackend, Image, SandboxError, lease
from sandbox.base_image import find_base
from sandbox.engine_api import Engine, engine_socket

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.asyncio]
_ROOT = Path(__file__).parents[2]

_OWNER = """
import asyncio, sys
from pathlib import Path
from sandbox import BackendOptions, DockerBackend, Image, Limits

async def main():
    docker = DockerBackend(BackendOptions(docker_base=sys.argv[1]))
    box = await docker.start(Image("conformance", Path(sys.argv[2])), Limits())
    print(box.name, flush=True)
    await box.run("sleep 600", timeout_s=600)

asyncio.run(main())
"""


class OwnEngine:
    """A dockerd with folders and a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self.socket = f"{folder}/engine.sock"
        paths = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        # Without a bridge dockerd takes docker0 away, and that is the other engine's: hence a network of its own.
        self._command = [
            "unshare",
            "--net",
            "dockerd",
            f"--host=unix://{self.socket}",
            "--iptables=false",
            "--ip6tables=false",
        ]
        self._command += ["--bridge=none", *(f"--{option}={folder}/{name}" for option, name in paths.items())]
        self._log = (folder / "log").open("wb")
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log, start_new_session=True)
        for _ in range(600):
            if self.docker("version").returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"dockerd did not come up: {Path(self._log.name).read_text()[-500:]}")

    def kill(self) -> None:
        """As a crash would. What it supervised lives on."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """For good."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        self._log.close()

    def docker(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ["docker", "-H", f"unix://{self.socket}", *arguments]
        return subprocess.run(command, capture_output=True, check=False)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnEngine]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        base = asyncio.run(find_base(Engine(engine_socket()), None))
        own = OwnEngine(Path(folder))
        try:
            subprocess.run(f"docker save {base} | docker -H unix://{own.socket} load", shell=True, check=True)
            own.docker("tag", base, "base:test")
            monkeypatch.setenv("DOCKER_HOST", f"unix://{own.socket}")
            yield own
        finally:
            own.stop()


async def test_nothing_is_left_after_an_engine_was_killed_and_came_back(engine: OwnEngine, image: Image) -> None:
    options = BackendOptions(docker_base="base:test")
    docker = DockerBackend(options)
    async with lease(docker, image) as mine:
        command = [sys.executable, "-c", _OWNER, "base:test", str(image.tree)]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as other:  # noqa: ASYNC220
            assert other.stdout is not None
            name = other.stdout.readline().strip()
            assert {mine.name, name} <= set(await docker.alive())
            engine.kill()
            assert (await mine.run("echo on")).stdout == "on\n"  # no engine is needed for a step
            other.kill()
        await asyncio.to_thread(engine.start)
        with pytest.raises(SandboxError):  # this engine ends at its start what ran without it
            await mine.run("true")
    again = DockerBackend(options)
    async with lease(again, image) as fresh:
        assert (await fresh.run("echo on")).stdout == "on\n"
    for _ in range(100):
        if await again.alive() == []:
            break
        await asyncio.sleep(0.1)
    assert await again.alive() == []
    assert engine.docker("ps", "-aq").stdout == b""
    await docker.close()
    await again.close()
