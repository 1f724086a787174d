"""A store as read-only web pages: `contextrl view`, or `python -m trajectories.web` with little else installed.

Invariant: nothing is ever written to the store, and beyond loopback nothing but the health check is served without the
token.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import ipaddress
import os
import signal
import sys
import threading
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from trajectories.pages import PAGES, page
from trajectories.protocol import StoreError, StoreMissing
from trajectories.store import SQLStore

PORT = 8600
TOKEN_VARIABLE = "CONTEXTRL_VIEWER_TOKEN"
_COOKIE = "contextrl-viewer"
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Viewer(ThreadingHTTPServer):
    """Serves one store, which may be made only later. Raises `ValueError` beyond loopback without a token."""

    daemon_threads = True

    def __init__(self, store: str, host: str = "127.0.0.1", port: int = PORT, token: str = "") -> None:
        if not token and not _is_loopback(host):
            raise ValueError(
                f"without a token the viewer listens on loopback only, not on {host}: set {TOKEN_VARIABLE}"
            )
        super().__init__((host, port), _Handler)
        self.token = token
        self.ticket = hashlib.sha256(token.encode()).hexdigest()
        """What the cookie of those who gave the token holds."""
        self._where, self._opened, self._opening = store, list[SQLStore](), threading.Lock()

    def store(self) -> SQLStore:
        """The store, opened once it is there. Raises `StoreError`."""
        with self._opening:
            if not self._opened:
                self._opened.append(SQLStore(self._where, create=False))
            return self._opened[0]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is nobody's fault."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Viewer
    timeout = 30  # seconds for a request to arrive

    def do_GET(self) -> None:
        """Answer; whatever is wrong with the request or the store is a sentence on a page."""
        try:
            self._answer()
        except StoreMissing:
            self._send(HTTPStatus.OK, "Runs", "Nothing is stored yet: a training run makes the store.")
        except (StoreError, ValueError) as error:
            self._send(HTTPStatus.NOT_FOUND, "That cannot be shown", escape(str(error)))

    def _answer(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            return self._health()
        if url.path not in PAGES:
            raise ValueError("There is no such page.")
        values = dict(parse_qsl(url.query, keep_blank_values=True))
        if self._equal(values.pop("token", ""), self.server.token):
            cookie = f"{_COOKIE}={self.server.ticket}; HttpOnly; SameSite=Lax; Path=/"
            there = f"{url.path}?{urlencode(values)}"
            self._send(HTTPStatus.SEE_OTHER, "Moved", "", {"Location": there, "Set-Cookie": cookie})
        elif self._may_enter():
            self._send(HTTPStatus.OK, *PAGES[url.path](self.server.store(), values))
        else:
            self._send(HTTPStatus.UNAUTHORIZED, "Not without the token", "Add ?token=... to the address.")

    def _health(self) -> None:
        try:
            self.server.store().count(run="")
        except StoreMissing:
            pass
        except StoreError:
            return self._send(HTTPStatus.SERVICE_UNAVAILABLE, "The store does not answer", "")
        self._send(HTTPStatus.OK, "The store answers", "")

    def _may_enter(self) -> bool:
        if not self.server.token:  # a name of somebody's page that was made to mean this machine is not ours
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
            return host == "localhost" or _is_loopback(host)
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        cookies = [part.strip() for part in self.headers.get("Cookie", "").split(";")]
        return (kind == "Bearer" and self._equal(given, self.server.token)) or any(
            self._equal(cookie, f"{_COOKIE}={self.server.ticket}") for cookie in cookies
        )

    def _equal(self, given: str, secret: str) -> bool:
        return bool(self.server.token) and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())

    def _send(self, status: HTTPStatus, title: str, body: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (_HEADERS | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page(title, body))

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Keep no log: addresses may hold the token."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(store: str, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C, with the token of CONTEXTRL_VIEWER_TOKEN. Raises `ValueError`, `OSError`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Viewer(store, host, port, os.environ.get(TOKEN_VARIABLE, "")) as viewer:
        print(f"http://{host}:{viewer.server_port}/", flush=True)
        viewer.serve_forever()


def main() -> None:
    """The command line: `--host`, `--port`, `--store`."""
    parser = argparse.ArgumentParser(prog="python -m trajectories.web", description="Show a store as web pages.")
    parser.add_argument("--store", default=os.environ.get("CONTEXTRL_STORE", "runs/trajectories.db"))
    parser.add_argument("--host", default="127.0.0.1", help="beyond loopback only with a token (default %(default)s)")
    parser.add_argument("--port", type=int, default=PORT)
    given = parser.parse_args()
    try:
        serve(given.store, given.host, given.port)
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
