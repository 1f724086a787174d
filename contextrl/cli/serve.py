"""`contextrl sandbox serve`: sandboxes of this machine for trainers on others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sandbox.service.options import BACKENDS, ServiceOptions, read_token
from sandbox.wire import PORT, TOKEN_VARIABLE


def serve(
    host: Annotated[str, typer.Option(help="Beyond loopback only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = PORT,
    backend: Annotated[str, typer.Option(help=", ".join(BACKENDS))] = "auto",
    token_file: Annotated[Path | None, typer.Option(help=f"Default: the variable {TOKEN_VARIABLE}.")] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Most leases at once. Default: twice the processors.", envvar="CONTEXTRL_SANDBOX_SIZE"),
    ] = None,
    docker_base: Annotated[str | None, typer.Option(help="Base image of the Docker backend.")] = None,
) -> None:
    """Serve sandboxes of this machine to clients with the token, until Ctrl-C or SIGTERM."""
    from sandbox.service.__main__ import serve as serve_until_ended

    chosen: dict[str, Any] = {} if size is None else {"size": size}
    chosen["docker_base"] = docker_base or os.environ.get("CONTEXTRL_DOCKER_BASE") or None
    serve_until_ended(ServiceOptions(host, port, backend, read_token(token_file), **chosen))
