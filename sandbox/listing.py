"""What sandboxes exist now, whoever started them.

Invariant: looking starts nothing and changes nothing.
"""

from __future__ import annotations

from sandbox import owners
from sandbox.docker_images import IMAGE_LABEL
from sandbox.docker_recipe import EXPIRES_LABEL, MACHINE_LABEL, OWNER_LABEL, STARTED_LABEL
from sandbox.engine_api import Engine, Query, engine_socket
from sandbox.local import leases
from sandbox.protocol import BackendUnavailable, SandboxInfo


async def list_sandboxes() -> tuple[list[SandboxInfo], str]:
    """Those of the engine and of this user, the oldest first; and why the engine was not asked, if it was not."""
    unasked = ""
    try:
        found = await docker_sandboxes(Engine(engine_socket()))
    except BackendUnavailable as error:
        found, unasked = [], str(error)
    return sorted([*found, *local_sandboxes()], key=lambda info: info.started or 0.0), unasked


async def docker_sandboxes(engine: Engine) -> list[SandboxInfo]:
    """The engine's, from the labels of their containers. Raises `EngineError`."""
    query: Query = {"all": 1, "filters": f'{{"label":["{OWNER_LABEL}"]}}'}
    found = []
    for entry in await engine.json("GET", "/containers/json", query):
        name, labels = entry["Names"][0].lstrip("/"), entry["Labels"]
        info = SandboxInfo(
            name,
            "docker",
            image=labels.get(IMAGE_LABEL, ""),
            owner_alive=owners.is_alive(name) if labels.get(MACHINE_LABEL) == owners.machine() else None,
            started=float(labels.get(STARTED_LABEL, entry["Created"])),
            expires=float(labels[EXPIRES_LABEL]) if EXPIRES_LABEL in labels else None,
        )
        if entry["State"] != "removing":
            found.append(info)
    return found


def local_sandboxes() -> list[SandboxInfo]:
    """This user's. A folder whose owner is gone may be all that is left of one."""
    return [
        SandboxInfo(entry.name, "local", owner_alive=owners.is_alive(entry.name), started=entry.stat().st_mtime)
        for entry in leases().iterdir()
    ]
