"""The image that all others are built on: given, pulled from a registry, or made from Debian packages.

Invariant: `find_base` returns an image that the engine holds and that has bash and python3, or raises
`BackendUnavailable`; it never returns one that it could not check. `python -m sandbox.base_image` prints the name of
the one it would take, for build files of other programs.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from sandbox.engine_api import Engine, EngineError, Query, engine_socket
from sandbox.home import home
from sandbox.protocol import BackendUnavailable, SandboxError

_log = logging.getLogger(__name__)

REGISTRY_BASE = "python:3.13-slim"
SUITE = "trixie"
DEBIAN_BASE = f"contextrl-base:{SUITE}"
_PACKAGES = "bash,python3,python3-venv,python3-pip,python-is-python3,git,ca-certificates,procps"
_PULL_PATIENCE_S = 600
_CHUNK = 1 << 20


async def find_base(engine: Engine, wanted: str | None) -> str:
    """The id of `wanted`, or where that is None of the registry's Python or of our own Debian image."""
    if wanted is not None:
        return await find_image(engine, wanted, "the base image")
    return await _present(engine, await default_base(engine))


async def find_image(engine: Engine, name: str, what: str, patience_s: float = _PULL_PATIENCE_S) -> str:
    """The id of an image that has a name; it is pulled if need be. Raises `BackendUnavailable`, with `what` it is."""
    if found := await _present(engine, name):
        return found
    reasons: list[str] = []
    if found := await _pull(engine, name, patience_s, reasons.append):
        return found
    reason = " ".join("".join(reasons).split()) or "the registry has it not"
    raise BackendUnavailable(f"the engine neither has nor can pull {what} {name}: load or build it ({reason})")


async def default_base(engine: Engine) -> str:
    """The name of the registry's Python or of our own Debian image, which the engine then holds."""
    for name in (REGISTRY_BASE, DEBIAN_BASE):
        if await _present(engine, name):
            return name
    return REGISTRY_BASE if await _pull(engine, REGISTRY_BASE) else await _build(engine)


async def _present(engine: Engine, name: str) -> str:
    """The id of an image the engine holds, else an empty string."""
    try:
        return str((await engine.json("GET", f"/images/{name}/json"))["Id"])
    except EngineError as error:
        if error.status == 404:
            return ""
        raise


async def _pull(
    engine: Engine, name: str, patience_s: float = _PULL_PATIENCE_S, on_failure: Callable[[str], object] = id
) -> str:
    query: Query = {"fromImage": name}
    if "@" not in name:  # a colon may also stand before the port of a registry
        _, colon, tag = name.rpartition("/")[2].partition(":")
        query = {"fromImage": name.removesuffix(colon + tag), "tag": tag or "latest"}
    try:
        async with asyncio.timeout(patience_s):
            async for _ in engine.progress("/images/create", query):
                pass
    except (EngineError, TimeoutError) as error:
        _log.info("%s cannot be pulled: %s", name, error)
        on_failure(str(error) or f"not within {patience_s:.0f} s")
        return ""
    return await _present(engine, name)


async def _build(engine: Engine) -> str:
    """Debian's minimal system with Python and git, from the mirror that this machine's packages come from."""
    lock = await asyncio.to_thread(_lock)
    try:
        if await _present(engine, DEBIAN_BASE):  # another process built it meanwhile
            return DEBIAN_BASE
        mirror = await asyncio.to_thread(_mirror)
        _log.info("building %s from Debian packages; this takes about a minute", DEBIAN_BASE)
        with tempfile.TemporaryDirectory(dir=home(), prefix="debian-") as folder:
            await asyncio.to_thread(_debootstrap, folder, mirror)
            repository, _, tag = DEBIAN_BASE.partition(":")
            query: dict[str, str | int | bool] = {"fromSrc": "-", "repo": repository, "tag": tag}
            async for _ in engine.progress("/images/create", query, _tar_of(folder)):
                pass
    finally:
        os.close(lock)
    return DEBIAN_BASE


def _lock() -> int:
    """One builder per home folder at a time; closing the descriptor releases it."""
    fd = os.open(home() / "base-image.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _mirror() -> str:
    """The first Debian archive among this machine's apt sources. Raises `BackendUnavailable`."""
    why = "no registry answers, and a base image can be made from Debian packages only"
    if os.geteuid() != 0:
        raise BackendUnavailable(f"{why} as root: give a base image that the engine has (docker_base)")
    if not shutil.which("debootstrap"):
        raise BackendUnavailable(f"{why} with debootstrap: install it (apt-get install debootstrap)")
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        origin, _, uri = line.partition(" ")
        if origin == "Debian" and "security" not in uri:
            return uri.strip()
    raise BackendUnavailable(f"{why} where apt knows a Debian mirror: run apt-get update, or give a docker_base")


def _debootstrap(folder: str, mirror: str) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", SUITE, folder, mirror]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        last = done.stdout.strip().splitlines()[-1:] or ["no output"]
        raise BackendUnavailable(f"debootstrap could not make a base image from {mirror}: {last[0]}")
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        with suppress(FileNotFoundError):
            shutil.rmtree(os.path.join(folder, waste))


async def _tar_of(folder: str) -> AsyncIterator[bytes]:
    process = await asyncio.create_subprocess_exec(
        "tar", "-C", folder, "--numeric-owner", "-c", ".", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while chunk := await process.stdout.read(_CHUNK):
        yield chunk
    if await process.wait():
        raise BackendUnavailable(f"tar could not pack the base image in {folder}")


def main() -> None:
    """Print the name of the default base; one sentence and exit code 1 where there can be none."""
    try:
        print(asyncio.run(default_base(Engine(engine_socket()))))
    except SandboxError as error:
        raise SystemExit(f"sandbox: {error}") from error


if __name__ == "__main__":
    main()
