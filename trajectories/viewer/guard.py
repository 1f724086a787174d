"""Who may look, and what a page may do.

Invariant: beyond loopback nothing but the health check and the viewer's own stylesheet and script is served without the
token; on loopback nothing is served to a page of somebody else's whose name was made to mean this machine. No page may
run a script or load anything but the viewer's own.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_VARIABLE = "CONTEXTRL_VIEWER_TOKEN"
COOKIE = "contextrl-viewer"
OPEN = ("/health", "/static/")
"""Where nothing of the store is."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Stands before an application. `refused` answers those who may not enter."""

    def __init__(self, app: ASGIApp, *, token: str, refused: ASGIApp) -> None:
        self._app, self._token, self._refused = app, token, refused
        self._ticket = hashlib.sha256(token.encode()).hexdigest()
        """What the cookie of those who gave the token holds."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, send on, or refuse."""
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._chosen(scope)(scope, receive, with_headers)

    def _chosen(self, scope: Scope) -> ASGIApp:
        headers, path = Headers(scope=scope), str(scope["path"])
        if self._token:
            query = QueryParams(scope["query_string"])
            if self._equal(query.get("token", ""), self._token):
                return self._welcome(path, query)
            may = path.startswith(OPEN) or self._has_token(headers)
        else:
            may = is_local(headers.get("host", ""))
        return self._app if may else self._refused

    def _welcome(self, path: str, query: QueryParams) -> ASGIApp:
        """To the same page without the token, with a cookie."""
        rest = urlencode([(name, value) for name, value in query.multi_items() if name != "token"])
        there = "/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")
        answer = RedirectResponse(there, 303)
        answer.set_cookie(COOKIE, self._ticket, httponly=True, samesite="lax", path="/")
        return answer

    def _has_token(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind == "Bearer" and self._equal(given, self._token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._equal(cookie.value, self._ticket)

    def _equal(self, given: str, secret: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def is_local(host: str) -> bool:
    """Whether a request's `Host` is a name of this machine that nobody else can take."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    name = name.removesuffix(".")
    return name == "localhost" or is_loopback(name)


def is_loopback(address: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
