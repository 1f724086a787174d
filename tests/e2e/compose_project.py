"""The services of compose.yaml under a name, settings and ports of their own."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import urllib.request
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PORTS = ("SANDBOX_PORT", "POSTGRES_PORT", "VIEWER_PORT")


class Project:
    """One project; nothing of it but images is left after `compose("down", "--volumes")`."""

    def __init__(self, folder: Path) -> None:
        self.name = f"contextrl-e2e-{uuid.uuid4().hex[:8]}"
        self._file = folder / "env"
        known = explained()
        self._environment = {k: v for k, v in os.environ.items() if k not in known and not k.startswith("COMPOSE_")}
        call("bash", "scripts/compose_env.sh", str(self._file), env=self._environment)
        with self._file.open("a") as file:
            file.writelines(f"{port}={free_port()}\n" for port in PORTS)
        lines = [line for line in self._file.read_text().splitlines() if not line.startswith("#")]
        self.settings = dict(line.split("=", 1) for line in lines)

    def compose(self, *words: str) -> str:
        """Run `docker compose`."""
        file = ["--env-file", str(self._file), "--project-name", self.name]
        return call("docker", "compose", *file, *words, env=self._environment)

    def up(self) -> None:
        """Build what has changed and return when all are healthy."""
        self.compose("up", "--detach", "--wait", "--quiet-pull")

    def left(self, what: str) -> list[str]:
        """Names of what there is of this project: `container`, `network` or `volume`."""
        every = ["--all"] if what == "container" else []
        mine = ["--filter", f"label=com.docker.compose.project={self.name}", "--quiet"]
        return call("docker", what, "ls", *every, *mine).split()

    @property
    def service(self) -> str:
        """Address of the sandbox service."""
        return f"http://127.0.0.1:{self.settings['SANDBOX_PORT']}"

    @property
    def store(self) -> str:
        """URL of the store."""
        password, port = self.settings["POSTGRES_PASSWORD"], self.settings["POSTGRES_PORT"]
        return f"postgresql://contextrl:{password}@127.0.0.1:{port}/contextrl"

    def page(self, path: str, token: str) -> str:
        """What the viewer shows."""
        url = f"http://127.0.0.1:{self.settings['VIEWER_PORT']}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            text: str = answer.read().decode()
        return text


def needed() -> set[str]:
    """Variables of compose.yaml."""
    return set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text())) | {"BASE_IMAGE"}


def explained() -> set[str]:
    """Variables of .env.example."""
    return set(re.findall(r"(?m)^#?([A-Z_]+)=", (ROOT / ".env.example").read_text()))


def inspect(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    found: dict[str, Any] = json.loads(call("docker", "inspect", container))[0]
    return found


def call(*words: str, env: dict[str, str] | None = None) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env=env)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-1000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
