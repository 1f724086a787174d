"""The viewer as a web application.

Invariant: nothing is ever written to the store. Whatever is wrong with a request or the store is a sentence on a page;
so is a fault of this program, which is logged as well and never taken for a mistake of who asks. The pulse says whether
the store is there and when it has more.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from trajectories.protocol import StoreError, StoreMissing
from trajectories.viewer.asking import Asked, Mistake, address
from trajectories.viewer.guard import TOKEN_VARIABLE, Guard
from trajectories.viewer.opening import Source
from trajectories.viewer.page import Maker, Page
from trajectories.viewer.pages import FRAGMENTS, PAGES
from trajectories.viewer.pages.trajectory import trajectory
from trajectories.viewer.parts import Limits
from trajectories.viewer.rendering import STATIC, asset, environment, render

_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}
_TABLES = frozenset(("/", "/trajectories", "/groups", "/pairs"))
"""Pages that are there without a store too."""
_NOTHING = "Nothing is stored yet: a training run makes the store, and so does an import (contextrl traj import)."
_FAULT = "This is a fault of the viewer, not of what was asked for. Where it runs, its log says more."
_LOG = logging.getLogger(__name__)


def make_app(store: str, *, token: str = "") -> ASGIApp:
    """The application over a store, which may be made only later."""
    made = _Application(Source(store))
    made.warm()
    return Guard(made.starlette, token=token, refused=_no_token if token else _foreign_name)


class _Application:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._jinja = environment("layout.html", address, Limits())
        pages = [Route(path, self._endpoint(path, make)) for path, make in PAGES.items()]
        fragments = [Route(path, self._fragment(make)) for path, make in FRAGMENTS.items()]
        own = [
            Route("/health", self._health),
            Route("/pulse", self._pulse),
            Route("/static/{name}", _static),
            Route("/{path:path}", self._unknown),
        ]
        self.starlette = Starlette(routes=[*pages, *fragments, *own], exception_handlers={405: self._read_only})

    def warm(self) -> None:
        """Do once what is slow the first time, so that nobody waits for it: templates, connections, statements."""
        for name in self._jinja.list_templates():
            self._jinja.get_template(name)
        with suppress(Exception):  # whoever asks for it is told
            for row in self._source.store.page(limit=1):
                trajectory(self._source, Asked([("id", row.id)]))

    # Not coroutines: each is run in a thread, since the store waits for its database.

    def _endpoint(self, path: str, make: Maker) -> Any:
        def answer(request: Request) -> Response:
            asked = Asked(request.query_params.multi_items())
            pulse = ""
            try:
                pulse = _written(self._source.store.pulse())  # before it is read: what comes meanwhile is shown later
                return self._page(make(self._source, asked), path, pulse, 200)
            except StoreMissing:
                nothing = Page("message.html", "Nothing is stored yet", {"message": _NOTHING}, True)
                return self._page(nothing, path, "", 200 if path in _TABLES else 404)
            except (StoreError, Mistake) as error:
                trouble = _trouble("That cannot be shown", str(error), live=not pulse)
                return self._page(trouble, path, pulse, 404 if pulse else 503)
            except Exception:
                _LOG.exception("The page %s could not be made", path)
                return self._page(_trouble("That cannot be shown", _FAULT), path, pulse, 500)

        return answer

    def _fragment(self, make: Maker) -> Any:
        def answer(request: Request) -> Response:
            status = 503
            try:
                self._source.store.pulse()
                status = 404
                page = make(self._source, Asked(request.query_params.multi_items()))
                return HTMLResponse(render(self._jinja, page.template, page.values))
            except (StoreError, Mistake) as error:
                return PlainTextResponse(str(error), status)
            except Exception:
                _LOG.exception("A part of a page, %s, could not be made", request.url.path)
                return PlainTextResponse(_FAULT, 500)

        return answer

    def _page(self, page: Page, path: str, pulse: str, status: int) -> Response:
        about = {"title": page.title, "path": path, "pulse": pulse, "live": page.live}
        return HTMLResponse(render(self._jinja, page.template, {**about, **page.values}), status)

    def _unknown(self, request: Request) -> Response:
        return self._page(_trouble("That cannot be shown", "There is no such page."), "", "", 404)

    def _read_only(self, request: Request, _: Exception) -> Response:
        return self._page(_trouble("That cannot be done", "The viewer only shows what is stored."), "", "", 405)

    def _pulse(self, request: Request) -> Response:
        try:
            return JSONResponse({"pulse": _written(self._source.store.pulse()), "problem": ""})
        except StoreMissing as error:
            return JSONResponse({"pulse": "", "problem": str(error)})
        except StoreError as error:
            return JSONResponse({"pulse": None, "problem": str(error)}, 503)

    def _health(self, request: Request) -> Response:
        try:
            self._source.store.pulse()
        except StoreMissing:
            return PlainTextResponse("There is no store yet.")
        except StoreError:
            return PlainTextResponse("The store does not answer.", 503)
        return PlainTextResponse("The store answers.")


def _written(pulse: tuple[str, int]) -> str:
    return ".".join(map(str, pulse))


def _trouble(title: str, message: str, *, live: bool = False) -> Page:
    return Page("message.html", title, {"message": message}, live)


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        return PlainTextResponse("There is no such file.", 404)
    return Response(asset(name), media_type=STATIC[name], headers=_KEPT)


async def _no_token(scope: Scope, receive: Receive, send: Send) -> None:
    await _refusal("Not without the token", "Add ?token=... to the address.", 401)(scope, receive, send)


async def _foreign_name(scope: Scope, receive: Receive, send: Send) -> None:
    message = (
        "Without a token the viewer answers to names of this machine only: open http://localhost with its port. "
        f"To reach it by another name, set {TOKEN_VARIABLE}."
    )
    await _refusal("Not under this name", message, 421)(scope, receive, send)


def _refusal(title: str, message: str, status: int) -> Response:
    """A page that needs no store."""
    values = {"title": title, "message": message, "path": "", "pulse": "", "live": False}
    return HTMLResponse(render(environment("layout.html", address, Limits()), "message.html", values), status)
