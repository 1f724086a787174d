"""Choosing a backend by name.

Invariant: a backend that `open_backend` returns has been tried on this machine, and a name that was asked for is never
quietly replaced by another.
"""

from __future__ import annotations

import os

from sandbox.docker import DockerBackend
from sandbox.local import LocalBackend
from sandbox.protocol import BackendOptions, BackendUnavailable, SandboxBackend
from sandbox.wire import PORT, SERVICES_VARIABLE, TOKEN_VARIABLE

NAMES = ("auto", "docker", "local", "remote")


async def open_backend(name: str = "auto", options: BackendOptions | None = None) -> SandboxBackend:
    """`docker`, `local`, `remote`, or `auto`: Docker where an engine answers, else local.

    Raises `BackendUnavailable`, in one sentence that says what to do, when it cannot work here.
    """
    if name not in NAMES:
        raise ValueError(f"there is no sandbox backend {name!r}: choose one of {', '.join(NAMES)}")
    if name == "remote":
        return await _open_remote(options or BackendOptions())
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


async def _open_remote(options: BackendOptions) -> SandboxBackend:
    from sandbox.remote import RemoteBackend  # needs a library that the other backends do without

    listed = os.environ.get(SERVICES_VARIABLE, "").split(",")
    services = options.services or tuple(address.strip() for address in listed if address.strip())
    if not services:
        raise BackendUnavailable(
            "the remote backend needs to know where sandbox services are: "
            f"set {SERVICES_VARIABLE} to their addresses, such as http://HOST:{PORT}"
        )
    try:
        remote = RemoteBackend(services, options.token or os.environ.get(TOKEN_VARIABLE, "").strip() or None)
    except ValueError as error:
        raise BackendUnavailable(str(error)) from error
    try:
        await remote.check()
    except BackendUnavailable:
        await remote.close()
        raise
    return remote
