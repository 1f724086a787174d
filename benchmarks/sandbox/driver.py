"""Plays one peer in a process of its own: `python driver.py PEER IMAGE`.

It imports nothing of ours, so that it runs in any virtual environment. It says on standard output what it is, then
answers each line that names an operation with a line of JSON: how long the one call took, and what it gave. So the
parent decides whose turn it is, and the time of talking to this process is not counted.

A peer has `open` (a sandbox, ready for its first command), `step` (the command `true` in it), `close`, `names` (its
containers); some have more.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any


def run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


class DockerCLI:
    """`docker run` and `docker exec`."""

    package = ""

    def __init__(self, image: str) -> None:
        self.image = image

    def open(self) -> None:
        self.box = run("docker", "run", "-d", "--rm", "--network", "none", self.image, "sleep", "1h").strip()

    def step(self) -> None:
        run("docker", "exec", self.box, "true")

    def close(self) -> None:
        run("docker", "rm", "-f", self.box)

    def names(self) -> list[str]:
        return [self.box[:12]]


class DockerPy:
    """docker-py: what most training environments use."""

    package = "docker"

    def __init__(self, image: str) -> None:
        import docker

        self.image = image
        self.client = docker.from_env()

    def start(self) -> Any:
        name = f"contextrl-peer-{uuid.uuid4().hex[:12]}"
        box = self.client.containers.create(self.image, ["sleep", "1h"], name=name, network_mode="none")
        box.start()
        return box

    def open(self) -> None:
        self.box = self.start()

    def step(self) -> None:
        assert self.box.exec_run("true").exit_code == 0

    def close(self) -> None:
        self.box.remove(force=True)

    def names(self) -> list[str]:
        return [self.box.id[:12]]

    def refill(self) -> float:
        """Containers per second: 4 threads create and start 3 each."""
        boxes: list[Any] = []
        threads = [threading.Thread(target=lambda: boxes.extend(self.start() for _ in range(3))) for _ in range(4)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = len(boxes) / (time.perf_counter() - started)
        for box in boxes:
            box.remove(force=True)
        return rate


class MiniSWEAgent:
    """mini-swe-agent's Docker environment: `docker exec ... bash -lc` for every action."""

    package = "mini-swe-agent"

    def __init__(self, image: str) -> None:
        os.environ["MSWEA_SILENT_STARTUP"] = "1"
        os.environ["MSWEA_GLOBAL_CONFIG_DIR"] = tempfile.mkdtemp(prefix="mini-swe-agent-")
        from minisweagent.environments.docker import DockerEnvironment

        self.make = lambda: DockerEnvironment(image=image, cwd="/testbed")

    def open(self) -> None:
        self.box = self.make()

    def step(self) -> None:
        self.execute("true")

    def view(self) -> None:
        self.execute("cat /etc/os-release")

    def execute(self, command: str) -> None:
        assert self.box.execute({"command": command})["returncode"] == 0

    def close(self) -> None:
        name, self.box.container_id = self.box.container_id, None  # its own way takes 10 s, in the background
        run("docker", "rm", "-f", name)

    def names(self) -> list[str]:
        return [self.box.container_id[:12]]


class SWEReX:
    """SWE-ReX: a server in the container, a port published for it."""

    package = "swe-rex"

    def __init__(self, image: str) -> None:
        from swerex.deployment.docker import DockerDeployment
        from swerex.runtime.abstract import BashAction, Command, CreateBashSessionRequest

        logging.disable(logging.CRITICAL)
        self.loop = asyncio.new_event_loop()
        self.make = lambda: DockerDeployment(image=image, pull="never", startup_timeout=60)
        self.session = CreateBashSessionRequest()
        self.action = BashAction(command="true")
        self.command = Command(command=["true"])

    def open(self) -> None:
        self.box = self.make()
        self.loop.run_until_complete(self.box.start())
        self.loop.run_until_complete(self.box.runtime.create_session(self.session))

    def step(self) -> None:
        assert self.loop.run_until_complete(self.box.runtime.run_in_session(self.action)).exit_code == 0

    def execute(self) -> None:
        assert self.loop.run_until_complete(self.box.runtime.execute(self.command)).exit_code == 0

    def close(self) -> None:
        self.loop.run_until_complete(self.box.stop())

    def names(self) -> list[str]:
        return run("docker", "ps", "-q", "--filter", f"name={self.box.container_name}").split()


class Unshare:
    """util-linux: the namespaces of a sandbox around /bin/true, with no file system of its own, limits or channel."""

    package = ""

    def __init__(self, image: str) -> None:
        self.step()

    def step(self) -> None:
        run("unshare", "-Urpfmn", "--mount-proc", "true")


class Ours:
    """A pool of ours, for the row that kills its owner. `IMAGE` is not used."""

    package = ""

    def __init__(self, image: str) -> None:
        from sandbox import DockerBackend, Pool
        from sandbox.bench import sample_image

        self.image = sample_image()
        self.loop = asyncio.new_event_loop()
        self.pool = Pool(DockerBackend(), size=4, warm=2)

    def open(self) -> None:
        from sandbox import Limits

        self.box = self.loop.run_until_complete(self.pool.start(self.image, Limits()))
        self.loop.run_until_complete(asyncio.sleep(0.2))  # the pool makes spares: killed while it does

    def step(self) -> None:
        self.loop.run_until_complete(self.box.run("true"))

    def names(self) -> list[str]:
        found = run("docker", "ps", "-aq", "--filter", f"name=contextrl-{os.getpid()}-", "--no-trunc")
        return [name[:12] for name in found.split()]


PEERS: dict[str, Any] = {
    "docker CLI": DockerCLI,
    "docker-py": DockerPy,
    "mini-swe-agent": MiniSWEAgent,
    "SWE-ReX": SWEReX,
    "unshare": Unshare,
    "ours": Ours,
}


def answer(call: Callable[[], object]) -> dict[str, object]:
    started = time.perf_counter()
    try:
        result = call()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"ms": (time.perf_counter() - started) * 1e3, "result": result}


def main() -> None:
    talk = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries may print
    kind = PEERS[sys.argv[1]]
    try:
        peer = kind(sys.argv[2])
        hello = {"ready": importlib.metadata.version(kind.package) if kind.package else ""}
    except Exception as error:
        talk.write(json.dumps({"missing": f"{type(error).__name__}: {error}"}) + "\n")
        return
    talk.write(json.dumps(hello) + "\n")
    for line in sys.stdin:
        talk.write(json.dumps(answer(getattr(peer, line.strip()))) + "\n")


if __name__ == "__main__":
    main()
