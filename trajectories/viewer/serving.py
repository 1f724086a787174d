"""Serving the viewer until it is told to end.

Invariant: without a token it listens on loopback only. It ends within seconds at SIGTERM, with status 0, and at
Ctrl-C. Its log has its own faults only: no addresses, which may hold the token.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn

from trajectories.viewer.app import make_app
from trajectories.viewer.guard import TOKEN_VARIABLE, is_loopback

PORT = 8600
LEAST = 12
"""Characters of a token."""
_GRACE_S = 1


class Viewer:
    """A viewer on its port.

    Raises `ValueError` beyond loopback without a token, with one that can be guessed or is no text, and where it cannot
    listen.
    """

    def __init__(self, store: str, host: str = "127.0.0.1", port: int = PORT, token: str = "") -> None:
        if not token and not is_loopback(host):
            raise ValueError(
                f"without a token the viewer listens on loopback only, not on {host}: set {TOKEN_VARIABLE}"
            )
        _check(token)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            why = {errno.EADDRINUSE: "something else listens there; choose another --port"}.get(error.errno or 0)
            said = why or (error.strerror or str(error)).lower()
            raise ValueError(f"the viewer cannot listen on {host}, port {port}: {said}") from error
        self.port: int = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(store, token=token),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        self._server.run([self._socket])

    def __enter__(self) -> Self:
        """Serve in a thread of its own until the block ends."""
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()


def _check(token: str) -> None:
    if not token.isascii():
        raise ValueError(f"{TOKEN_VARIABLE} may hold ASCII characters only")
    if token and len(token) < LEAST:
        raise ValueError(f"{TOKEN_VARIABLE} can be guessed: give it {LEAST} characters or more")


def serve(store: str, host: str, port: int) -> None:
    """Serve with the token of CONTEXTRL_VIEWER_TOKEN, and say where. Raises `ValueError`."""
    viewer = Viewer(store, host, port, os.environ.get(TOKEN_VARIABLE, ""))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(viewer.url, flush=True)
    viewer.run()
