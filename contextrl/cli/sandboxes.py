"""`contextrl sandbox`: what runs now, clearing up after processes that died, a look inside."""

from __future__ import annotations

import asyncio
import time

import typer

from contextrl.cli import bench, serve, shell, show
from contextrl.progress import duration

sandbox = typer.Typer(no_args_is_help=True, help="Sandboxes: list them, remove those left behind, look into one.")
OWNER = {True: "alive", False: "gone", None: "elsewhere"}


@sandbox.command("ps")
def ps() -> None:
    """List the sandboxes on this machine, whoever started them."""
    from sandbox.listing import list_sandboxes

    now = time.time()
    found, unasked = asyncio.run(list_sandboxes())
    rows = [
        (
            info.backend,
            info.name,
            info.image or "-",
            OWNER[info.owner_alive],
            "-" if info.started is None else duration(max(0.0, now - info.started)),
            "-" if info.expires is None else duration(info.expires - now) if info.expires > now else "expired",
        )
        for info in found
    ]
    columns = ("backend", "sandbox", "image", "owner", "age", "expires in")
    show.table(columns, rows, "No sandbox runs.")
    _tell(unasked)


@sandbox.command("gc")
def gc() -> None:
    """Remove sandboxes whose owner is gone or whose lease has expired. Those in use stay."""
    rows, unasked = asyncio.run(_remove())
    show.table(("backend", "removed"), rows, "Nothing was left behind.")
    _tell(unasked)


def _tell(unasked: str) -> None:
    if unasked:
        typer.echo(f"Containers were left out: {unasked}", err=True)


async def _remove() -> tuple[list[tuple[str, str]], str]:
    from sandbox import BackendUnavailable, DockerBackend, LocalBackend, SandboxBackend

    rows: list[tuple[str, str]] = []
    unasked = ""
    kinds: list[type[DockerBackend] | type[LocalBackend]] = [DockerBackend, LocalBackend]
    for kind in kinds:
        try:
            backend: SandboxBackend = kind()
            rows += [(backend.name, name) for name in await backend.gc()]
        except BackendUnavailable as error:  # no engine, so no containers
            unasked = str(error)
    return rows, unasked


sandbox.command("shell")(shell.shell)
sandbox.command("serve")(serve.serve)
sandbox.command("bench")(bench.bench)
