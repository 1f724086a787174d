"""Choosing a backend by name.

Invariant: a backend that `open_backend` returns has been tried on this machine, and a name that was asked for is never
quietly replaced by another.
"""

from __future__ import annotations

from sandbox.docker import DockerBackend
from sandbox.local import LocalBackend
from sandbox.protocol import BackendOptions, BackendUnavailable, SandboxBackend

NAMES = ("auto", "docker", "local")


async def open_backend(name: str = "auto", options: BackendOptions | None = None) -> SandboxBackend:
    """`docker`, `local`, or `auto`: Docker where an engine answers, else local.

    Raises `BackendUnavailable`, in one sentence that says what to do, when it cannot work here.
    """
    if name not in NAMES:
        raise ValueError(f"there is no sandbox backend {name!r}: choose one of {', '.join(NAMES)}")
    if name != "local":
        try:
            docker = DockerBackend(options)
            await docker.check()
            return docker
        except BackendUnavailable:
            if name == "docker":
                raise
    local = LocalBackend()
    await local.check()
    return local
