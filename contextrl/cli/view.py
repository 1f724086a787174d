"""`contextrl view`: the store in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from contextrl.cli.records import DEFAULT, Store, open_store


def view(
    store: Store = DEFAULT,
    host: Annotated[str, typer.Option(help="Address to listen on; beyond loopback only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8600,
) -> None:
    """Show runs and trajectories in a browser, read-only. The token is the variable CONTEXTRL_VIEWER_TOKEN."""
    from trajectories.viewer.serving import serve

    open_store(store).close()
    serve(store, host, port)
