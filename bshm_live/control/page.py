"""The control page: on this machine alone, for the one who started the program.

Every website in the user's browser can reach a page on loopback. So the Host must be
ours, a request that changes something must come from our own page, and all but the first
call needs a cookie that no website can read or send.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import BshmError
from ..files import write_whole
from .gallery import BYTES_MOST, Gallery
from .wire import folder

HOST = "127.0.0.1"
COOKIE = "bshm-live"
PAGE = Path(__file__).parents[1] / "assets" / "page.html"
BODY_MOST = 1 << 16  # bytes of a request that is no upload
CLIENTS_MOST = 64  # connections at once
IDLE_S = 5  # a connection that says nothing for so long is closed
BODY_S = 60.0  # for a whole upload
JOIN_S = 3.0
SAFE = {
    # Nothing from elsewhere, nobody else's frame, no type but the one that is said.
    "content-security-policy": (
        "default-src 'none'; img-src 'self' blob: data:; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}

Answer = Callable[[dict[str, Any]], dict[str, Any]]  # may raise BshmError


class Door:
    """Who may come in: middleware before everything else."""

    def __init__(self, app: ASGIApp, port: int, token: str, secret: str) -> None:
        self._app, self._token, self._secret = app, token, secret
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # there is none here
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = self._refusal(request)
        if refused is None:
            await self._app(scope, receive, _with_safe_headers(send))
        else:
            await refused(scope, receive, _with_safe_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        """What is answered instead; None: come in."""
        if request.headers.get("host") not in self._hosts:
            return Response("wrong host", 403)
        origin = request.headers.get("origin")
        if origin is not None and origin not in self._origins:
            return Response("wrong origin", 403)
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return Response("wrong site", 403)
        if request.method not in ("GET", "HEAD") and origin is None:
            return Response("no origin", 403)
        token = request.query_params.get("token")
        if token is not None and request.url.path == "/":
            if not hmac.compare_digest(token, self._token):
                return Response("wrong token: bshm-live open opens the page", 403)
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self._secret, httponly=True, samesite="strict")
            return answer
        if not hmac.compare_digest(request.cookies.get(COOKIE, ""), self._secret):
            return Response("type: bshm-live open", 403)
        return None


def _with_safe_headers(send: Send) -> Send:
    async def safe(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(key.encode(), value.encode()) for key, value in SAFE.items()]
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return safe


class Page:
    """Serves the page in a thread of its own, until it is closed.

    `answer` is asked as by a command, `preview` gives a JPEG of the composite or None.
    Raises OSError where no port can be had.
    """

    def __init__(
        self, name: str, answer: Answer, gallery: Gallery, preview: Callable[[], bytes | None]
    ) -> None:
        self._answer, self._gallery, self._preview = answer, gallery, preview
        kept = _kept(name)
        self._socket = _bound(int(kept.get("port", 0)))
        port = self._socket.getsockname()[1]
        secret = str(kept.get("secret") or secrets.token_urlsafe(24))
        _keep(name, {"port": port, "secret": secret})
        token = secrets.token_urlsafe(24)
        self.address = f"http://{HOST}:{port}/?token={token}"
        config = uvicorn.Config(
            self._app(port, token, secret),
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=CLIENTS_MOST,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=1,
            server_header=False,
            proxy_headers=False,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="control page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(JOIN_S)
        self._socket.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        # Signals are the program's: uvicorn takes none outside the main thread.
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def _app(self, port: int, token: str, secret: str) -> Starlette:
        routes = [
            Route("/", self._page),
            Route("/status", self._status),
            Route("/set", self._set, methods=["POST"]),
            Route("/preview.jpg", self._picture),
            Route("/backgrounds", self._backgrounds),
            Route("/backgrounds", self._add, methods=["POST"]),
            Route("/thumbs/{name}", self._thumb),
        ]
        door = Middleware(Door, port=port, token=token, secret=secret)
        return Starlette(routes=routes, middleware=[door], exception_handlers={BshmError: _told})

    async def _page(self, request: Request) -> Response:
        return FileResponse(PAGE, media_type="text/html")

    async def _status(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._answer, {"status": True}))

    async def _set(self, request: Request) -> Response:
        try:
            words = json.loads(await _body(request, BODY_MOST))["set"]
        except (ValueError, KeyError, TypeError):
            raise HTTPException(400) from None
        words = [self._full(str(word)) for word in words]
        return JSONResponse(await asyncio.to_thread(self._answer, {"set": words}))

    def _full(self, word: str) -> str:
        """`bg=@NAME` is the gallery's file of that name."""
        name = word.removeprefix("bg=@")
        return word if name == word else f"bg={self._gallery.path(name)}"

    async def _picture(self, request: Request) -> Response:
        picture = await asyncio.to_thread(self._preview)
        return Response(status_code=204) if picture is None else _jpeg(picture)

    async def _backgrounds(self, request: Request) -> Response:
        names = await asyncio.to_thread(self._gallery.names)
        return JSONResponse({"names": names, "folder": str(self._gallery.folder)})

    async def _thumb(self, request: Request) -> Response:
        return _jpeg(await asyncio.to_thread(self._gallery.thumb, request.path_params["name"]))

    async def _add(self, request: Request) -> Response:
        """The body is the file, its name stands in the query."""
        content = await asyncio.wait_for(_body(request, BYTES_MOST), BODY_S)
        await asyncio.to_thread(self._write, request.query_params.get("name", ""), content)
        return JSONResponse({"done": True})

    def _write(self, name: str, content: bytes) -> None:
        with self._gallery.adding(name) as part:
            part.write_bytes(content)


async def _body(request: Request, most: int) -> bytes:
    """The request's body, at most so many bytes of it."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise HTTPException(413, f"larger than {most >> 20 or 1} MB")
    return bytes(data)


def _jpeg(picture: bytes) -> Response:
    return Response(picture, media_type="image/jpeg")


async def _told(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


_: Callable[[Request, Exception], Awaitable[Response]] = _told


def _bound(port: int) -> socket.socket:
    """A socket on loopback, on the port of the last time if that is free. Raises OSError."""
    for wanted in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, wanted))
        except OSError:
            listener.close()
            if not wanted:
                raise
        else:
            return listener
    raise AssertionError("port 0 was tried")


def _kept(name: str) -> dict[str, Any]:
    """Port and secret of the last run: so an open page finds the next one."""
    with suppress(OSError, ValueError, BshmError):
        found = json.loads((folder() / f"{name}.page").read_text("utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _keep(name: str, what: dict[str, Any]) -> None:
    """Where only the user can read it; without it a page has to be opened anew."""
    with suppress(OSError, BshmError):
        place = folder() / f"{name}.page"
        write_whole(place, json.dumps(what).encode())
        os.chmod(place, 0o600)


logging.getLogger("uvicorn").addHandler(logging.NullHandler())
