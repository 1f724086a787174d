"""The Docker backend: one container per sandbox, spoken to through the stream attached to its process 1.

Invariant: every container made here carries labels that tell its owner, its lease and when that expires; it removes
itself when its process 1 ends, and its process 1 ends when the owner's end of the stream closes or the lease expires.
What that cannot cover (an owner that dies between creating and starting a container, an engine that was restarted)
`gc` removes: at the first start, every minute, and by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from pathlib import Path
from typing import Any

from sandbox import boot, owners
from sandbox.base_image import find_base
from sandbox.client import COMMAND_ENV, GuestSandbox, whole_start
from sandbox.docker_images import SEED, Built, ImageBuilder
from sandbox.engine_api import Engine, EngineError, engine_socket
from sandbox.jail import SANDBOX_UID
from sandbox.protocol import TESTBED, BackendOptions, Image, Limits, Sandbox, SandboxError

OWNER_LABEL = "contextrl.owner"
MACHINE_LABEL = "contextrl.machine"
LEASE_LABEL = "contextrl.lease"
STARTED_LABEL = "contextrl.started"
EXPIRES_LABEL = "contextrl.expires"
_REAP_EVERY_S = 60.0
_INODES = 200_000
_SHM_MB = 64


class DockerBackend:
    """Starts sandboxes as containers of one engine. Belongs to the event loop it is first used on."""

    def __init__(self, options: BackendOptions | None = None) -> None:
        self._options = options or BackendOptions()
        self._engine = Engine(engine_socket())
        self._builder: ImageBuilder | None = None
        self._opening = asyncio.Lock()
        self._running: dict[str, GuestSandbox] = {}
        self._reaper: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """`docker`."""
        return "docker"

    async def check(self) -> None:
        """Raises `BackendUnavailable` when no engine answers."""
        await self._engine.json("GET", "/version")

    async def start(self, image: Image, limits: Limits, *, network: bool = False) -> Sandbox:
        """A fresh container of the image, which is built first when the engine does not have it."""
        return await whole_start(self._start(image, limits, network))

    async def _start(self, image: Image, limits: Limits, network: bool) -> GuestSandbox:
        builder = await self._open()
        built = await builder.ensure(image)
        name = owners.new_name()
        recipe = self._recipe(name, built, limits, network)
        await self._engine.json("POST", "/containers/create", {"name": name}, recipe)
        try:
            reader, writer = await self._engine.attach(name)
            box = GuestSandbox(name, limits, reader, writer, lambda: self._remove(name))
            self._running[name] = box
            writer.write(boot.source())
            await self._engine.json("POST", f"/containers/{name}/start")
            await box.begin(SEED if built.sealed else None, None if built.sealed else limits.tmp_mb)
        except BaseException:
            await self._remove(name)
            raise
        return box

    async def alive(self) -> list[str]:
        """Names of all sandboxes of this engine, whoever started them."""
        return sorted(name for name, _ in await self._containers())

    async def gc(self) -> list[str]:
        """Remove the containers whose lease has expired or whose owner, a process of this machine, is gone."""
        removed = []
        for name, labels in await self._containers():
            orphan = labels.get(MACHINE_LABEL) == owners.machine() and not owners.is_alive(name)
            if orphan or float(labels.get(EXPIRES_LABEL, "inf")) < time.time():
                await self._remove(name)
                removed.append(name)
        return sorted(removed)

    async def close(self) -> None:
        """Stop all sandboxes that this object started."""
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.gather(self._reaper, return_exceptions=True)
            self._reaper = None
        await asyncio.gather(*(box.stop() for box in list(self._running.values())))

    async def _reap(self) -> None:
        while True:
            with contextlib.suppress(SandboxError):  # an engine that is down now may be up in a minute
                await self.gc()
            await asyncio.sleep(_REAP_EVERY_S)

    async def _open(self) -> ImageBuilder:
        async with self._opening:
            if self._builder is None:
                base = await find_base(self._engine, self._options.docker_base)
                self._builder = ImageBuilder(self._engine, base, _ca_bundle(self._options.ca_bundle))
            if self._reaper is None:
                self._reaper = asyncio.create_task(self._reap())
            return self._builder

    async def _containers(self) -> list[tuple[str, dict[str, str]]]:
        query: dict[str, str | int | bool] = {"all": 1, "filters": f'{{"label":["{OWNER_LABEL}"]}}'}
        found = await self._engine.json("GET", "/containers/json", query)
        return [(entry["Names"][0].lstrip("/"), entry["Labels"]) for entry in found if entry["State"] != "removing"]

    async def _remove(self, name: str) -> None:
        """Return when the container is gone, whether this call or the container itself did it."""
        self._running.pop(name, None)
        try:
            await self._engine.json("DELETE", f"/containers/{name}", {"force": 1, "v": 1})
        except EngineError as error:
            if error.status == 409:  # it is being removed already
                with contextlib.suppress(EngineError):
                    await self._engine.json("POST", f"/containers/{name}/wait", {"condition": "removed"})
            elif error.status != 404:
                raise

    def _recipe(self, name: str, built: Built, limits: Limits, network: bool) -> dict[str, Any]:
        return {
            "Image": built.tag,
            "Entrypoint": boot.command(),
            "Cmd": [],
            "User": f"{SANDBOX_UID}:{SANDBOX_UID}",
            "WorkingDir": "/",
            "Hostname": "sandbox",
            "Env": [f"{key}={value}" for key, value in COMMAND_ENV.items()],
            "Labels": {
                **self._options.labels,
                OWNER_LABEL: owners.me(),
                MACHINE_LABEL: owners.machine(),
                LEASE_LABEL: name,
                STARTED_LABEL: str(int(time.time())),
                EXPIRES_LABEL: str(int(time.time() + limits.lease_s)),
            },
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "OpenStdin": True,
            "StdinOnce": True,
            "NetworkDisabled": not network,
            "HostConfig": {"NetworkMode": "default" if network else "none", **_walls(built, limits)},
        }


def _walls(built: Built, limits: Limits) -> dict[str, Any]:
    """What the kernel holds the container to."""
    file_bytes = limits.file_mb << 20
    tmpfs = {"/tmp": _tmpfs(limits.tmp_mb, "mode=1777"), "/dev/shm": _tmpfs(_SHM_MB, "mode=1777")}
    if built.sealed:
        owner = f"mode=755,uid={SANDBOX_UID},gid={SANDBOX_UID}"
        tmpfs[TESTBED] = _tmpfs(limits.tmp_mb + built.size_mb, owner)
    return {
        "AutoRemove": True,
        "ReadonlyRootfs": built.sealed,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": limits.pids,
        "Memory": limits.memory_mb << 20,
        "MemorySwap": limits.memory_mb << 20,
        "NanoCpus": int(min(limits.cpus, os.cpu_count() or 1) * 1e9),
        "Tmpfs": tmpfs,
        "IpcMode": "private",
        "LogConfig": {"Type": "none"},
        "Ulimits": [
            {"Name": "fsize", "Soft": file_bytes, "Hard": file_bytes},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": 1024, "Hard": 1024},
        ],
    }


def _tmpfs(size_mb: int, options: str) -> str:
    return f"rw,exec,nosuid,nodev,size={size_mb}m,nr_inodes={_INODES},{options}"


def _ca_bundle(given: Path | None) -> Path | None:
    """The certificates that image builds trust: those given, else those that programs of this machine trust."""
    path = given or ssl.get_default_verify_paths().cafile
    return Path(path) if path and Path(path).is_file() else None
