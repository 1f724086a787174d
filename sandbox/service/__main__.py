"""`python -m sandbox.service`: what `contextrl sandbox serve` does, with nothing else of ContextRL installed."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from sandbox.protocol import SandboxError
from sandbox.service.options import BACKENDS, ServiceOptions, read_token
from sandbox.wire import HEALTH, PORT


def main() -> int:
    """Exit code: 0 after SIGTERM or SIGINT, 2 when the service cannot begin, 1 when a check fails."""
    given = _parser().parse_args()
    if given.check:
        return check(given.check)
    try:
        options = ServiceOptions(
            host=given.host,
            port=given.port,
            backend=given.backend,
            token=read_token(given.token_file),
            docker_base=given.docker_base or None,
            **({} if given.size is None else {"size": given.size}),
        )
        serve(options)
    except (ValueError, SandboxError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def serve(options: ServiceOptions) -> None:
    """Serve until SIGTERM or SIGINT."""
    from sandbox.service.server import run

    asyncio.run(run(options))


def check(url: str) -> int:
    """0 when the service at this address is healthy, else 1 and a sentence on standard error."""
    address = url if "://" in url else f"http://{url}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(address.rstrip("/") + HEALTH, timeout=5).close()
    except (OSError, ValueError) as error:
        print(f"{url} is not healthy: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.service", description="Serve sandboxes of this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="beyond loopback only with a token (default %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="0 takes a free one (default %(default)s)")
    parser.add_argument("--backend", choices=BACKENDS, default="auto")
    parser.add_argument("--token-file", type=Path, help="default: the variable CONTEXTRL_SANDBOX_TOKEN")
    size = os.environ.get("CONTEXTRL_SANDBOX_SIZE") or None
    parser.add_argument("--size", type=int, default=size, help="most leases at once (default: twice the processors)")
    parser.add_argument(
        "--docker-base", default=os.environ.get("CONTEXTRL_DOCKER_BASE"), help="base image of the Docker backend"
    )
    parser.add_argument("--check", metavar="URL", help="ask a service whether it is healthy, and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
