"""One lease of the service: from the start request of a connection to the end of its sandbox.

Invariant: when `serve` returns nothing is left of the sandbox, however the connection ended; and a connection whose
sandbox has ended is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from sandbox.channel import Channel
from sandbox.client import GuestSandbox
from sandbox.home import home
from sandbox.pool import Pool
from sandbox.protocol import Image, SandboxBackend, SandboxError
from sandbox.service.tree_store import TreeStore
from sandbox.wire import CHUNK, GUEST_ENDED, StartRequest


class House:
    """What the leases of a service share."""

    def __init__(self, backend: SandboxBackend, size: int, trees: TreeStore) -> None:
        self.backend = backend
        self.size = size
        self.trees = trees
        self.pool = Pool(backend, size=size)
        self.places = asyncio.Semaphore(size)
        self.sandboxes: set[str] = set()
        """Names of those leased now."""
        self.asked = 0
        """Connections that have a sandbox or want one."""

    @property
    def free(self) -> int:
        """How many more sandboxes there can be; negative when connections wait for one."""
        return self.size - self.asked


class Lease:
    """Serves one connection."""

    def __init__(self, connection: ServerConnection, house: House) -> None:
        self._connection = connection
        self._house = house
        self._to_guest: Channel | None = None

    async def serve(self) -> None:
        """Return when the lease has ended."""
        try:
            request = StartRequest.parse(await self._connection.recv())
            await self._ensure_tree(request.digest)
            with self._house.trees.use(request.digest) as tree:
                if tree is None:
                    raise SandboxError("the image's tree was removed while the lease began")
                await self._lease(request, image_of(request, tree, self._house.backend.name))
        except ConnectionClosed:
            pass
        except Exception as error:  # one lease's trouble is not the others'
            await self._refuse(error)

    async def _ensure_tree(self, digest: str) -> None:
        while True:
            with self._house.trees.use(digest) as tree:
                if tree is not None:
                    return
            await self._connection.send(json.dumps({"need": digest}))
            await self._house.trees.receive(digest, self._chunks())
            with self._house.trees.use(digest) as tree:
                if tree is not None:
                    await self._connection.send(json.dumps({"have": digest}))

    async def _chunks(self) -> AsyncIterator[bytes]:
        """Binary messages up to the next text message."""
        while isinstance(message := await self._connection.recv(), bytes):
            yield message

    async def _lease(self, request: StartRequest, image: Image) -> None:
        holding = asyncio.create_task(self._wait_and_hold(request, image))
        try:
            while isinstance(message := await self._connection.recv(), bytes) and self._to_guest:
                await self._to_guest.send(message)
        except ConnectionClosed:
            pass
        finally:
            holding.cancel()
            await asyncio.wait([holding])

    async def _wait_and_hold(self, request: StartRequest, image: Image) -> None:
        try:
            if await self._get_place(request.patience_s):
                try:
                    await self._hold(request, image)
                finally:
                    self._house.places.release()
                await self._connection.close(GUEST_ENDED, "the sandbox ended")
            else:
                await self._connection.send(json.dumps({"full": True}))
                await self._connection.close()
        except ConnectionClosed:
            pass  # `_lease` sees it too
        except Exception as error:  # whatever it is: the client must not wait for ever
            await self._refuse(error)

    async def _get_place(self, patience_s: float) -> bool:
        try:
            async with asyncio.timeout(patience_s):
                return await self._house.places.acquire()
        except TimeoutError:
            return False

    async def _hold(self, request: StartRequest, image: Image) -> None:
        """Return when the sandbox has ended and nothing is left of it."""
        async with self._house.pool.lease(image, request.limits, network=request.network) as leased:
            box = getattr(leased, "box", leased)  # the pool's own sandboxes say they are gone before they are
            if not isinstance(box, GuestSandbox):
                raise SandboxError(f"a service cannot relay to sandboxes of the backend {self._house.backend.name}")
            self._house.sandboxes.add(box.name)
            try:
                await self._relay(box)
            finally:
                stopping = asyncio.ensure_future(box.stop())
                try:
                    await asyncio.shield(stopping)
                finally:  # a client that hangs up meanwhile does not make it stay
                    await asyncio.wait([stopping])
                    self._house.sandboxes.discard(box.name)

    async def _relay(self, box: GuestSandbox) -> None:
        """Pass on what the guest says until it says no more."""
        self._to_guest = box.channel
        await self._connection.send(json.dumps({"started": box.name, "free": self._house.free}))
        while data := await box.channel.receive():
            for start in range(0, len(data), CHUNK):
                await self._connection.send(data[start : start + CHUNK])

    async def _refuse(self, error: Exception) -> None:
        text = " ".join(str(error).split()) if isinstance(error, SandboxError) else f"the service failed: {error!r}"
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send(json.dumps({"refused": text}))
            await self._connection.close()


def image_of(request: StartRequest, tree: Path, backend: str) -> Image:
    """The image to start from. Its name tells all that it is made from: clients may give equal names to others.

    The Docker backend installs the requirements; the local one needs an environment of this machine, and the client
    may name only those that `contextrl repo add` has made here: it would see any other folder otherwise.
    """
    key = hashlib.sha256(
        "\0".join([request.digest, *request.requirements, request.reference, request.python_version]).encode()
    ).hexdigest()[:16]
    python = None
    if backend == "local" and request.python is not None:
        python = Path(request.python)
        if ".." in python.parts or not python.parent.resolve().is_relative_to((home() / "repos").resolve()):
            raise SandboxError(
                f"this service runs local sandboxes and has no environment {python.parent.parent}: give it the "
                "CONTEXTRL_HOME of the client, or run it with --backend docker, which installs the requirements"
            )
    return Image(f"{request.name}@{key}", tree, python, request.requirements, request.reference, request.python_version)
