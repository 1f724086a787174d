"""`contextrl sandbox`: what runs now, and clearing up after processes that died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import typer

from contextrl.cli import serve, show
from sandbox.protocol import BackendUnavailable, SandboxBackend

sandbox = typer.Typer(no_args_is_help=True, help="Sandboxes: list them, remove those left behind.")
KINDS = ("docker", "local")


@sandbox.command("ps")
def ps() -> None:
    """List the sandboxes on this machine, whoever started them."""
    rows = asyncio.run(_each("alive"))
    show.table(("backend", "sandbox"), rows, "No sandbox runs.")


@sandbox.command("gc")
def gc() -> None:
    """Remove sandboxes whose owner is gone. Those in use stay."""
    rows = asyncio.run(_each("gc"))
    show.table(("backend", "removed"), rows, "Nothing was left behind.")


async def _each(what: str) -> list[tuple[str, str]]:
    rows = []
    async for backend in backends():
        try:
            names = await (backend.alive() if what == "alive" else backend.gc())
            rows += [(backend.name, name) for name in names]
        finally:
            await backend.close()
    return rows


async def backends() -> AsyncIterator[SandboxBackend]:
    """Those that work here."""
    from sandbox import open_backend

    for kind in KINDS:
        try:
            yield await open_backend(kind)
        except BackendUnavailable:
            continue


sandbox.command("serve")(serve.serve)
