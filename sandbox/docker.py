"""The Docker backend: one container per sandbox, spoken to through a socket that its process 1 connects to.

Invariant: every container made here carries labels that tell its owner, its lease and when that expires; it removes
itself when its process 1 ends, and its process 1 ends when the owner's end of the channel closes or the lease expires.
What that cannot cover (an owner that dies between creating and starting a container, an engine that was restarted)
`gc` removes: at the first start, every minute, and by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from sandbox import boot, owners
from sandbox.base_image import find_base
from sandbox.channel import Channel
from sandbox.client import GuestSandbox
from sandbox.docker_images import Built, ImageBuilder, ca_bundle
from sandbox.docker_recipe import EXPIRES_LABEL, MACHINE_LABEL, NETWORK, OWNER_LABEL, recipe
from sandbox.engine_api import Engine, EngineError, engine_socket
from sandbox.protocol import BackendOptions, Image, Limits, Sandbox, SandboxError
from sandbox.rendezvous import Rendezvous, sweep
from sandbox.seeds import Seeds
from sandbox.whole_start import whole_start

_log = logging.getLogger(__name__)

_REAP_EVERY_S = 60.0
_MEET_S = 30.0


class _NotSeen(Exception):
    """The engine does not see this machine's files."""


class DockerBackend:
    """Starts sandboxes as containers of one engine. Belongs to the event loop it is first used on."""

    def __init__(self, options: BackendOptions | None = None) -> None:
        self._options = options or BackendOptions()
        self._engine = Engine(engine_socket())
        self._builder: ImageBuilder | None = None
        self._seeds = Seeds()
        self._opening = asyncio.Lock()
        self._running: dict[str, GuestSandbox] = {}
        self._reaper: asyncio.Task[None] | None = None
        self._calls_back = True

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
        if network:
            await self._ensure_network()
        try:
            return await self._start_from(image, await builder.ensure(image), limits, network)
        except EngineError as error:
            if error.status != 404:
                raise
        builder.forget(image)  # somebody has removed it since
        return await self._start_from(image, await builder.ensure(image), limits, network)

    async def _start_from(self, image: Image, built: Built, limits: Limits, network: bool) -> GuestSandbox:
        name = owners.new_name()
        seed = await self._seeds.of(image) if built.sealed else ()
        try:
            channel = await self._launch(name, built, limits, network)
            self._running[name] = box = GuestSandbox(name, limits, channel, lambda: self._remove(name))
            channel.write(boot.source())
            await box.begin(seed, None if built.sealed else limits.tmp_mb)
        except BaseException:
            await self._remove(name)
            raise
        return box

    async def _launch(self, name: str, built: Built, limits: Limits, network: bool) -> Channel:
        """Create and start a container; the channel to its process 1."""
        if self._calls_back:
            try:
                return await self._called_back(name, built, limits, network)
            except _NotSeen:
                self._calls_back = False
        await self._create(name, recipe(name, built, limits, network, self._options.labels, None))
        channel = await self._engine.attach(name)
        await self._engine.json("POST", f"/containers/{name}/start")
        return channel

    async def _called_back(self, name: str, built: Built, limits: Limits, network: bool) -> Channel:
        try:
            meeting = Rendezvous()
        except OSError as error:  # no room, or a path too long
            raise _NotSeen from error
        try:
            try:
                await self._create(name, recipe(name, built, limits, network, self._options.labels, meeting.mount))
            except EngineError as error:
                if error.status == 400 and meeting.folder in str(error):
                    raise _NotSeen from error
                raise
            await self._engine.json("POST", f"/containers/{name}/start")
            return await meeting.meet(_MEET_S)
        except TimeoutError as error:
            raise SandboxError(f"the guest of container {name} did not start within {_MEET_S:.0f} s") from error
        finally:
            meeting.close()

    async def _ensure_network(self) -> None:
        try:
            await self._engine.json("POST", "/networks/create", body=NETWORK)
        except EngineError as error:
            if error.status != 409:  # it is there
                raise

    async def _create(self, name: str, body: dict[str, Any]) -> None:
        await self._engine.json("POST", "/containers/create", {"name": name}, body)

    async def alive(self) -> list[str]:
        """Names of all sandboxes of this engine, whoever started them."""
        return sorted(name for name, _ in await self._containers())

    async def gc(self) -> list[str]:
        """Remove the containers whose lease has expired or whose owner, a process of this machine, is gone."""
        sweep()
        removed, failures = [], []
        for name, labels in await self._containers():
            orphan = labels.get(MACHINE_LABEL) == owners.machine() and not owners.is_alive(name)
            if orphan or float(labels.get(EXPIRES_LABEL, "inf")) < time.time():
                try:
                    await self._remove(name)
                    removed.append(name)
                except SandboxError as error:  # one that does not go must not keep the others
                    failures.append(error)
        if failures and not removed:
            raise failures[0]
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
            try:
                await self.gc()
            except Exception as error:  # an engine that is down now may be up in a minute
                _log.info("the reaper could not do its work: %s", error)
            await asyncio.sleep(_REAP_EVERY_S)

    async def _open(self) -> ImageBuilder:
        async with self._opening:
            if self._builder is None:
                base = await find_base(self._engine, self._options.docker_base)
                self._builder = ImageBuilder(self._engine, base, ca_bundle(self._options.ca_bundle))
            if self._reaper is None:
                self._reaper = asyncio.create_task(self._reap())
            return self._builder

    async def _containers(self) -> list[tuple[str, dict[str, str]]]:
        query: dict[str, str | int | bool] = {"all": 1, "filters": f'{{"label":["{OWNER_LABEL}"]}}'}
        found = await self._engine.json("GET", "/containers/json", query)
        there = [entry for entry in found if entry["Names"] and entry["State"] != "removing"]
        return [(entry["Names"][0].lstrip("/"), entry["Labels"]) for entry in there]

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
