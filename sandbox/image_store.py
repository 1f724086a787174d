"""The engine's images that sandboxes start from, and the local backend's copies of trees: what there is, what may go.

Invariant: nothing that a container uses is removed, nothing that we did not build, and never the base image.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sandbox.base_image import find_base
from sandbox.docker_images import IMAGE_LABEL, ImageBuilder, ca_bundle
from sandbox.engine_api import Engine, EngineError, Query, engine_socket
from sandbox.home import home
from sandbox.protocol import BackendOptions, Image
from sandbox.trees import prune_copies

_YOUNG_S = 3600
"""An image of unknown name that is younger than this may be needed by whoever had it built: it stays."""
_STAGE = ("cd /dependencies", " in /dependencies/", "/contextrl-python/")
"""What only the history of our own build stages holds."""


@dataclass(frozen=True)
class StoredImage:
    """One image that the engine holds."""

    name: str
    """That of the sandbox image; equal names may have several, if our recipe or the base has changed."""
    tag: str
    size: int
    """Bytes, layers that it shares with others included."""
    made: float
    """Seconds since 1970."""
    in_use: bool
    """Whether there is a container of it."""


async def list_images(engine: Engine) -> list[StoredImage]:
    """Those that we built, the latest first. Raises `EngineError`, `BackendUnavailable`."""
    used = {entry["ImageID"] for entry in await engine.json("GET", "/containers/json", {"all": 1})}
    query: Query = {"filters": f'{{"label":["{IMAGE_LABEL}"]}}'}
    found = await engine.json("GET", "/images/json", query)
    images = [
        StoredImage(entry["Labels"][IMAGE_LABEL], tag, entry["Size"], entry["Created"], entry["Id"] in used)
        for entry in found
        for tag in entry["RepoTags"] or ()
        if tag != "<none>:<none>"
    ]
    return sorted(images, key=lambda image: -image.made)


async def build_image(image: Image, options: BackendOptions, on_line: Callable[[str], None]) -> str:
    """The image's tag; it is built if the engine does not have it, and what the engine says goes to `on_line`."""
    engine = _Talking(engine_socket(), on_line)
    base = await find_base(engine, options.docker_base)
    return (await ImageBuilder(engine, base, ca_bundle(options.ca_bundle)).ensure(image)).tag


async def prune_images(engine: Engine, needed: Collection[str], *, stages: bool, young: bool) -> list[StoredImage]:
    """Remove what no container uses and no name in `needed` stands for, and of those all but the latest.

    `stages`: build stages too; they only make the next build with the same requirements fast. `young`: also what was
    made within the hour. Returns what was removed.
    """
    removed, kept = [], set[str]()
    for image in await list_images(engine):
        latest = image.name in needed and image.name not in kept
        if latest:
            kept.add(image.name)
        elif not image.in_use and (young or image.name in needed or time.time() - image.made > _YOUNG_S):
            with suppress(EngineError):  # a container of it was made just now, or somebody else removed it
                await engine.json("DELETE", f"/images/{image.tag}")
                removed.append(image)
    if stages:
        await _prune_stages(engine)
    return removed


async def _prune_stages(engine: Engine) -> None:
    for entry in await engine.json("GET", "/images/json", {"filters": '{"dangling":["true"]}'}):
        with suppress(EngineError):
            history = await engine.json("GET", f"/images/{entry['Id']}/history")
            if any(mark in step["CreatedBy"] for step in history for mark in _STAGE):
                await engine.json("DELETE", f"/images/{entry['Id']}")


async def bytes_of_images(engine: Engine) -> int:
    """What all layers of the engine take, each counted once."""
    return int((await engine.json("GET", "/system/df"))["LayersSize"])


async def prune_trees() -> int:
    """Remove the local backend's copies of trees that are gone; how many bytes came free."""

    def prune() -> int:
        before = _bytes_of_copies()
        prune_copies()
        return before - _bytes_of_copies()

    return await asyncio.to_thread(prune)


def _bytes_of_copies() -> int:
    found = 0
    for folder in home().glob("trees-*"):
        for parent, _, files in os.walk(folder):
            for name in files:
                with suppress(OSError):
                    found += os.lstat(os.path.join(parent, name)).st_size
    return found


class _Talking(Engine):
    """An engine that says what it is doing."""

    def __init__(self, socket_path: str, on_line: Callable[[str], None]) -> None:
        super().__init__(socket_path)
        self._on_line = on_line

    async def progress(
        self, path: str, query: Query, body: bytes | AsyncIterator[bytes] = b""
    ) -> AsyncIterator[dict[str, Any]]:
        """See `Engine.progress`."""
        async for message in super().progress(path, query, body):
            if not message.get("progressDetail"):  # of a pull: one for each piece of each layer
                for line in filter(str.strip, str(message.get("stream") or message.get("status") or "").splitlines()):
                    self._on_line(line)
            yield message
