"""What all measurements share: our backends, the image, the peers.

Invariant: what a world opened is closed at the end of its block, the peers' containers too; a peer that cannot take
part is named in `missing` with the reason, once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from benchmarks.sandbox.peers import REQUIREMENTS, Peer, PeerFailed
from contextrl.progress import Progress
from sandbox import Image, Limits, Sandbox, SandboxBackend, SandboxError, open_backend
from sandbox.bench import sample_image
from sandbox.engine_api import Engine, engine_socket

Call = Callable[[], Awaitable[float]]
"""Measures something once."""


class World:
    def __init__(self, python: Path, progress: Progress) -> None:
        self.python = python
        self.progress = progress
        self.image = sample_image()
        self.backends: dict[str, SandboxBackend] = {}
        self.missing: dict[str, str] = {}
        self._images: dict[str, str] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> World:
        self.progress.stage("Opening backends")
        for name in ("docker", "local"):
            try:
                self.backends[name] = await open_backend(name)
                self._stack.push_async_callback(self.backends[name].close)
            except SandboxError as error:
                self.missing[f"our {name} backend"] = str(error)
        if docker := self.backends.get("docker"):
            self._images["plain"] = await _image_of(docker, self.image)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def box(self, name: str, stack: AsyncExitStack) -> Sandbox:
        """A sandbox of a backend of ours that has run a command; it is stopped at the end of the stack."""
        box = await self.backends[name].start(self.image, Limits())
        stack.push_async_callback(box.stop)
        await box.run("true")
        return box

    async def peer(self, kind: str, stack: AsyncExitStack, *, opened: bool = False, closed: bool = True) -> Peer | None:
        """The process of a peer, with a sandbox if `opened`; None where it is missing.

        It ends with the stack, and if `closed` so does its sandbox.
        """
        try:
            peer = await Peer.start(kind, await self._image_for(kind), self.python)
            stack.push_async_callback(peer.end)
            if opened:
                await peer.timed("open")
                if closed:
                    stack.push_async_callback(peer.timed, "close")
                await peer.timed("step")  # the first is not like those after it
        except (PeerFailed, SandboxError, KeyError) as error:
            self.missing.setdefault(kind, str(error))
            return None
        return peer

    async def interleaved(self, calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
        """Each in turn, so many times round, so that load on the machine falls on all alike.

        A peer that fails is asked no more; what it did before counts.
        """
        found: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(rounds):
            for name, call in list(calls.items()):
                self.progress.update(number, rounds, name)
                try:
                    found[name].append(await call())
                except PeerFailed as error:
                    self.missing[name] = f"after {number} rounds: {error}"
                    del calls[name]
        self.progress.update(rounds, rounds)
        return found

    async def _image_for(self, kind: str) -> str:
        if kind == "unshare":
            return ""
        if kind == "SWE-ReX" and kind not in self._images:
            self.progress.log("The image of SWE-ReX, with its server inside (the first time this takes half a minute)")
            needs = REQUIREMENTS.read_text().splitlines()
            lines = tuple(line.partition("#")[0].strip() for line in needs if line.startswith(("swe-rex", "aiohttp")))
            image = Image("benchmark-swe-rex", self.image.tree, requirements=lines)
            self._images[kind] = await _image_of(self.backends["docker"], image)
        return self._images[kind if kind == "SWE-ReX" else "plain"]


async def _image_of(docker: SandboxBackend, image: Image) -> str:
    """The engine's name for one of our images, which is built if need be."""
    box = await docker.start(image, Limits())
    try:
        found = await Engine(engine_socket()).json("GET", f"/containers/{box.name}/json")
        return str(found["Config"]["Image"])
    finally:
        await box.stop()
