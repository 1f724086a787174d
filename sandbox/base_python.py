"""The base image with another Python than the usual one.

Invariant: `base_with` returns an image whose python3 is of the wanted version, or raises `BackendUnavailable`.
"""

from __future__ import annotations

import contextlib

from sandbox import owners
from sandbox.base_image import find_image
from sandbox.engine_api import Engine, EngineError
from sandbox.protocol import BackendUnavailable

_OFFICIAL = "python"
_TELL = "import sys; print('%d.%d' % sys.version_info[:2])"


async def base_with(engine: Engine, base: str, version: str) -> str:
    """The id of `base` if its Python is `version` ("3.12"), else of a `python:3.12` image, pulled if need be."""
    usual = await _version_of(engine, base)
    if usual == version:
        return base
    found = await engine.json("GET", "/images/json")
    tags = sorted(tag for entry in found for tag in entry["RepoTags"] or () if tag.startswith(f"{_OFFICIAL}:"))
    wanted = f"{_OFFICIAL}:{version}"
    here = [tag for tag in tags if tag == wanted or tag.startswith((f"{wanted}-", f"{wanted}."))]
    try:
        name = next((tag for tag in here if tag.startswith(f"{wanted}-slim")), here[0] if here else f"{wanted}-slim")
        taken = await find_image(engine, name, f"the image with Python {version},")
    except BackendUnavailable as error:
        others = f", and the engine has {', '.join(tags)}" if tags else ""
        raise BackendUnavailable(f"{error}; the base image has Python {usual}{others}") from error
    if (real := await _version_of(engine, taken)) != version:
        raise BackendUnavailable(f"the engine's image {name} has Python {real}, not {version}: pull it again")
    return taken


async def _version_of(engine: Engine, image: str) -> str:
    """What its python3 says."""
    name = owners.new_name()
    command = ["python3", "-I", "-S", "-c", _TELL]
    recipe = {"Image": image, "Entrypoint": command, "Cmd": [], "NetworkDisabled": True, "AttachStdout": True}
    await engine.json("POST", "/containers/create", {"name": name}, recipe)
    try:
        channel = await engine.attach(name)
        await engine.json("POST", f"/containers/{name}/start")
        text = b""
        while data := await channel.receive():
            text += data
        return text.decode(errors="replace").strip()
    except EngineError:  # there is no python3 in it
        return "none"
    finally:
        with contextlib.suppress(EngineError):
            await engine.json("DELETE", f"/containers/{name}", {"force": 1, "v": 1})
